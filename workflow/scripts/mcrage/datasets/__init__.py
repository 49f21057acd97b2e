# SPDX-License-Identifier: MIT
"""Dataset cards, downloads and checked tables."""
