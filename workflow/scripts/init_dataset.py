# SPDX-License-Identifier: MIT
"""Write a card of one's own table, and an experiment, to read and edit. Overwrites nothing.

Local: ``asked`` (path, target, sensitive and, if given, cluster and name); ``cards`` and
``experiments``, folders to write to.
"""

import logging
import os
import sys
from pathlib import Path

from mcrage.config.base import check_name
from mcrage.datasets.card_model import Card, PrepareSettings
from mcrage.datasets.cards import prepare_settings, read_card
from mcrage.datasets.column_model import SensitiveCard
from mcrage.datasets.file_model import CsvFormat
from mcrage.datasets.first_card import card_text, dataset_name, experiment_text
from mcrage.datasets.infer import infer, told
from mcrage.datasets.prepare import prepare
from mcrage.datasets.reading import read_alone
from mcrage.datasets.short_card import csv_layout, names_of
from mcrage.errors import UserError, told_of
from mcrage.stage import run_stage
from mcrage.tables import atomic_output

EXAMPLE = "snakemake init_dataset --config path=patients.csv target=died sensitive=sex,race"


def main(input, output, params, wildcards, threads, origin) -> None:
    """Run the stage."""
    local = params["local"]
    asked = {key: value for key, value in local["asked"].items() if value is not None}
    for key in ("path", "target", "sensitive"):
        if key not in asked:
            raise UserError(f"{key} is missing; write e.g.: {EXAMPLE}")
    path, target = str(asked["path"]), str(asked["target"])
    cluster = names_of(asked.get("cluster", []))
    name = dataset_name(path, asked.get("name"))
    try:
        check_name(name)
    except ValueError as error:
        raise UserError(f"name: {error}") from None
    card, experiment = (Path(local[key]) / f"{name}.yaml" for key in ("cards", "experiments"))
    for file in (card, experiment):
        if file.exists():
            raise UserError(
                f"{_shown(file)} is there already, and is not written over; remove it, or give "
                "another name, e.g. name=patients-2"
            )
    if not Path(path).is_file():
        raise UserError(
            f"path: found {path!r}, and there is no such file in {Path.cwd()}; write the path of "
            "your table"
        )
    layout = csv_layout(Path(path))
    table = read_alone(Path(path), CsvFormat(**layout or {}))
    sensitive = {column: SensitiveCard() for column in names_of(asked["sensitive"])}
    decimal = (layout or {}).get("decimal", ".")
    with told_of(path):
        found = infer(table, target=target, sensitive=sensitive, cluster=cluster, decimal=decimal)
    _write(card, card_text(name, path, layout, table, found, target, cluster))
    # What was written has to be a card that the table fits.
    try:
        read = read_card(str(card), card.parent)
        prepared = prepare(PrepareSettings.model_validate(prepare_settings(read)), [path])
    except UserError:
        # Else the next call, with what is wrong mended, would find a card there already.
        card.unlink()
        raise
    _write(experiment, experiment_text(name, sum(prepared.group_counts.values())))
    text = "\n".join(
        [
            f"{path}: {table.num_rows:,} rows, {table.num_columns} columns",
            "",
            told(found),
            "",
            *(f"Look at {n}: {g.warning}" for n, g in found.guesses.items() if g.warning),
            *(_groups_told(prepared.group_counts)),
            f"\nWrote {_shown(card)}: read it, above all {_to_look_at(read)}",
            "bands, and what is ignored.",
            f"Wrote {_shown(experiment)}: the experiment. To see what it would do, and to run it:",
            f"  snakemake preflight --configfile {_shown(experiment)}",
            f"  snakemake --cores all --configfile {_shown(experiment)}",
        ]
    )
    logging.info("%s", text)
    sys.stdout.write(text + "\n")


def _to_look_at(card: Card) -> str:
    """Return what only the user knows of the target; of more than two levels none is positive."""
    two = len(card.target.levels or ()) == 2
    return "which level of the target is the positive one, the" if two else "the levels, the"


def _groups_told(counts: dict[str, int]) -> list[str]:
    smallest = sorted(counts, key=counts.get)[:3]
    told = "; ".join(f"{label}: {counts[label]:,}" for label in smallest)
    return [f"\n{len(counts)} groups, of {sum(counts.values()):,} rows. The smallest: {told} rows."]


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_output(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _shown(path: Path) -> str:
    """Return a path from here, where that is shorter."""
    return min(str(path), os.path.relpath(path), key=len)


if __name__ == "__main__":
    run_stage(snakemake, main)
