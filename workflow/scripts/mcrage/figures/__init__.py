# SPDX-License-Identifier: MIT
"""Figures: pure functions from plain tables to matplotlib figures; `style.save` writes them.

Each module draws one picture. None of them reads files or the configuration.
"""
