# SPDX-License-Identifier: MIT
"""From the training set and synthetic rows to the table and weights that a classifier gets."""

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from mcrage.bands import within_bands
from mcrage.datasets.roles import Roles
from mcrage.encoding.columns import feature_arrays, of_levels
from mcrage.errors import UserError
from mcrage.groups import GroupSchema, filling_plan, shared_filling_plan
from mcrage.tables import IS_SYNTHETIC, LABEL_WEIGHT, ROW_ID

Labels = Callable[[pa.Table], np.ndarray]
"""Synthetic rows to the probability of the positive level of each, float64 of shape (m,), or where
the target has more than two levels of each level, (m, n_levels)."""


def synthetic_table(
    features: np.ndarray, groups: np.ndarray, template: pa.Table, roles: Roles
) -> pa.Table:
    """Assemble drawn rows into the user's columns, dtypes and order.

    Parameters
    ----------
    features : ndarray of float64, shape (m, d)
        Like `mcrage.generators.base.TrainingData.features`.
    groups : ndarray of int64, shape (m,)
    template : pyarrow.Table
        A real table, for column order and types; its rows are not read. Columns that are neither a
        feature nor part of the group (such as a patient's number) become null: synthetic rows are
        nobody's.
    roles : Roles

    Returns
    -------
    pyarrow.Table
        m rows, without row_id.
    """
    wanted = synthetic_schema(template.schema)
    schema = GroupSchema.of(roles)
    features = within_bands(features, groups, schema, roles)
    made = feature_arrays(features, roles.features, wanted)
    for column, levels, codes in schema.levels_of(groups):
        made[column] = of_levels(codes, levels, wanted.field(column).type)
    arrays = [
        made[field.name] if field.name in made else pa.nulls(len(groups), field.type)
        for field in wanted
    ]
    return pa.table(arrays, schema=wanted)


def synthetic_schema(template: pa.Schema) -> pa.Schema:
    """Return the schema of synthetic rows: a real table's, without row_id and metadata."""
    return pa.schema([field.remove_metadata() for field in template if field.name != ROW_ID])


def take_per_group(groups: np.ndarray, plan: np.ndarray) -> np.ndarray:
    """Return the numbers of the first ``plan[k]`` rows of each group k, sorted.

    Rows of one group are exchangeable draws, so the first are as good as any, and what a smaller
    plan takes is a part of what a larger one does.

    Raises
    ------
    UserError
        If a group has fewer rows than asked for.
    """
    taken = []
    for group, wanted in enumerate(plan):
        rows = np.flatnonzero(groups == group)[:wanted]
        if len(rows) < wanted:
            raise UserError(
                f"group {group}: {wanted} synthetic rows are asked for, {len(rows)} were drawn. "
                "Delete synthetic.parquet and run snakemake again."
            )
        taken.append(rows)
    return np.sort(np.concatenate(taken))


def rows_to_add(
    counts: np.ndarray,
    schema: GroupSchema,
    *,
    by: str,
    size: float,
    fill: float,
    rows: int | None = None,
    leave_below: int = 0,
) -> np.ndarray:
    """Return how many synthetic rows each group gets, int64 of shape (n_groups,).

    Parameters
    ----------
    counts : ndarray of int, shape (n_groups,)
        Real rows.
    schema : GroupSchema
    by : {"group", "subgroup", "target", "rows"}
        What is filled. With ``rows`` nothing is balanced: as many rows as with ``group`` in all, in
        the mix of the real ones; what volume alone does.
    size, fill : float
        See `mcrage.groups.filling_plan`.
    rows : int, optional
        With ``rows``, how many in all; None: as many as with ``group``.
    leave_below : int
        Groups with fewer real rows get none; see `mcrage.rare_groups.leave_below`.
    """
    if by == "group":
        plan = filling_plan(counts, fill, size)
    elif by == "rows":
        n_added = filling_plan(counts, fill, size).sum() if rows is None else rows
        plan = np.floor(n_added * counts / max(counts.sum(), 1) + 1e-9).astype(np.int64)
    else:
        strata = strata_of(by, np.arange(schema.n_groups), schema)
        plan = shared_filling_plan(counts, strata, fill, size)
    return np.where(np.asarray(counts) < leave_below, 0, plan)


