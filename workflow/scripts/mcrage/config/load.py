# SPDX-License-Identifier: MIT
"""From what the user wrote to a checked config, or one message that says what to write."""

from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from mcrage.config.base import explain
from mcrage.config.generators import CddpmSettings, SmoteSettings
from mcrage.config.model import (
    Config,
    Experiment,
    Figures,
    Keep,
    RandomForest,
    Scenario,
    Treatment,
)


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
        raise explain(error, source, known_keys()) from None


def known_keys() -> dict[str, list[str]]:
    """Return the allowed keys of every section, by dotted path (``*``: any name)."""

    def fields(model: type[BaseModel]) -> list[str]:
        return list(model.model_fields)

    return {
        "": fields(Config),
        "experiment": fields(Experiment),
        "figures": fields(Figures),
        "scenarios.*": fields(Scenario),
        "scenarios.*.keep.*": fields(Keep),
        "treatments.*": fields(Treatment),
        "classifiers.*": fields(RandomForest),
        "generators.*.cddpm": fields(CddpmSettings),
        "generators.*.smote": fields(SmoteSettings),
    }


def generator_kinds() -> list[str]:
    """Return the kinds of generator that the config accepts."""
    return [get_args(m.model_fields["kind"].annotation)[0] for m in (CddpmSettings, SmoteSettings)]
