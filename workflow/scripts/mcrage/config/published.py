# SPDX-License-Identifier: MIT
"""Numbers and claims that a paper printed, from resources/published, to stand beside ours."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from mcrage.config.base import Closed, closest, explain, unknown
from mcrage.errors import UserError
from mcrage.metrics.names import ALL, WORDS, is_of_attribute

if TYPE_CHECKING:
    from mcrage.config.model import Config
    from mcrage.datasets.card_model import Card

_NUMBER = r"^\d+(\.\d+)?$"
# Quoted in the file, so that 0.70 keeps its zero and claims no third decimal.
Printed = Annotated[str, Field(pattern=_NUMBER)]


class PublishedMetric(Closed):
    """A metric under its true name (the key); `printed` is the paper's heading."""

    printed: str


class PublishedRow(Closed):
    """One treatment of the paper, ours that it is shown beside, and its values as printed."""

    printed: str
    treatments: tuple[str, ...]
    values: dict[str, Printed]


class Claim(Closed):
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

    @field_validator("metric")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in WORDS:
            raise ValueError(f"no metric{closest(name, list(WORDS))}; known: {', '.join(WORDS)}")
        return name

    @model_validator(mode="after")
    def _can_be_judged(self) -> Self:
        if self.attribute is None and is_of_attribute(self.metric):
            raise ValueError(
                f"metric '{self.metric}' compares the subgroups of an attribute; add attribute"
            )
        if self.attribute is not None and not is_of_attribute(self.metric):
            raise ValueError(
                f"attribute is '{self.attribute}', but metric '{self.metric}' is of one set of "
                f"rows; write subgroup: {self.attribute}=... instead, or remove attribute"
            )
        if self.attribute is not None and self.subgroup != ALL:
            raise ValueError(
                f"subgroup is '{self.subgroup}', but metric '{self.metric}' is of all subgroups; "
                "remove subgroup"
            )
        return self

    def misfits(self, key: str, dataset: str, card: "Card") -> list[str]:
        """Return a line if a dataset lacks the attribute or the subgroup.

        Parameters
        ----------
        key : str
            Where the claim stands.
        dataset : str
        card : Card
        """
        place = "subgroup" if self.attribute is None else "attribute"
        named = self.subgroup if self.attribute is None else self.attribute
        if named in (ALL, "*".join(card.sensitive)):
            return []
        # Of several attributes: "SEX=F, RACE=a".
        parts = named.split(", ") if named.count("=") > 1 else [named]
        problems, levels = [], card.group_levels()
        for column, _, level in (part.partition("=") for part in parts):
            known = levels[column] if column in card.sensitive else None
            if column not in card.sensitive:
                where = f"the sensitive attributes of {dataset}"
                problems += unknown(f"{key}.{place}", [column], card.sensitive, where)
            elif place == "subgroup" and known is not None:
                where = f"the levels of {column} in {dataset}"
                problems += unknown(f"{key}.{place}", [level], known, where)
        return problems


class Published(Closed):
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
        problems = [
            line
            for number, claim in enumerate(self.claims)
            for key in ("treatment", "baseline")
            for line in unknown(
                f"claims[{number}].{key}", [getattr(claim, key)], printed, "the rows' printed names"
            )
        ]
        problems += [
            f"claims[{number}].baseline: '{claim.baseline}' is the treatment itself; name another "
            "row"
            for number, claim in enumerate(self.claims)
            if claim.baseline == claim.treatment
        ]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def misfits(self, config: "Config", cards: "Mapping[str, Card]") -> list[str]:
        """Return a line for each name in the file that an experiment on its dataset lacks.

        Parameters
        ----------
        config : Config
        cards : mapping of str to Card
            Of the experiment's datasets; without the paper's, nothing of it is shown.
        """
        card = cards.get(self.dataset)
        if card is None:
            return []
        treatments = {**config.treatments, **config.recipes}
        problems = [
            *unknown("scenarios", self.scenarios, config.scenarios),
            *unknown("classifier", [self.classifier], config.classifiers, "classifiers"),
        ]
        for number, row in enumerate(self.rows):
            problems += unknown(f"rows[{number}].treatments", row.treatments, treatments)
        for number, claim in enumerate(self.claims):
            problems += claim.misfits(f"claims[{number}]", self.dataset, card)
        return problems

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
        fix = {_NUMBER: "write digits with a point, in quotes, as the paper prints them"}
        raise explain(error, os.fspath(path), _keys_at, fix) from None


def published_problems(
    files: Mapping[str, Path], config: "Config", cards: "Mapping[str, Card]"
) -> list[str]:
    """Return a line for each thing wrong in the published files that a config names.

    Said before any job, since the report, which needs them, is made when all else is done.

    Parameters
    ----------
    files : mapping of str to Path
        Those that there are.
    config : Config
    cards : mapping of str to Card
        Of the experiment's datasets.
    """
    problems = [
        f"config: published: '{name}' is not in resources/published{closest(name, list(files))}; "
        f"known: {', '.join(files)}"
        for name in config.published
        if name not in files
    ]
    for path in (files[name] for name in config.published if name in files):
        try:
            paper = read_published(path)
        except UserError as error:
            problems += str(error).splitlines()
        else:
            problems += [f"{path}: {line}" for line in paper.misfits(config, cards)]
    return problems


def _keys_at(location: tuple[int | str, ...]) -> Sequence[str]:
    """Return the keys that are allowed at an unknown key's place."""
    models = {"metrics": PublishedMetric, "rows": PublishedRow, "claims": Claim}
    model = Published if len(location) == 1 else models[str(location[0])]
    return list(model.model_fields)
