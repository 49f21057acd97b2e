# SPDX-License-Identifier: MIT
"""Labels of synthetic rows from what real rows teach, in place of those they were drawn for.

A generator that learns P(x | group) from few rows labels badly where outcomes overlap: its rows
near the boundary carry either label at random, and a forest learns the noise. A classifier fitted
on the real rows knows P(outcome | x) better, above all where it shares across subgroups what the
forest learns of each by itself (`features: both` or `within_subgroup`). Both labels with their
probabilities as weights hand that on without the noise of drawing one.

What it gave (``benchmarks/ablation.py --configfile experiments/strength.yaml``: 20 replicates of
patient-treatment that judge nothing else; difference to doing nothing in a forest's AUROC of women,
in its AUROC of men and in its Brier score, with Nadeau-Bengio intervals of 95 %), subgroups filled
to 2.5 times the largest with rows of the tuned diffusion (the ensemble was chosen by these):

- labels of a forest like the one that is taught: -.002 [-.008, +.003], -.001, +.001
- of a forest that also sees features standardised within the subgroup: +.003 [-.005, +.010], -.001,
  -.001 [-.002, +.000]
- of the mean of four classifiers that do: +.010 [-.001, +.021], +.004 [+.001, +.008], -.004 [-.006,
  -.003]
- the same with rows of SMOTE: +.008 [-.001, +.017], +.004, -.003; its Brier score is worse than
  with rows of the diffusion by .0014 [.0004, .0024]
- the same with only as many rows as subgroups lack: +.007 [-.001, +.015], +.000, -.003

Since then the ensemble has five members, which count by held-out rows
(`mcrage.classifiers.member_shares`), and subgroups are filled to 5 times the largest; both were
chosen on replicates of other seeds (777, 4711). On 50 replicates that chose nothing
(``experiments/headroom.yaml``) the taught forest gains +.0118 [.0043, .0193] in women's AUROC. On
the first 26 of these (``experiments/teacher.yaml``) the ensemble itself, as a classifier without
synthetic rows, gains +.0139 [.0057, .0220], and the taught forest is not behind it: -.0015 [-.0061,
.0031]. More than the teacher knows can't be handed on. It is fitted on the rows that the generator
learnt from, so labels of near copies would be too sure; `mcrage.fidelity` tells how many there are.

What else was tried on those 20 replicates (``benchmarks/labelling.py``; difference in women's AUROC
to labels of the mean of four) is no better: a teacher out of fold (-.000 [-.005, +.004]), one label
drawn instead of both weighted (-.014 [-.025, -.003]), synthetic rows that count for a half or a
quarter of a real one (-.003 [-.006, .000] and -.005 [-.010, .000]), and rejection of rows that a
classifier tells from real ones (-.000 [-.004, +.004]).
"""

from typing import Any

import numpy as np
import pyarrow as pa

from mcrage.classifiers.registry import fit
from mcrage.datasets.roles import Roles
from mcrage.rebalancing import Labels


def soft_labels(
    settings: dict[str, Any], train: pa.Table, roles: Roles, *, seed: int, threads: int = 1
) -> Labels:
    """Fit a classifier on real rows, to tell how likely synthetic rows have each outcome.

    Parameters
    ----------
    settings : dict
        Of the classifier that teaches, resolved.
    train : pyarrow.Table
        The real rows it is fitted on.
    roles : Roles
    seed, threads : int
    """
    score = fit(settings, train, None, roles, seed=seed, threads=threads)
    shape = (0,) if roles.target.is_binary else (0, len(roles.target.levels))
    # Where nothing lacks there are no rows, which scikit-learn refuses.
    return lambda rows: score(rows) if rows.num_rows else np.empty(shape)