def rebalance(
    train: pa.Table,
    schema: GroupSchema,
    *,
    synthetic: pa.Table | None = None,
    fill: float = 1.0,
    fill_by: str = "group",
    size: float = 1.0,
    rows: int | None = None,
    leave_below: int = 0,
    labels: Labels | None = None,
    oversample: str | None = None,
    undersample: str | None = None,
    weights: str | None = None,
    weights_over: Sequence[str] | None = None,
    seed: int = 0,
) -> tuple[pa.Table, pa.Table]:
    """Apply a treatment.

    Parameters
    ----------
    train : pyarrow.Table
        Real rows with row_id.
    schema : GroupSchema
    synthetic : pyarrow.Table, optional
        Rows of a generator, without row_id; filled in by `rows_to_add`.
    fill : float in (0, 2]
        The dose: rows to add over rows that are lacking. With the same seed and synthetic rows, a
        smaller dose adds a part of the rows that a larger one does.
    fill_by : {"group", "subgroup", "target", "rows"}
        What the synthetic rows make equally large; see `rows_to_add`.
    size : float
        How large, in multiples of the largest.
    rows : int, optional
        How many to add in all where `fill_by` or `oversample` is ``rows``.
    leave_below : int
        Groups with fewer real rows get no synthetic ones.
    labels : callable, optional
        Told the synthetic rows that are added, returns how likely each has the positive level.
        Each is then added once with every level of the target, and weighs as likely as it is.
    oversample : {"group", "subgroup", "target", "rows"}, optional
        Repeat real rows; with ``fill = 1`` until these are equally frequent. With ``rows`` any are
        repeated, as many as with ``group`` in all.
    undersample : {"group", "subgroup", "target"}, optional
        Leave real rows out until these are as frequent as the rarest of them.
    weights : {"group", "subgroup", "target", "reweighing"}, optional
        Weight rows so that these weigh the same; for reweighing see `reweighing`.
    weights_over : sequence of str, optional
        Sensitive attributes that weights go by; see `row_weights`.
    seed : int
        For the choice of repeated rows, and of those left out.

    Returns
    -------
    rebalanced : pyarrow.Table
        The user's columns and is_synthetic, and with `labels` label_weight. Real rows first,
        repeated ones after them, synthetic ones last: with `labels` all with the last level (of
        two, the positive one), then all with the one before.
    weights : pyarrow.Table
        row_id (null for synthetic rows) and weight, in the same order. Their mean is 1 (that of
        reweighing is less where a group is empty). With `labels` a real row weighs 1, and so do all
        of a synthetic one together, before `weights` balance what rows weigh instead of how many
        they are.
    """
    groups = schema.index(train)
    real = np.arange(train.num_rows)
    if undersample:
        real = thinned_rows(strata_of(undersample, groups, schema), seed)
    if oversample == "rows":
        n_added = int(filling_plan(schema.counts(groups), fill).sum()) if rows is None else rows
        real = np.concatenate([real, np.random.default_rng(seed).integers(0, len(real), n_added)])
    elif oversample:
        strata = strata_of(oversample, groups, schema)
        real = np.concatenate([real, repeated_rows(strata, seed, fill)])
    parts = [train.take(real)]
    row_ids = [parts[0].column(ROW_ID).combine_chunks()]
    parts[0] = parts[0].drop_columns([ROW_ID])
    flags = [np.zeros(len(real), dtype=bool)]
    all_groups = [groups[real]]
    if synthetic is not None:
        drawn = schema.index(synthetic)
        plan = rows_to_add(
            *(schema.counts(groups), schema),
            **{"by": fill_by, "size": size, "fill": fill, "rows": rows},
            leave_below=leave_below,
        )
        taken = take_per_group(drawn, plan)
        added = synthetic.take(taken).select(parts[0].column_names)
        if labels is not None:
            likely = labels(added)
            if likely.ndim == 1:
                likely = np.stack([1.0 - likely, likely], axis=1)
            falling = range(schema.shape[-1])[::-1]
            added = pa.concat_tables([_labelled(added, schema, level) for level in falling])
        parts.append(added)
        row_ids.append(pa.nulls(added.num_rows, pa.int64()))
        flags.append(np.ones(added.num_rows, dtype=bool))
        all_groups.append(schema.index(added))
    table = pa.concat_tables([part.replace_schema_metadata() for part in parts])
    table = table.append_column(IS_SYNTHETIC, pa.array(np.concatenate(flags)))
    mass = None
    if synthetic is not None and labels is not None:
        mass = np.concatenate([np.ones(len(real)), likely[:, ::-1].T.ravel()])
        table = table.append_column(LABEL_WEIGHT, pa.array(mass))
    weight = row_weights(np.concatenate(all_groups), schema, weights, weights_over, mass)
    return table, pa.table({ROW_ID: pa.concat_arrays(row_ids), "weight": weight})


def _labelled(rows: pa.Table, schema: GroupSchema, level: int) -> pa.Table:
    """Return rows with this level of the target, whatever theirs is."""
    name = schema.columns[-1]
    place = rows.schema.get_field_index(name)
    field = rows.schema.field(place)
    codes = np.full(rows.num_rows, level)
    return rows.set_column(place, field, of_levels(codes, schema.levels[-1], field.type))


def strata_of(by: str, groups: np.ndarray, schema: GroupSchema) -> np.ndarray:
    """Return the stratum of each group number: itself, its subgroup or its level of the target.

    Parameters
    ----------
    by : {"group", "subgroup", "target"}
    groups : ndarray of int64, shape (n,)
    schema : GroupSchema
    """
    if by == "group":
        return np.asarray(groups)
    return schema.subgroup_of(groups) if by == "subgroup" else schema.target_of(groups)


