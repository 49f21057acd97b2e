# SPDX-License-Identifier: MIT
"""From what the user wrote to a checked config, or one message that says what to write."""

from typing import Any

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
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        told = explain(error, source, _keys_at)
        if "target" in raw and not raw.keys().isdisjoint(("path", "files", "sensitive")):
            told = UserError(f"{told}\n{source}: {_A_CARD}")
        raise told from None


_A_CARD = (
    "path, target and sensitive belong into a card, not into the config: write them into a file "
    "card.yaml, and experiment: {datasets: [./card.yaml]} into the config; or let the command "
    "snakemake init_dataset --config path=... target=... sensitive=... write both files"
)


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
