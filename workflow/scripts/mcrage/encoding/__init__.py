# SPDX-License-Identifier: MIT
"""Between the columns of a table, a matrix of numbers, and what a network learns from.

Nothing is imported here: every stage uses `columns`, and an edit of the others reruns only those
that use them.
"""
