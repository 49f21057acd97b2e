# SPDX-License-Identifier: MIT
"""Synthetic rows held against real ones: structure, likeness and memorising, group by group.

`nearest` has distances to training rows, `structure` what holds by definition, `likeness` how far
distributions agree, `memorising` what is nearer to training rows than it should be, `judge` puts
them into one long table; `gate` acts on them while rows are drawn.
"""
