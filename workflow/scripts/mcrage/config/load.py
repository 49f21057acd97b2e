# SPDX-License-Identifier: MIT
"""From what the user wrote to a checked config, or one message that says what to write."""

from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from mcrage.config.base import explain
from mcrage.config.classifiers import KINDS as CLASSIFIERS
from mcrage.config.experiment import Experiment
from mcrage.config.generators import KINDS as GENERATORS
from mcrage.config.model import Config, Figures
from mcrage.config.rare_groups import RareGroups
from mcrage.config.scenarios import Keep, Scenario
from mcrage.config.treatments import Treatment
from mcrage.errors import UserError


def load_config(raw: dict[str, Any], source: str = "config") -> Config:
    """Check a config.

    Parameters
    ----------
    raw : dict
        What Snakemake merged from config.yaml, ``--configfile`` and ``--config``.
    source : str
        Where it came from, for the message.

    Returns
    -------
    Config

    Raises
    ------
    UserError
        One line for each wrong key or value, with what is allowed.
    """
    card = {key: raw[key] for key in _CARD_KEYS if key in raw}
    if "target" in card and len(card) > 1:
        raw = {key: value for key, value in raw.items() if key not in card}
    else:
        card = {}
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        told = str(explain(error, source, _keys_at))
        raise UserError("\n".join([told, *_card_told(card, source)])) from None
    if card:
        raise UserError("\n".join(_card_told(card, source)))
    return config


_CARD_KEYS = (
    *("path", "files", "target", "sensitive", "cluster", "columns", "format"),
    *("drop_rows_without", "name", "title", "description", "licence", "citation"),
)


def _card_told(card: Mapping[str, Any], source: str) -> list[str]:
    """Return what to write where, if keys of a card stand in a config; else nothing."""
    if not card:
        return []
    lines = [f"    {line}" for line in yaml.safe_dump(dict(card), sort_keys=False).splitlines()]
    words = [
        f"{key}={','.join(card[key]) if isinstance(card[key], list) else card[key]}"
        for key in ("path", "target", "sensitive", "cluster")
        if isinstance(card.get(key), str) or _are_texts(card.get(key))
    ]
    return [
        f"{source}: {', '.join(card)}: these are keys of a card, which is a file of its own. Write "
        "into card.yaml:",
        *lines,
        "and into the config in their place:",
        "    experiment: {datasets: [./card.yaml], scenarios: [natural]}",
        "or have both files written, with all columns and treatments to look at and to edit:",
        f"    snakemake init_dataset --config {' '.join(words)}",
    ]


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


_ENTRIES: dict[str, type[BaseModel]] = {
    "scenarios": Scenario,
    "treatments": Treatment,
}


def _keys_at(location: tuple[int | str, ...]) -> list[str]:
    """Return the keys that the model at an unknown key's place allows."""
    match location:
        case ("experiment", _):
            model = Experiment
        case ("figures", _):
            model = Figures
        case ("rare_groups", _):
            model = RareGroups
        case ("scenarios", _, "keep", *_):
            model = Keep
        case ("generators", _, str(kind), _):
            model = GENERATORS[kind]
        case ("classifiers", _, str(kind), _):
            model = CLASSIFIERS[kind]
        case (str(section), _, _) if section in _ENTRIES:
            model = _ENTRIES[section]
        case _:
            model = Config
    return list(model.model_fields)