def thinned_rows(strata: np.ndarray, seed: int) -> np.ndarray:
    """Return the numbers of rows that stay when all strata become as small as the smallest.

    Drawn without replacement within a stratum, as imbalanced-learn's RandomUnderSampler does.

    Parameters
    ----------
    strata : ndarray of int, shape (n,)
        Not negative.
    seed : int

    Returns
    -------
    ndarray of int64
        Sorted.
    """
    values, counts = np.unique(strata, return_counts=True)
    kept = [
        np.random.default_rng([seed, value]).choice(
            np.flatnonzero(strata == value), size=counts.min(), replace=False
        )
        for value in values
    ]
    return np.sort(np.concatenate(kept))


def repeated_rows(strata: np.ndarray, seed: int, fill: float = 1.0) -> np.ndarray:
    """Return the numbers of rows to repeat so that all strata are as large as the largest.

    Drawn with replacement within a stratum, as imbalanced-learn's RandomOverSampler does (the
    oracle in the tests; importing it takes longer than all of this stage).

    Parameters
    ----------
    strata : ndarray of int, shape (n,)
        Not negative.
    seed : int
    fill : float in (0, 2]
        Repetitions over rows that are lacking; see `mcrage.groups.filling_plan`.

    Returns
    -------
    ndarray of int64
        Row numbers beside the original ones, one for each repetition.
    """
    values, counts = np.unique(strata, return_counts=True)
    # A stream for each stratum: a larger dose goes on where a smaller one ended.
    return np.concatenate(
        [
            np.random.default_rng([seed, value]).choice(np.flatnonzero(strata == value), size=size)
            for value, size in zip(values, filling_plan(counts, fill), strict=True)
        ]
    )


def row_weights(
    groups: np.ndarray,
    schema: GroupSchema,
    by: str | None,
    over: Sequence[str] | None = None,
    mass: np.ndarray | None = None,
) -> np.ndarray:
    """Return the weight of each row of a rebalanced table.

    Parameters
    ----------
    groups : ndarray of int64, shape (n,)
    schema : GroupSchema
    by : {"group", "subgroup", "target", "reweighing"} or None
        What weighs the same; None: every row does.
    over : sequence of str, optional
        Sensitive attributes that make subgroups here, rows of all levels of the others together;
        None: all of them.
    mass : ndarray of float64, shape (n,), optional
        What a row weighs before: how likely its label is. Groups then count for what their rows
        weigh, and a row's weight is a multiple of its own. None: every row is one.

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    mass = np.ones(len(groups)) if mass is None else np.asarray(mass, dtype=np.float64)
    if by is None:
        return mass
    if over is not None:
        groups, schema = schema.merged(groups, over)
    if by == "reweighing":
        return reweighing(schema.subgroup_of(groups), schema.target_of(groups), mass)
    return equal_weights(strata_of(by, groups, schema), mass)


def reweighing(
    subgroups: np.ndarray, targets: np.ndarray, mass: np.ndarray | None = None
) -> np.ndarray:
    """Return weights P(s) P(y) / P(s, y): subgroup and target become independent.

    Kamiran and Calders 2012, doi:10.1007/s10115-011-0463-8. Both stay as frequent as they are.

    Parameters
    ----------
    subgroups, targets : ndarray of int, shape (n,)
        Not negative.
    mass : ndarray of float64, shape (n,), optional
        See `row_weights`.

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    mass = np.ones(len(subgroups)) if mass is None else mass
    n_s, n_y = np.bincount(subgroups, mass), np.bincount(targets, mass)
    together = np.zeros((len(n_s), len(n_y)))
    np.add.at(together, (subgroups, targets), mass)
    wanted = n_s[subgroups] * n_y[targets]
    return mass * _share(wanted, mass.sum() * together[subgroups, targets])


def equal_weights(strata: np.ndarray, mass: np.ndarray | None = None) -> np.ndarray:
    """Return weights n/(K n_k): every stratum present weighs the same, and the mean is 1.

    Parameters
    ----------
    strata : ndarray of int, shape (n,)
    mass : ndarray of float64, shape (n,), optional
        See `row_weights`. A stratum that weighs nothing before is not present.

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    mass = np.ones(len(strata)) if mass is None else mass
    _, inverse = np.unique(strata, return_inverse=True)
    counts = np.bincount(inverse, mass)
    n_present = np.count_nonzero(counts)
    return mass * _share(mass.sum(), n_present * counts)[inverse]


def _share(wanted: np.ndarray | float, there: np.ndarray) -> np.ndarray:
    """Return wanted/there; 0 of strata that weigh nothing, whose rows can't weigh more."""
    wanted = np.broadcast_to(wanted, np.shape(there))
    return np.divide(wanted, there, out=np.zeros(np.shape(there)), where=np.asarray(there) > 0)
