# SPDX-License-Identifier: MIT
"""Whether groups are large enough for what is asked of them.

Apart from `scenario`, whose code shapes every table: an edit of the check trains nothing again.
"""

from collections.abc import Mapping, Sequence

from mcrage.errors import UserError


def check_groups(
    train: Mapping[str, int],
    validation: Mapping[str, int],
    smallest: Mapping[str, int],
    judged_on_validation: Sequence[str],
    positives: int,
) -> None:
    """Refuse a training set that the treatments asked for can't learn from.

    Parameters
    ----------
    train, validation : mapping of str to int
        Rows by group label.
    smallest : mapping of str to int
        Rows that each treatment needs in every group.
    judged_on_validation : sequence of str
        Generators whose checkpoint is chosen by a classifier's F1 on the validation set.
    positives : int
        Rows of the positive level in the validation set.

    Raises
    ------
    UserError
        One line for each problem.
    """
    problems = [
        f"group {group} has no training row left, and nothing can be learnt about it"
        for group, n in train.items()
        if n == 0
    ]
    for treatment, needed in smallest.items():
        problems += [
            f"group {group} has {n} training rows, but treatment '{treatment}' needs {needed}"
            for group, n in train.items()
            if 0 < n < needed
        ]
    if judged_on_validation and not positives:
        problems.append(
            f"the validation set of {sum(validation.values())} rows has no positive one, but the "
            f"checkpoint of {', '.join(judged_on_validation)} is chosen on it by F1"
        )
    if problems:
        raise UserError(
            "The training set is too small for what is asked:\n"
            + "\n".join(f"  {problem}" for problem in problems)
            + "\nKeep a larger fraction in the scenario, lower k_neighbors of the generator, or "
            "leave the treatment out."
        )
