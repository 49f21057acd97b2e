# SPDX-License-Identifier: MIT
"""The report: one HTML page and one short text, from the tables of results."""

from mcrage.report.summary import summary_text

__all__ = ["summary_text"]
