# SPDX-License-Identifier: MIT
"""What was fitted: that it descends from training rows alone, and is what they alone give."""

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from mcrage.encoding.arrays import arrays_below
from mcrage.leakage.stored import StoredModel
from mcrage.lineage import Lineage

_PREFIX = "encoding."


def check_ancestors(
    made: Mapping[str, str], held_out: Mapping[str, str], lineage: Lineage
) -> list[str]:
    """Check that no held-out table is among the files that something was made from.

    Parameters
    ----------
    made : mapping of str to str
        What it is, e.g. ``"cddpm_tuned's model"``: its file.
    held_out : mapping of str to str
        ``"test"``, ``"validation"``: the file.
    lineage : Lineage
        Reads and checks the chains; a broken one can't prove anything.

    Returns
    -------
    list of str
        One line for each problem; empty when all is well.
    """
    problems = []
    for name, path in made.items():
        steps = lineage.steps([path])
        ancestors = {step.path for step in steps}
        problems += [
            f"{name} descends from {held}.parquet"
            for held, file in held_out.items()
            if file in ancestors
        ]
        problems += [
            f"{name}: where it comes from is not certain: {step.path} {problem}"
            for step in steps
            for problem in step.problems
        ]
    return problems


def check_model(generator: str, recorded: str, expected: str) -> list[str]:
    """Check that a generator's model was fitted on the table it should have been.

    Parameters
    ----------
    generator : str
    recorded : str
        Content hash of the training table that the model stores.
    expected : str
        Content hash of the table it may learn from.
    """
    if recorded == expected:
        return []
    return [
        f"{generator}: the model was fitted on another table (content {recorded[:12]}, expected "
        f"{expected[:12]})"
    ]


def check_borrowed(
    generator: str, recorded: Sequence[Mapping[str, Any]], expected: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Check that a model says of each rare group what was borrowed for it.

    Parameters
    ----------
    generator : str
    recorded, expected : sequence of mapping
        What the model says, and what its training table gives; see `mcrage.rare_groups.settle`.
    """
    if list(recorded) == list(expected):
        return []
    return [f"{generator}: what the model says of rare groups is not what its training rows give"]


def check_scaler(model: StoredModel) -> list[str]:
    """Fit the scaler anew on training rows, and compare; a model without encoding has none."""
    if "encoding" not in model.facts:
        return []
    anew, _ = model.encoding_anew.state()
    stored = arrays_below(_PREFIX, model.arrays)
    return [
        f"{model.generator}: the scaler's {name} is not what its training rows give"
        for name in sorted(anew.keys() | stored.keys())
        if name not in anew
        or name not in stored
        or anew[name].shape != stored[name].shape
        or not np.allclose(anew[name], stored[name], rtol=1e-9, atol=1e-12, equal_nan=True)
    ]


def check_stored_rows(model: StoredModel) -> list[str]:
    """Check that a model which keeps rows keeps those of its training table, and no others.

    Its array ``rows`` holds encoded features if there is an encoding, ``groups`` are theirs. A
    model with neither keeps no rows.
    """
    rows, groups, train = model.arrays.get("rows"), model.arrays.get("groups"), model.train
    problems = []
    if rows is not None:
        if "encoding" in model.facts:
            expected = model.encoding_anew.transform(train.rows)
        else:
            expected = train.features
        if isinstance(expected, tuple):
            expected, codes = expected
            if not np.array_equal(model.arrays.get("codes"), codes):
                problems.append(
                    f"{model.generator}: the codes that the model keeps are not those of its "
                    f"{len(codes)} training rows"
                )
        # Encoded values are float32.
        if rows.shape != expected.shape or not np.allclose(
            rows, expected, rtol=1e-5, atol=1e-6, equal_nan=True
        ):
            problems.append(
                f"{model.generator}: the {len(rows)} rows that the model keeps are not its "
                f"{len(expected)} training rows"
            )
    if groups is not None and not np.array_equal(groups, train.groups):
        problems.append(
            f"{model.generator}: the {len(groups)} groups that the model keeps are not those of "
            f"its {len(train.groups)} training rows"
        )
    return problems


def check_learnt(model: StoredModel) -> list[str]:
    """Check what can be told of a model without learning it again, if its kind says how."""
    # By name: an edit of what checks one kind reruns no guard of others.
    kind = import_module("mcrage.generators.registry").KINDS[model.facts["kind"]]
    return [
        f"{model.generator}: {problem}"
        for module in kind.guard.modules
        for problem in import_module(module).check(model)
    ]


def forbidden_files(
    generator: str | None,
    files: Mapping[str, str],
    judged: Iterable[str],
    learns_from: Mapping[str, str | None],
) -> dict[str, str]:
    """Return the held-out files that nothing made with a generator may descend from.

    Validation rows may choose a checkpoint where the method says so, and only there; what learns
    from that generator's rows inherits it. The test set is forbidden to all.

    Parameters
    ----------
    generator : str or None
    files : mapping of str to str
        ``"test"``, ``"validation"``: the file.
    judged : iterable of str
        Generators whose checkpoint is chosen on validation rows.
    learns_from : mapping of str to (str or None)
        Generator: the generator whose rows it learns from.
    """
    family: set[str] = set()
    while generator and generator not in family:
        family.add(generator)
        generator = learns_from.get(generator)
    chosen = bool(family & set(judged))
    return {name: file for name, file in files.items() if name != "validation" or not chosen}
