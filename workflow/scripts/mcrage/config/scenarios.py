# SPDX-License-Identifier: MIT
"""How training and test sets are made, and the training set made imbalanced."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from mcrage.config.base import Closed, Name

Fraction = Annotated[float, Field(gt=0, le=1)]


class Keep(Closed):
    """Which training rows are thinned out, and to what fraction."""

    where: dict[str, str] = Field(
        min_length=1, description="Sensitive attribute: level. All must hold for a row."
    )
    datasets: list[Name] | None = Field(
        None,
        min_length=1,
        description="Datasets that the entry is for, since attributes are called differently in "
        "each; null: all. A dataset that none of a scenario's entries is for is refused.",
    )
    fraction: Fraction = Field(description="Share of these rows to keep, in (0, 1]. Paper: 0.1.")

    @field_validator("where", mode="before")
    @classmethod
    def _text(cls, value: Any) -> Any:
        # YAML reads `sex: 2` as a number; levels are text.
        return {k: str(v) for k, v in value.items()} if isinstance(value, dict) else value


class Scenario(Closed):
    """How the training set is made imbalanced."""

    balance: bool = Field(
        True,
        description="Undersample at random until every subgroup is equally large (paper, section "
        "4.1), before the split.",
    )
    keep: list[Keep] = Field(
        [],
        description="Thin out training rows; the test set is never touched. Empty: natural.",
    )
    split: Literal["random", "official"] = Field(
        "random",
        description="random (paper): every replicate has test rows of its own. official: those "
        "that the dataset comes with, in every replicate, all of them whatever balance does; for "
        "datasets whose card has official_test. Intervals then tell of these test rows alone.",
    )
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.2,
        description="Share of rows for the test set, stratified by group; not used by an official "
        "split. Paper: 0.2.",
    )
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.1,
        description="Share of the induced training set that chooses checkpoints and is never "
        "trained on, by any treatment. Paper: 0.1.",
    )

    def keep_of(self, dataset: str) -> list[dict[str, Any]]:
        """Return the entries of `keep` that are for a dataset: where and fraction of each."""
        return [
            rule.model_dump(include={"where", "fraction"})
            for rule in self.keep
            if rule.datasets is None or dataset in rule.datasets
        ]
