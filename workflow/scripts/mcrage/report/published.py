# SPDX-License-Identifier: MIT
"""Numbers that a paper printed, from resources/published, to stand beside ours."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mcrage.errors import UserError
from mcrage.metrics.names import ALL, WORDS, is_of_attribute

# Quoted in the file, so that 0.70 keeps its zero and claims no third decimal.
Printed = Annotated[str, Field(pattern=r"^\d+(\.\d+)?$")]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PublishedMetric(_Closed):
    """A metric under its true name (the key); `printed` is the paper's heading."""

    printed: str


class PublishedRow(_Closed):
    """One treatment of the paper, ours that it is shown beside, and its values as printed."""

    printed: str
    treatments: tuple[str, ...]
    values: dict[str, Printed]


class Claim(_Closed):
    """One thing that the paper says, about two of its rows.

    `treatment` and `baseline` are rows by their printed names. A metric that compares subgroups
    needs `attribute`; any other is of one `subgroup`.
    """

    says: str = Field(min_length=1)
    where: str = Field(min_length=1)
    treatment: str
    baseline: str
    metric: str
    attribute: str | None = None
    subgroup: str = ALL
    direction: Literal["higher", "lower"]

    @model_validator(mode="after")
    def _can_be_judged(self) -> Self:
        if self.metric not in WORDS:
            raise ValueError(f"unknown metric {self.metric}; known: {', '.join(WORDS)}")
        if is_of_attribute(self.metric) != (self.attribute is not None):
            needed = "needs" if self.attribute is None else "takes no"
            raise ValueError(f"metric {self.metric} {needed} attribute")
        if self.attribute is not None and self.subgroup != ALL:
            raise ValueError(f"metric {self.metric} takes no subgroup")
        return self


class Published(_Closed):
    """One table of a paper; see resources/published/mcrage.yaml for the meaning of the keys."""

    name: str
    source: str
    citation: str
    dataset: str
    scenarios: tuple[str, ...]
    classifier: str
    n_test: int
    n_seeds: int
    notes: tuple[str, ...] = ()
    metrics: dict[str, PublishedMetric]
    rows: tuple[PublishedRow, ...]
    claims: tuple[Claim, ...] = ()

    @model_validator(mode="after")
    def _claims_are_about_rows(self) -> Self:
        printed = [row.printed for row in self.rows]
        for number, claim in enumerate(self.claims):
            for key in ("treatment", "baseline"):
                if (name := getattr(claim, key)) not in printed:
                    known = ", ".join(printed)
                    raise ValueError(f"claims.{number}.{key}: unknown row {name}; known: {known}")
        return self

    def row(self, printed: str) -> PublishedRow:
        """Return the row that the paper gives this name.

        Raises
        ------
        KeyError
            If there is none.
        """
        return {row.printed: row for row in self.rows}[printed]

    def applies_to(self, dataset: str, scenario: str, classifier: str) -> bool:
        """Say whether the paper's numbers may stand beside ours."""
        return (
            dataset == self.dataset and scenario in self.scenarios and classifier == self.classifier
        )

    def beside(self, treatment: str, metric: str) -> str | None:
        """Return the paper's value for one of our treatments, with three decimals at most."""
        for row in self.rows:
            if treatment in row.treatments and (text := row.values.get(metric)):
                return text if len(text.partition(".")[2]) <= 3 else f"{float(text):.3f}"
        return None


def read_published(path: str | os.PathLike) -> Published:
    """Read and check a file of published numbers.

    Raises
    ------
    UserError
        If it is missing or a key is wrong.
    """
    import yaml

    try:
        raw: Any = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        return Published.model_validate(raw)
    except FileNotFoundError:
        folder = Path(path).parent
        known = ", ".join(sorted(p.stem for p in folder.glob("*.yaml"))) or "none"
        raise UserError(
            f"published: {path} does not exist; known: {known}. Write the file, or remove the "
            "name from the config."
        ) from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML ({error}). Mend the line it names.") from None
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise UserError(
            f"{path}: {'; '.join(lines)}. Compare with resources/published/mcrage.yaml."
        ) from None
