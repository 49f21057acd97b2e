# SPDX-License-Identifier: MIT
"""Conditional diffusion of matrices: schedules, processes, networks, training and sampling.

Pure torch; knows no files and no tables. Every parameter has a leading ensemble axis, so that a
grid of settings times seeds trains as one batched product. Shapes are written with M members, S
random streams, B rows in a batch, d columns and C columns of the encoded condition.
"""
