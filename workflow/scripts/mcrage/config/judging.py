# SPDX-License-Identifier: MIT
"""What is declared before the run: its question, and what is too small to matter."""

from typing import Self

from pydantic import Field, field_validator, model_validator

from mcrage.config.base import Closed, Name, closest
from mcrage.metrics.names import ALL, OVERALL, WORDS, is_of_attribute


class Primary(Closed):
    """The one question that the experiment is to answer; all else is exploratory."""

    metric: str = Field("auroc", description="A name from the column metric of results/metrics.")
    attribute: str = Field(
        OVERALL,
        description="overall, a sensitive attribute, or all of them joined by * in the card's "
        "order.",
    )
    subgroup: str = Field(
        ALL,
        description="all, or a subgroup of the attribute, e.g. SEX=F. A gap between subgroups "
        "(worst_...) is of all.",
    )
    classifier: Name | None = Field(
        None, description="From experiment.classifiers. null: the first of them."
    )
    treatment: str | None = Field(
        None,
        description="From experiment.treatments. null: all that are no controls, with Holm's "
        "correction for their number.",
    )
    baseline: str | None = Field(
        None, description="From experiment.baselines. null: the first of them."
    )
    threshold: str | None = Field(
        None, description="From experiment.thresholds. null: the first of them."
    )

    @field_validator("metric")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in WORDS:
            raise ValueError(
                f"'{name}' is no metric{closest(name, list(WORDS))}; known: {', '.join(WORDS)}"
            )
        return name

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.attribute == OVERALL and self.subgroup != ALL:
            raise ValueError(
                f"subgroup '{self.subgroup}' is of a sensitive attribute, but attribute is "
                f"{OVERALL}; write attribute: {self.subgroup.partition('=')[0]}"
            )
        if self.attribute == OVERALL and is_of_attribute(self.metric):
            raise ValueError(
                f"{self.metric} compares the subgroups of an attribute; name the attribute"
            )
        if self.attribute != OVERALL and self.subgroup == ALL and not is_of_attribute(self.metric):
            raise ValueError(
                f"{self.metric} is of one subgroup; write subgroup: {self.attribute}=..., or for "
                f"everyone attribute: {OVERALL}"
            )
        return self


class Margins(Closed):
    """What is too small to matter."""

    score: float = Field(
        0.005,
        gt=0,
        lt=1,
        description="Differences in metrics of rows, such as AUROC, that are no more than this are "
        "too small to matter: two treatments are equivalent where a test shows that theirs is.",
    )
    gap: float = Field(
        0.02,
        gt=0,
        lt=1,
        description="The same for differences in gaps between subgroups (worst_..., signed_...).",
    )
    utility_loss: float = Field(
        0.02,
        gt=0,
        lt=1,
        description="A gap that shrank is flagged as fair because useless where AUROC or balanced "
        "accuracy of everyone fell by more.",
    )
