# SPDX-License-Identifier: MIT
"""Reading dataset cards (YAML files in ``resources/datasets``), and each stage's slice of one."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from mcrage.config.base import closest, explain
from mcrage.datasets.assembly_model import Join, OfficialTest, RowFilter
from mcrage.datasets.card_model import (
    NAME_PATTERN,
    Card,
    Checksum,
    DownloadSettings,
    Expected,
    PrepareSettings,
)
from mcrage.datasets.column_model import Column, SensitiveCard, TargetCard
from mcrage.datasets.file_model import (
    FILE_PATTERN,
    SHA256_PATTERN,
    Archive,
    CsvFormat,
    File,
    Source,
)
from mcrage.datasets.short_card import expand
from mcrage.errors import UserError

__all__ = [
    "Card",
    "download_settings",
    "known_cards",
    "own_files",
    "parse_card",
    "prepare_settings",
    "read_card",
    "read_cards",
]


def known_cards(folder: str | os.PathLike) -> list[str]:
    """Return the names of the cards in a folder, sorted."""
    return sorted(path.stem for path in Path(folder).glob("*.yaml"))


def read_card(name_or_path: str | os.PathLike, folder: str | os.PathLike) -> Card:
    """Read and check one dataset card.

    Parameters
    ----------
    name_or_path : str or path-like
        A dataset's name, looked up in `folder`, or the path of a card elsewhere (it ends in
        ``.yaml``).
    folder : path-like
        Usually ``resources/datasets``.

    Returns
    -------
    Card

    Raises
    ------
    UserError
        If there is no such card, or with one line for every problem found in it.
    """
    text = os.fspath(name_or_path)
    if text.endswith(".yaml"):
        path = Path(text)
    else:
        path = Path(folder) / f"{text}.yaml"
        known = known_cards(folder)
        if not re.fullmatch(NAME_PATTERN, text) or text not in known:
            raise UserError(
                f"dataset {text!r}: no such card{closest(text, known)}; known datasets: "
                f"{', '.join(known) or 'none'}. Add {folder}/NAME.yaml. Names are "
                "letters, digits, '_' and '-'."
            )
    card = parse_card(expand(_load_yaml(path), path.stem, str(path)), str(path))
    if card.name != path.stem:
        raise UserError(
            f"{path}: name: found {card.name!r}, but the file is called {path.name}; "
            f"write name: {path.stem}, or rename the file"
        )
    return card


def read_cards(names_or_paths: Sequence[str], folder: str | os.PathLike) -> dict[str, Card]:
    """Read the cards of an experiment's datasets; by the dataset's name (see `read_card`)."""
    cards = [read_card(spec, folder) for spec in names_or_paths]
    return {card.name: card for card in cards}


def parse_card(value: Any, origin: str) -> Card:
    """Check a card's plain values; `origin` names the file in messages."""
    try:
        return Card.model_validate(value)
    except ValidationError as error:
        raise explain(error, origin, _keys_at, _PATTERN_FIX) from None


def download_settings(card: Card, file: str | None = None) -> dict[str, Any]:
    """Return what the download stage uses of a card, as plain JSON values (`DownloadSettings`).

    Parameters
    ----------
    card : Card
    file : str, optional
        Only this file, so that a job per file reruns for its own changes alone.
    """
    files = [item for item in card.files if file in (None, item.name)]
    settings = DownloadSettings(name=card.name, files=files, format=card.format)
    return settings.model_dump(mode="json")


def own_files(card: Card) -> dict[str, str]:
    """Return the files that are one's own, by name: the path on this machine, their only source."""
    return {
        file.name: file.sources[0].path
        for file in card.files
        if len(file.sources) == 1 and file.sources[0].path is not None
    }


def prepare_settings(card: Card) -> dict[str, Any]:
    """Return what the prepare stage uses of a card, as plain JSON values (`PrepareSettings`).

    Words for readers are left out (`describe_settings` has them): a better label is no reason to
    train a model again.
    """
    wordless = {"label": "", "unit": "", "labels": None}
    return PrepareSettings(
        name=card.name,
        files=[
            Checksum(name=file.name, sha256=None if file.keep else file.sha256)
            for file in card.files
        ],
        format=card.format,
        columns=[(name, each.model_copy(update=wordless)) for name, each in card.columns.items()],
        other_columns=card.other_columns,
        target=card.target.model_copy(update={"labels": None}),
        sensitive=[
            (name, each.model_copy(update={"labels": None}))
            for name, each in card.sensitive.items()
        ],
        cluster=card.cluster,
        joins=card.joins,
        filters=card.filters,
        official_test=card.official_test,
        drop_rows_without=card.drop_rows_without,
        expected=card.expected,
    ).model_dump(mode="json")


_PARTS: dict[str, type[BaseModel]] = {
    "files": File,
    "format": CsvFormat,
    "columns": Column,
    "target": TargetCard,
    "sensitive": SensitiveCard,
    "expected": Expected,
    "joins": Join,
    "filters": RowFilter,
    "official_test": OfficialTest,
}
_PATTERN_FIX = {
    NAME_PATTERN: "write letters, digits, '_' and '-', starting with a letter or digit",
    FILE_PATTERN: "write a plain file name: no folders, no '..'",
    SHA256_PATTERN: "write the 64 small hexadecimal digits that `sha256sum FILE` prints",
}


def describe_settings(card: Card) -> dict[str, Any]:
    """Return a card's words for readers: title, labels and units, as plain JSON values."""
    # An attribute's own labels stand over those of its column.
    labelled = [
        *card.columns.items(),
        *card.sensitive.items(),
        (card.target.column, card.target),
    ]
    return {
        "title": card.title,
        "columns": {
            name: {"label": column.label or name, "unit": column.unit}
            for name, column in card.columns.items()
        },
        "levels": {
            name: dict(zip(each.levels, each.labels, strict=True))
            for name, each in labelled
            if each.levels and each.labels
        },
    }


def _keys_at(location: tuple[int | str, ...]) -> list[str]:
    """Return the keys that the model at an unknown key's place allows."""
    match location:
        case (_,):
            model = Card
        case ("files", _, "sources", *_):
            model = Source
        case ("files", _, "archive", *_):
            model = Archive
        case (part, *_):
            model = _PARTS[str(part)]
    return list(model.model_fields)


class _UniqueKeyLoader(yaml.SafeLoader):
    """Reads YAML, but refuses a key that stands twice, of which YAML keeps the last in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key, _ in node.value:
            if (key.tag, str(key.value)) in seen:
                raise UserError(
                    f"line {key.start_mark.line + 1}: the key {key.value!r} stands twice; keep one"
                )
            seen.add((key.tag, str(key.value)))
        return super().construct_mapping(node, deep)


def _load_yaml(path: Path) -> Any:
    try:
        with path.open(encoding="utf-8") as stream:
            return yaml.load(stream, Loader=_UniqueKeyLoader)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; write the path of a dataset card") from None
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        message = " ".join(str(error).split())
        raise UserError(f"{path}: not valid YAML ({message}); correct that line") from None
