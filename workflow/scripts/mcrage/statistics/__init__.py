# SPDX-License-Identifier: MIT
"""How sure differences are."""
