# SPDX-License-Identifier: MIT
"""Between the numeric features of a table and the matrix that a network learns from."""

from mcrage.encoding.numeric import NumericEncoding

__all__ = ["NumericEncoding"]
