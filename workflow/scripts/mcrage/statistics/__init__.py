# SPDX-License-Identifier: MIT
"""How sure differences are.

Across replicates: `paired` (intervals, Holm, smallest detectable difference, ROPE, equivalence) and
`summary`, which applies it to the long table, with the warnings of `guards`. Within a replicate:
`resampling` (paired bootstrap) and `exact` (DeLong, McNemar). Across datasets: `ranking`.
"""
