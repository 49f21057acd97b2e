# SPDX-License-Identifier: MIT
"""What was fitted: that it descends from training rows alone, and is what they alone give."""

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import pyarrow as pa

from mcrage.encoding.mixed import MixedEncoding
from mcrage.encoding.numeric import NumericEncoding
from mcrage.generators.base import TrainingData
from mcrage.groups import GroupSchema
from mcrage.lineage import Lineage
from mcrage.rebalancing import Labels, row_weights
from mcrage.tables import LABEL_WEIGHT

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


def check_scaler(
    generator: str,
    arrays: Mapping[str, np.ndarray],
    facts: Mapping[str, Any],
    train: TrainingData,
    seed: int,
) -> list[str]:
    """Fit the scaler anew on training rows, and compare.

    Parameters
    ----------
    generator : str
    arrays, facts : mapping
        Of the stored model. A model without an encoding has no scaler.
    train : TrainingData
        What it may have learnt from, rows that rare groups borrow among it.
    seed : int
        Of its training.
    """
    if "encoding" not in facts:
        return []
    anew, _ = encoding_anew(facts["encoding"], train, seed).state()
    stored = {
        name.removeprefix(_PREFIX): array
        for name, array in arrays.items()
        if name.startswith(_PREFIX)
    }
    return [
        f"{generator}: the scaler's {name} is not what its training rows give"
        for name in sorted(anew.keys() | stored.keys())
        if name not in anew
        or name not in stored
        or anew[name].shape != stored[name].shape
        or not np.allclose(anew[name], stored[name], rtol=1e-9, atol=1e-12, equal_nan=True)
    ]


def check_stored_rows(
    generator: str,
    arrays: Mapping[str, np.ndarray],
    facts: Mapping[str, Any],
    train: TrainingData,
    seed: int,
) -> list[str]:
    """Check that a model which keeps rows keeps those of its training table, and no others.

    Parameters
    ----------
    generator : str
    arrays, facts : mapping
        Of the stored model; ``rows`` are encoded features if there is an encoding, ``groups`` are
        theirs. A model with neither keeps no rows.
    train : TrainingData
        What it may have learnt from.
    seed : int
        Of its training.
    """
    rows, groups = arrays.get("rows"), arrays.get("groups")
    problems = []
    if rows is not None:
        if "encoding" in facts:
            expected = encoding_anew(facts["encoding"], train, seed).transform(train.rows)
        else:
            expected = train.features
        if isinstance(expected, tuple):
            expected, codes = expected
            if not np.array_equal(arrays.get("codes"), codes):
                problems.append(
                    f"{generator}: the codes that the model keeps are not those of its "
                    f"{len(codes)} training rows"
                )
        # Encoded values are float32.
        if rows.shape != expected.shape or not np.allclose(
            rows, expected, rtol=1e-5, atol=1e-6, equal_nan=True
        ):
            problems.append(
                f"{generator}: the {len(rows)} rows that the model keeps are not its "
                f"{len(expected)} training rows"
            )
    if groups is not None and not np.array_equal(groups, train.groups):
        problems.append(
            f"{generator}: the {len(groups)} groups that the model keeps are not those of its "
            f"{len(train.groups)} training rows"
        )
    return problems


def check_learnt(
    generator: str,
    arrays: Mapping[str, np.ndarray],
    facts: Mapping[str, Any],
    train: TrainingData,
    seed: int,
) -> list[str]:
    """Check what can be told of a model without learning it again, if its kind says how.

    Parameters
    ----------
    generator : str
    arrays, facts : mapping
        Of the stored model.
    train : TrainingData
        What it may have learnt from.
    seed : int
        Of its training.
    """
    # By name: an edit of what checks one kind reruns no guard of others.
    kind = import_module("mcrage.generators.registry").KINDS[facts["kind"]]
    return [
        problem
        for module in kind.guard.modules
        for problem in import_module(module).check(generator, arrays, facts, train, seed)
    ]


