# SPDX-License-Identifier: MIT
"""Whether groups are large enough for what is asked of them.

Apart from `scenario`, whose code shapes every table: an edit of the check trains nothing again.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mcrage.errors import UserError
from mcrage.groups import GroupSchema
from mcrage.rare_groups import refusal, rows_to_learn_from, table

logger = logging.getLogger(__name__)


def check_groups(
    schema: GroupSchema,
    train: np.ndarray,
    validation: np.ndarray,
    rare_groups: Mapping[str, Any],
    smallest: Mapping[str, int],
    judged_on_validation: Sequence[str],
    for_two_levels: Sequence[Sequence[str]] = (),
) -> None:
    """Refuse a training set that the treatments asked for can't learn from.

    Parameters
    ----------
    schema : GroupSchema
    train, validation : ndarray of int, shape (n_groups,)
        Rows of each group.
    rare_groups : mapping
        ``fewer_than`` and ``then``; see `mcrage.config.rare_groups.RareGroups`.
    smallest : mapping of str to int
        Rows that each treatment needs in every group that it fills, borrowed ones among them.
    judged_on_validation : sequence of str
        Generators whose checkpoint is chosen by a classifier's F1 on the validation set.

    for_two_levels : sequence of pairs of str
        Key and value of what a target of more levels can't have.

    Raises
    ------
    UserError
        One line for each problem.
    """
    if (n_levels := schema.shape[-1]) > 2 and for_two_levels:
        raise UserError(
            "\n".join(
                f"{key}: '{value}' is for a target of two levels; this one has {n_levels} "
                f"({', '.join(schema.levels[-1])}). Leave '{value}' out, or join levels by "
                "replace in the card"
                for key, value in for_two_levels
            )
        )
    rare = {schema.label(k): int(n) for k, n in enumerate(train) if n < rare_groups["fewer_than"]}
    if rare and rare_groups["then"] == "stop":
        raise UserError(refusal(rare, **rare_groups))
    for told in table([_by_label(train, schema)], schema, rare_groups):
        logger.info("rare group %s: %s own rows, %s", *told)
    known = rows_to_learn_from(train, schema, rare_groups)
    problems = [
        f"group {schema.label(group)} has no training row left, nor has another with its level of "
        "the target, and nothing can be learnt about it"
        for group, n in known.items()
        if n == 0
    ]
    for treatment, needed in smallest.items():
        problems += [
            f"group {schema.label(group)} has {n} training rows, but treatment '{treatment}' needs "
            f"{needed}"
            for group, n in known.items()
            if 0 < n < needed
        ]
    positives = int(validation[schema.target_of(np.arange(schema.n_groups)) > 0].sum())
    if judged_on_validation and not positives:
        problems.append(
            f"the validation set of {int(validation.sum())} rows has no positive one, but the "
            f"checkpoint of {', '.join(judged_on_validation)} is chosen on it by F1"
        )
    if problems:
        raise UserError(
            "The training set is too small for what is asked:\n"
            + "\n".join(f"  {problem}" for problem in problems)
            + "\nKeep a larger fraction in the scenario, lower k_neighbors of the generator, set "
            "rare_groups to back_off with a higher fewer_than, or leave the treatment out."
        )


def _by_label(counts: np.ndarray, schema: GroupSchema) -> dict[str, int]:
    return {schema.label(group): int(n) for group, n in enumerate(counts)}
