# SPDX-License-Identifier: MIT
"""Spans of time in words."""


def duration(seconds: float) -> str:
    """Return a span of time as people write it: ``"8 s"``, ``"3 min 20 s"``, ``"2 h 05 min"``."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
