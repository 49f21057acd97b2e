# SPDX-License-Identifier: MIT
"""The config: closed, typed, rendered and loaded."""
