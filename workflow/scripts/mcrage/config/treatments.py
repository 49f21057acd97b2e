# SPDX-License-Identifier: MIT
"""Settings of the treatments: what is done to the training set, and at which doses."""

import math
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from mcrage.config.base import Closed, Name, check_unique

Dose = Annotated[float, Field(gt=0, le=2)]


class Treatment(Closed):
    """What is done to the imbalanced training set before the classifier sees it."""

    description: str = Field(description="One sentence for the reader of the report.")
    train_on: Literal["train", "original"] = Field(
        "train",
        description="train: the imbalanced training set. original: the real rows before "
        "thinning, a control that no user has.",
    )
    generator: Name | None = Field(
        None, description="Draws the rows that each group lacks; a name from `generators`."
    )
    fill: Dose | Annotated[list[Dose], Field(min_length=1)] = Field(
        1.0,
        description="The dose, in (0, 2]: rows that the generator, or oversample, adds to each "
        "group over rows that it lacks to be as large as the largest (or as fill_by and "
        "size say). Paper: 1. A list, e.g. "
        "[0.25, 0.5, 1, 2], is one treatment for each dose, named like smote_fill_25_percent: by "
        "that name baselines and figures know it, and the report shows a dose-response curve. The "
        "rows of a smaller dose are a part of those of a larger one. Cost: a classifier for each "
        "dose; no dose trains a model, and only the first above 1 draws a generator's rows anew "
        "(twice as many).",
    )
    fill_by: Literal["group", "subgroup", "target", "rows"] = Field(
        "group",
        description="What is to become equally large by a generator's rows. group: every group "
        "(paper), so that all outcomes end equally frequent in every subgroup. subgroup: every "
        "subgroup; the outcome stays as frequent in it as it is. target: every outcome. rows: "
        "nothing; as many rows as with group, in the mix of the real ones, a control that shows "
        "what volume alone does. A generator draws what any of its treatments takes: the first to "
        "fill otherwise, or further, draws its rows anew.",
    )
    size: float = Field(
        1.0,
        ge=1,
        le=10,
        description="How large they are to become by a generator's rows, in multiples of the "
        "largest one; paper 1. Above 1 the largest is filled, too. Cost: linear in all that "
        "follows.",
    )
    rows: int | None = Field(
        None,
        ge=1,
        le=10_000_000,
        description="With fill_by: rows or oversample: rows, how many rows are added in all, in "
        "the mix of the real ones; a generator's are rounded down in each group. null: as many as "
        "with group. A generator's rows of a smaller number are a part of those of a larger one. "
        "Cost: linear in all that follows.",
    )
    labels: Name | None = Field(
        None,
        description="A name from `classifiers`, which is fitted on the real training rows and "
        "tells how likely either outcome is for each synthetic row. The row then stands in the "
        "rebalanced table once with each outcome, weighted with its probability (column "
        "label_weight): train with it as sample weight. null (paper): a row has the outcome that "
        "it was drawn for.",
    )
    oversample: Literal["group", "subgroup", "target", "rows"] | None = Field(
        None,
        description="Repeat real rows at random until every group, subgroup or level of the target "
        "is as large as the largest; fewer or more with another fill. rows: any rows, as many as "
        "with group, a control that shows what volume alone does.",
    )
    undersample: Literal["group", "subgroup", "target"] | None = Field(
        None,
        description="Leave real rows out at random until every group, subgroup or level of the "
        "target is as small as the smallest.",
    )
    weights: Literal["group", "subgroup", "target", "reweighing"] | None = Field(
        None,
        description="Weight rows so that every group, subgroup or level of the target weighs the "
        "same. reweighing (Kamiran and Calders 2012): so that the target is equally frequent in "
        "every subgroup, and both as frequent as they are. With a generator its rows are weighted, "
        "too; with labels, groups "
        "count for as much as their rows weigh, and weights.parquet has what the classifier gets.",
    )
    weights_over: Annotated[list[str], Field(min_length=1)] | None = Field(
        None,
        description="Sensitive attributes whose levels make the subgroups, and with the target the "
        "groups, that weights go by, e.g. [sex] where race is another; null: all of them.",
    )

    _unique = field_validator("weights_over")(
        lambda names: names if names is None else check_unique(names)
    )

    @field_validator("fill", mode="before")
    @classmethod
    def _doses(cls, value: Any) -> Any:
        # Here, since pydantic would tell of each member of the union by itself.
        given = value if isinstance(value, list) else [value]
        for dose in given:
            if isinstance(dose, bool) or not isinstance(dose, int | float) or not 0 < dose <= 2:
                raise ValueError(
                    f"{dose!r} is no dose; write a number above 0 and up to 2, or a list of them"
                )
        if isinstance(value, list):
            if not value:
                raise ValueError("the list is empty; write a number, or a list of numbers")
            check_unique([f"{dose:g}" for dose in value])
            for dose in value:
                if abs(100 * dose - round(100 * dose)) > 1e-9:
                    raise ValueError(
                        f"{dose} is no whole number of percent, which the names of doses are "
                        f"made of; write e.g. {math.ceil(100 * dose) / 100:g}"
                    )
        return value

    @model_validator(mode="after")
    def _one_source_of_rows(self) -> Self:
        sources = [name for name in ("generator", "oversample") if getattr(self, name)]
        if self.undersample:
            sources.append("undersample")
        if len(sources) > 1:
            raise ValueError(f"give either {' or '.join(sources)}, not both")
        if self.generator and self.train_on == "original":
            raise ValueError(
                "a generator fills the gaps of the imbalanced training set; remove generator, or "
                "train_on: original"
            )
        if not self.generator:
            for key in ("fill_by", "size", "labels"):
                if getattr(self, key) != type(self).model_fields[key].default:
                    raise ValueError(
                        f"{key} is of synthetic rows, and there are none; give a generator, or "
                        f"remove {key}"
                    )
        if self.rows is not None:
            by_rows = self.fill_by == "rows" if self.generator else self.oversample == "rows"
            if not by_rows:
                raise ValueError(
                    "rows is a number of rows in the mix of the real ones; give fill_by: rows with "
                    "a generator, or oversample: rows, or remove rows"
                )
            if self.fill != 1 or self.size != 1:
                raise ValueError("rows tells how many; remove fill and size, or rows")
        if self.weights_over is not None and self.weights in (None, "target"):
            raise ValueError(
                f"weights_over is of weights by subgroup or group, and weights is {self.weights}; "
                "set weights to group, subgroup or reweighing, or remove weights_over"
            )
        if self.fill != 1 and not self.generator and not self.oversample:
            raise ValueError(
                f"fill is {self.fill}, but nothing fills; give a generator or oversample, or "
                "remove fill"
            )
        return self

    def given(self, *keys: str) -> dict[str, Any]:
        """Return those of the keys that are set: a new key is no reason to make all anew."""
        return {key: getattr(self, key) for key in keys if getattr(self, key) is not None}

    @property
    def does_nothing(self) -> bool:
        """Whether the classifier gets the imbalanced training set as it is: a dose of 0."""
        acts = self.generator or self.oversample or self.undersample or self.weights
        return not acts and self.train_on == "train"

    @property
    def _goal(self) -> str:
        """What is lacked to reach, where that is not the largest."""
        return f" to be {self.size:g} times as large as the largest" if self.size != 1 else ""

    def doses(self, name: str) -> dict[str, "Treatment"]:
        """Return this treatment by its name, or one for each dose of a list, by theirs."""
        if not isinstance(self.fill, list):
            return {name: self}
        return {
            f"{name}_fill_{round(100 * fill)}_percent": self.model_copy(
                update={
                    "fill": fill,
                    "description": f"{self.description} Dose: {round(100 * fill)} % of the rows "
                    f"that each {self.fill_by} lacks{self._goal}.",
                }
            )
            for fill in self.fill
        }
