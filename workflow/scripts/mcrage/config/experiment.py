# SPDX-License-Identifier: MIT
"""What is run: datasets, scenarios, treatments, classifiers, and how often."""

from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator

from mcrage.config import defaults
from mcrage.config.base import Closed, Name, check_name, check_unique
from mcrage.config.judging import Primary
from mcrage.metrics.rules import HALF, RULES

# Folders below results that hold other things than datasets.
RESERVED = ("logs", "benchmarks", "checkpoints", "figures", "together")


def _card(spec: str) -> str:
    """Return the name of a card, or the path of one, if its name may become a folder."""
    check_name(PurePath(spec).stem if spec.endswith(".yaml") else spec)
    return spec


class Experiment(Closed):
    """What is run: names from the sections below, and how often."""

    title: str | None = Field(
        None, description="Heading of the report; null: the titles of the datasets."
    )
    datasets: list[Annotated[str, AfterValidator(_card)]] = Field(
        ["diabetes"],
        min_length=1,
        description="Dataset cards in resources/datasets, without .yaml, or paths of cards "
        "elsewhere, with it. Every dataset is run under every scenario.",
    )
    scenarios: list[Name] = Field(
        ["keep_25_percent_of_sex_2"], min_length=1, description="Names from `scenarios`."
    )
    treatments: list[Name] = Field(
        defaults.SELECTED_TREATMENTS,
        min_length=1,
        description="Names from `treatments`, in the order of tables and figures. The name of a "
        "treatment with a list of doses stands for all of them.",
    )
    classifiers: list[Name] = Field(
        ["random_forest"],
        min_length=1,
        description="Names from `classifiers`. Each is fitted once for every treatment and "
        "replicate.",
    )
    baselines: list[Name] = Field(
        ["imbalanced", "smote"],
        min_length=1,
        description="Treatments that every other one is compared with, paired over replicates.",
    )
    thresholds: list[Literal[RULES]] = Field(
        [HALF],
        min_length=1,
        description="Rules by which scores become decisions; a classifier is fitted once and "
        "judged by each, in this order. 0.5: the likelier level. f1, balanced_accuracy: positive "
        "from one cut on for all rows, the one that is best by this metric on real training rows, "
        "scored by classifiers that did not see them. demographic_parity, equalized_odds: "
        "fairlearn's ThresholdOptimizer with this constraint and accuracy for its objective, on "
        "the same scores: two cuts for each subgroup of all sensitive attributes together, and a "
        "coin between them; it needs the attributes of who is judged. randomised: positive with "
        "the score as its chance, as exponentiated_gradient is meant. All but 0.5 are for targets "
        "of two levels, and NaN where these rows (of a subgroup) lack an outcome. Cost: five more "
        "fits, together, for all but 0.5 and randomised.",
    )
    replicates: int = Field(
        5,
        ge=1,
        le=10_000,
        description="Seeds of the whole chain. Intervals need 2 or more, a claim about a small "
        "subgroup 20 or more; the paper has 1. Cost: everything is done once per replicate.",
    )
    bootstrap: int = Field(
        2000,
        ge=0,
        le=100_000,
        description="Draws of test rows in each replicate, for the intervals in "
        "results/within_replicate; 0: none. They tell of other test rows alone, not of another "
        "split, training or seed, for which there are replicates. Cost: linear in the draws, the "
        "test rows and the treatments; 2000 of 16,000 rows take half a second for each treatment "
        "and classifier.",
    )
    seed: int = Field(
        2310,
        ge=0,
        lt=2**31,
        description="Where all seeds of stages are derived from.",
    )

    primary: Primary | None = Field(
        None,
        description="The one question that the run is to answer, declared before it: the report "
        "begins with its verdict, and all else is exploratory. null: AUROC of everyone, with the "
        "first classifier, of every treatment against the first baseline.",
    )
    references: dict[Name, dict[str, str]] = Field(
        {},
        description="Dataset: sensitive attribute: level that the others are compared with in "
        "signed gaps, e.g. adult: {sex: Male}. The first level in the card, for those left out. "
        "Datasets that the experiment leaves out may stand here.",
    )

    @field_validator("references", mode="before")
    @classmethod
    def _text(cls, value: Any) -> Any:
        # YAML reads `sex: 2` as a number; levels are text.
        if not isinstance(value, dict):
            return value
        return {
            name: {k: str(v) for k, v in levels.items()} if isinstance(levels, dict) else levels
            for name, levels in value.items()
        }

    @field_validator("thresholds", mode="before")
    @classmethod
    def _rule_names(cls, value: Any) -> Any:
        # YAML reads 0.5 as a number; rules are text.
        return [str(rule) for rule in value] if isinstance(value, list) else value

    _unique = field_validator(
        *("datasets", "scenarios", "treatments", "classifiers", "baselines", "thresholds")
    )(check_unique)

    @field_validator("datasets")
    @classmethod
    def _own_folder(cls, names: list[str]) -> list[str]:
        """Refuse datasets whose folder below results is something else's."""
        named = [PurePath(spec).stem if spec.endswith(".yaml") else spec for spec in names]
        check_unique(named)
        for name in named:
            if name in RESERVED:
                raise ValueError(
                    f"{name!r} can't be a dataset's name, since results/{name} holds other files; "
                    "rename the card"
                )
        return names
