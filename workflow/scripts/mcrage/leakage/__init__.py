# SPDX-License-Identifier: MIT
"""The leakage guard: proof that no test or validation row was learnt from.

`rows` compares tables by row number and by content; `fitted` checks what was learnt: from which
files it descends, and that scalers, kept rows and weights are what training rows alone give;
`judged` checks that metrics are what the predictions give with the declared rules;
`replicate` does all of it for the files of one replicate.
"""
