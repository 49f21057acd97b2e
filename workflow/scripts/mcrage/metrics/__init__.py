# SPDX-License-Identifier: MIT
"""How predictions are judged."""
