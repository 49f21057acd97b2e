# SPDX-License-Identifier: MIT
"""Synthetic rows held against real ones: structure, likeness and memorising, group by group.

`space` says how far two rows of numbers and levels lie apart, `nearest` has distances to training
rows, `structure` what holds by definition, `likeness` how far distributions agree, `coverage`
whether synthetic rows lie where real ones do, `memorising` what is nearer to training rows than it
should be. `judge` puts them into one long table, `whole` takes a table without its groups; `gate`
acts on distances while rows are drawn.
"""
