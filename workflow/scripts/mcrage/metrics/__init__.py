# SPDX-License-Identifier: MIT
"""How predictions are judged.

`confusion` turns scores into decisions and counts; `rates`, `scores` and `calibration` are metrics
of one set of rows; `sufficient` keeps what is known of every subgroup of an attribute; `fairness`
compares subgroups by arithmetic on that, `null` tells how large gaps are where there are none;
`judge` makes the long table, `names` says what its metrics are called and which side is better.
"""
