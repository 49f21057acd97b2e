# SPDX-License-Identifier: MIT
"""One run of each classifier, fitted anew: its scores are what its treatment's table alone teaches.

To fit all runs anew would double the work of an experiment. What a stage does wrong it does in
every run, so one of each classifier is drawn; of the others `mcrage.leakage.judged` sees what does
not fit together.
"""

from typing import Any

import numpy as np
import pyarrow as pa

from mcrage.classifiers.judged import fit_treated, held_out_table
from mcrage.datasets.roles import Roles
from mcrage.groups import GroupSchema
from mcrage.metrics.predictions import scores_of

FARTHEST = 0.01
"""How far a score may lie from the one that was stored: another machine rounds otherwise, and where
two cuts of a tree are equally good, it may take the other one."""
MOST = 0.01
"""Share of rows that may lie farther."""


def check_refitted(
    run: str,
    classifier: dict[str, Any],
    train: pa.Table,
    weights: pa.Table,
    test: pa.Table,
    roles: Roles,
    predictions: pa.Table,
    *,
    real: pa.Table | None,
    held_out: pa.Table | None = None,
    seed: int,
    threads: int = 1,
) -> list[str]:
    """Fit a run's classifier anew, and compare its scores.

    Parameters
    ----------
    run : str
        Treatment and classifier.
    classifier : dict
        Its settings, resolved.
    train, weights : pyarrow.Table
        What the treatment made.
    test : pyarrow.Table
    roles : Roles
    predictions : pyarrow.Table
        As the run wrote them.
    real : pyarrow.Table or None
        All real training rows, with row_id, where the treatment may leave some out.
    held_out : pyarrow.Table, optional
        See `mcrage.leakage.judged.check_run`.
    seed, threads : int
        Of the run.

    Returns
    -------
    list of str
        One line for each problem; empty when all is well.
    """
    fitted = fit_treated(classifier, train, weights, roles, real=real, seed=seed, threads=threads)
    pairs = {"test": (scores_of(predictions), fitted(test))}
    if held_out is not None:
        anew = held_out_table(fitted.held_out, GroupSchema.of(roles))
        pairs["held-out training"] = scores_of(held_out), scores_of(anew)
    problems = []
    for rows, (stored, expected) in pairs.items():
        far = np.abs(stored - expected) > FARTHEST
        if far.mean() > MOST:
            problems.append(
                f"{run}: {int(far.sum())} of {far.size} scores of {rows} rows are not those of a "
                "classifier fitted on its rebalanced table alone"
            )
    return problems
