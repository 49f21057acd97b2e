# SPDX-License-Identifier: MIT
"""The first card of one's own table, and an experiment to go with it: text to read and edit."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from mcrage.datasets.column_model import Column, SensitiveCard
from mcrage.datasets.decimals import as_numbers, only_numbers
from mcrage.datasets.infer import Inferred, days_of
from mcrage.encoding.columns import as_text
from mcrage.errors import UserError

_WIDE = 10_000
_SHOWN_LEVELS = 40
LARGE_TABLE = 10_000
"""Rows from which on the diffusion model is that for large tables."""


def dataset_name(path: str, name: str | None) -> str:
    """Return the dataset's name: as asked for, or what the file's name gives.

    Raises
    ------
    UserError
        If nothing of the file's name may stand in a dataset's.
    """
    if name is not None:
        return str(name)
    stem = Path(path).name.removesuffix(".gz").rsplit(".", 1)[0]
    made = re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-_")
    if not made:
        raise UserError(
            f"path: the name of {path!r} makes no name of a dataset; add one to --config, e.g. "
            "name=patients"
        )
    return made[:64]


def card_text(
    name: str,
    path: str,
    layout: Mapping[str, Any] | None,
    table: pa.Table,
    found: Inferred,
    target: str,
    cluster: Sequence[str],
) -> str:
    """Return the card as commented YAML.

    Parameters
    ----------
    name, path : str
    layout : mapping or None
        The section `format`; None for Parquet.
    table : pyarrow.Table
        As the file has it.
    found : Inferred
    target : str
    cluster : sequence of str
    """
    lines = [
        f"# The table {path}, as `snakemake init_dataset` found it. Edit what is wrong: this file",
        "# alone says what is done with the table. A key or value that can't be is refused before",
        "# anything is run. Lines may be deleted: what is not here is found from the data.",
        f"name: {name}",
        _line("title", name) + " # heads the pages of the report",
        'description: "" # whose rows these are, from when and where; for the reader of the report',
        'licence: ""',
        'citation: ""',
        "",
        "# From the folder in which Snakemake runs. A change of the file makes all that rests on",
        "# it anew.",
        _line("path", path),
    ]
    if layout is not None:
        lines += ["", "# How to read the file; na_values are the texts that mean missing."]
        lines += [f"format: {_flow(dict(layout))}"]
    lines += ["", *_target_lines(target, table.column(target))]
    lines += [
        "",
        "# Groups are the combinations of these attributes and the target. A number becomes an",
        "# attribute by bands: [45, 65] makes below 45, 45 to 64, and 65 and above.",
        "sensitive:",
    ]
    decimal = (layout or {}).get("decimal", ".")
    for column, card in found.sensitive.items():
        values = table.column(column)
        lines += _sensitive_lines(column, card, found.columns[column], values, decimal)
    lines += [
        "",
        "# The column that says whose the rows are, where patients or hospitals have several: all",
        "# rows of one stay on one side of a split.",
        _line("cluster", list(cluster)) if cluster else "# cluster: patient_id",
    ]
    if found.drop_rows_without:
        lines += ["", "# Rows without these are left out."]
        lines += [f"drop_rows_without: {_flow(list(found.drop_rows_without))}"]
    lines += [
        "",
        "# What each column is. type: continuous, integer, category, ordinal (give its levels,",
        "# lowest first), date, or ignored, which leaves the column out of every table. missing:",
        "# keep (that a value is missing is information), impute, or refuse. Of numbers also:",
        "# unit, label, minimum and maximum where they hold by definition, and formula where a",
        "# column follows from others.",
        "columns:",
    ]
    for column, declared in found.columns.items():
        lines += _column_lines(column, declared, found)
    return "\n".join(lines) + "\n"


def experiment_text(name: str, n_rows: int) -> str:
    """Return the config of an experiment on the table as it is.

    Parameters
    ----------
    name : str
        The dataset's.
    n_rows : int
        That the card leaves of it.
    """
    large = n_rows >= LARGE_TABLE
    mcrage = "mcrage_tuned_large" if large else "mcrage_own_labels"
    treatments = ["imbalanced", "target_weights", "group_weights", "group_oversampling", "smote"]
    treatments += [mcrage]
    shown = ["imbalanced", mcrage]
    why = f"""\
  # {n_rows:,} rows: MCRAGE is {mcrage}, whose diffusion model is meant for {LARGE_TABLE:,} and
  # more, and follows heavy tails. Its synthetic rows stand there twice, once with either outcome:
  # train with label_weight as sample weight. smote learns from at most generators.smote.max_rows
  # rows, drawn within each group.