def check_weights(
    treatment: str,
    weights: pa.Table,
    rebalanced: pa.Table,
    schema: GroupSchema,
    by: str | None,
    over: Sequence[str] | None = None,
) -> list[str]:
    """Compute the weights anew from the rows that they belong to, and compare.

    Parameters
    ----------
    treatment : str
    weights, rebalanced : pyarrow.Table
        Of the same length.
    schema : GroupSchema
    by : {"target", "subgroup", "group", "reweighing"} or None
        What the treatment makes weigh the same.
    over : sequence of str, optional
        See `mcrage.rebalancing.row_weights`.
    """
    anew = row_weights(schema.index(rebalanced), schema, by, over)
    if np.allclose(anew, weights.column("weight").to_numpy(), rtol=1e-9):
        return []
    return [f"{treatment}: weights.parquet is not what the rows of rebalanced.parquet give"]


def check_labels(
    treatment: str,
    weights: pa.Table,
    rebalanced: pa.Table,
    schema: GroupSchema,
    n_real: int,
    labels: Labels,
) -> list[str]:
    """Compare labels and their weights with those that training rows alone teach.

    Parameters
    ----------
    treatment : str
    weights, rebalanced : pyarrow.Table
        Of the same length; synthetic rows last, with the last level of the target (of two, the
        positive one), then with the one before.
    schema : GroupSchema
    n_real : int
        Real rows before them.
    labels : callable
        The classifier that labelled them, fitted anew.
    """
    n_levels = schema.shape[-1]
    n_synthetic = (rebalanced.num_rows - n_real) // n_levels
    starts = [n_real + copy * n_synthetic for copy in range(n_levels)]
    copies = [rebalanced.slice(start, n_synthetic) for start in starts]
    rows, target = copies[0], schema.columns[-1]
    others = [name for name in rebalanced.column_names if name not in (target, LABEL_WEIGHT)]
    if n_real + n_levels * n_synthetic != rebalanced.num_rows or any(
        not copy.select(others).equals(rows.select(others))
        or (schema.target_of(schema.index(copy)) != level).any()
        for level, copy in zip(range(n_levels)[::-1], copies, strict=True)
    ):
        return [
            f"{treatment}: the synthetic rows in rebalanced.parquet do not stand once with every "
            "level of the target, the last one (of two, the positive one) first"
        ]
    likely = labels(rows)
    if likely.ndim == 1:
        likely = np.stack([1.0 - likely, likely], axis=1)
    anew = np.concatenate([np.ones(n_real), likely[:, ::-1].T.ravel()])
    for place, column in (
        ("weights.parquet", weights.column("weight")),
        ("rebalanced.parquet", rebalanced.column(LABEL_WEIGHT)),
    ):
        found = column.to_numpy()
        # Sums of many small numbers: another number of threads may round them otherwise.
        if len(anew) != len(found) or not np.allclose(anew, found, rtol=0, atol=1e-6):
            return [
                f"{treatment}: the weights in {place} are not those of labels that the training "
                "rows alone teach"
            ]
    return []


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


def encoding_anew(
    facts: Mapping[str, Any], train: TrainingData, seed: int
) -> NumericEncoding | MixedEncoding:
    """Fit an encoding as a stored one says that it was fitted.

    Parameters
    ----------
    facts : mapping
        ``encoding`` of a stored model.
    train : TrainingData
    seed : int
        Of the training.
    """
    if "options" in facts:
        return MixedEncoding.fit(
            train.rows,
            train.roles.features,
            **facts["options"],
            seed=seed,
            within=train.within(facts["options"]["scaling"]),
        )
    return NumericEncoding.fit(
        train.rows,
        train.roles.features,
        scaling=facts["scaling"],
        derive=len(facts["modelled"]) < len(facts["features"]),
        seed=seed,
        within=train.within(facts["scaling"]),
    )