"""
    return f"""\
# An experiment on {name}, for: snakemake --cores all --configfile FILE
# Every key, and every treatment that there is, is explained in config.yaml.
experiment:
  title: {_flow(f"{name}, rebalanced")}
  datasets: [{name}]
  scenarios: [natural] # the table as it is, no rows taken away
{why if large else ""}\
  treatments: {_flow(treatments)}
  classifiers: [random_forest]
  baselines: [imbalanced]
  # How often all is done with another split. Differences need several, 20 for a small subgroup.
  replicates: 5
rebalanced_csv: true # beside each rebalanced.parquet
figures:
  umap_treatments: {_flow(shown)}
  density_treatments: [{mcrage}]
  roc_treatments: {_flow(shown)}
"""


def _target_lines(name: str, values: pa.ChunkedArray) -> list[str]:
    counts = _counts(values)
    levels = list(counts)
    told = ", ".join(f"{level} {rows:,}" for level, rows in counts.items())
    lines = ["# What is to be predicted.", "target:", f"  {_line('column', name)}"]
    if len(levels) == 2:
        lines.append(
            f"  {_line('levels', levels)} # rows: {told}. The second is the positive one, whose "
            "probability is predicted."
        )
    else:
        lines.append(f"  {_line('levels', levels)} # rows: {told}")
    return lines


def _sensitive_lines(
    name: str, card: SensitiveCard, column: Column, values: pa.ChunkedArray, decimal: str
) -> list[str]:
    if card.bands is None:
        told = ", ".join(f"{level} {rows:,}" for level, rows in _counts(values).items())
        missing = f", missing {values.null_count:,}" if values.null_count else ""
        return [f"  {_key(name)}: {{}} # rows: {told}{missing}"]
    bands = [edge if not isinstance(edge, float) else _whole(edge) for edge in card.bands]
    told = ", ".join(
        f"{band} {rows:,}"
        for band, rows in zip(
            card.band_names(column), _in_bands(values, card, column, decimal), strict=True
        )
    )
    return [f"  {_key(name)}:", f"    {_line('bands', bands)} # rows: {told}"]


def _in_bands(
    values: pa.ChunkedArray, card: SensitiveCard, column: Column, decimal: str
) -> list[int]:
    array = values.combine_chunks().drop_null()
    if column.type == "date":
        numbers = days_of(array, column)
    else:
        texts = only_numbers(array, decimal)
        numbers = as_numbers(texts, decimal).to_numpy(zero_copy_only=False)
        numbers = numbers[np.isfinite(numbers)]
    return np.histogram(numbers, card.edges())[0].tolist()


def _column_lines(name: str, column: Column, found: Inferred) -> list[str]:
    given = column.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
    if "resolution" in given:
        given["resolution"] = _whole(given["resolution"])
    line = f"  {_key(name)}: {_flow(given)}"
    guessed = found.guesses.get(name)
    if guessed is None:
        return [line]
    if guessed.warning and column.type == "ignored":
        # It says why.
        return [f"  # {guessed.warning}", line]
    warning = [f"  # {guessed.warning}"] if guessed.warning else []
    return [*warning, f"{line} # {guessed.why}"]


def _counts(values: pa.ChunkedArray) -> dict[str, int]:
    """Return how often each value stands in a column, in alphabetical order."""
    counted = pc.value_counts(as_text(values.combine_chunks().drop_null()))
    pairs = zip(counted.field(0).to_pylist(), counted.field(1).to_pylist(), strict=True)
    return dict(sorted(pairs)[:_SHOWN_LEVELS])


def _whole(number: float) -> float | int:
    return int(number) if float(number).is_integer() else number


def _key(name: str) -> str:
    return _flow(name)


def _line(key: str, value: Any) -> str:
    return f"{key}: {_flow(value)}"


def _flow(value: Any) -> str:
    """Return a value as YAML on one line."""
    text = yaml.safe_dump(
        value, default_flow_style=True, width=_WIDE, allow_unicode=True, sort_keys=False
    )
    return text.removesuffix("...\n").strip()
