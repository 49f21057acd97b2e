# SPDX-License-Identifier: MIT
"""The config: closed and typed. `config.yaml` and its JSON schema are rendered from it."""

from functools import cached_property
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from mcrage.config import defaults
from mcrage.config.base import Closed, Name, check_name, check_unique, closest, unknown
from mcrage.config.classifiers import ClassifierSettings, classifier_problems, teacher_problems
from mcrage.config.experiment import Experiment
from mcrage.config.generators import GeneratorSettings
from mcrage.config.judging import Margins, Primary
from mcrage.config.rare_groups import RareGroups
from mcrage.config.scenarios import Scenario
from mcrage.config.treatments import Treatment


class Figures(Closed):
    """Which treatments the figures show; the tables always have all."""

    umap_treatments: list[Name] = Field(
        defaults.FIGURE_TREATMENTS,
        description="Panels of the UMAP figure (the paper's Figure 2), beside the original.",
    )
    density_treatments: list[Name] = Field(
        defaults.DENSITY_TREATMENTS,
        description="Treatments with a generator whose rows are compared with real test rows "
        "(the paper's Figure 3).",
    )
    roc_treatments: list[Name] = Field(
        defaults.FIGURE_TREATMENTS, description="Curves of the ROC and the calibration figure."
    )
    replicate: int = Field(0, ge=0, description="The replicate that UMAP and densities show.")

    _unique = field_validator("umap_treatments", "density_treatments", "roc_treatments")(
        check_unique
    )


class Config(Closed):
    """Everything a user may set."""

    experiment: Experiment = Field(Experiment(), description="What is run.")
    mirror: str | None = Field(
        None,
        description="A folder with downloaded data, tried before any address: "
        "<mirror>/<dataset>/<file>. Checksums are verified all the same.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto",
        description="Where generators train. auto: a GPU if there is one (on a cluster they ask "
        "for one); cuda: fail without one.",
    )
    gpu_missing: Literal["fail", "cpu"] = Field(
        "fail",
        description="What a training on a cluster does that asked for a GPU and finds none. fail: "
        "ends with the reason, and is tried again; cpu: trains on the CPU, which takes longer.",
    )
    gpu_attempts: int | None = Field(
        None,
        ge=1,
        description="Failed attempts on a GPU after which a training is tried on the CPU; null: "
        "never. How often it is tried at all: `retries` in the profile.",
    )
    threads: int = Field(
        1,
        ge=1,
        description="CPU threads of each generator's training, also where --cores allows fewer. "
        "More than 1 pays only where there are fewer models than cores: small networks gain little "
        "and models are trained side by side. It decides the last bits of what is learnt, so a "
        "change trains anew.",
    )
    replicates_together: int = Field(
        1,
        ge=1,
        le=10_000,
        description="So many replicates of a diffusion generator (kind cddpm) are trained as one "
        "ensemble, in one job: 1: each in a job of its own. Pays on a GPU, which small networks "
        "leave idle, and on a cluster whose queue is long; on a CPU cores are better used by jobs "
        "side by side. Each ends as it would alone, up to rounding. What does not fit into memory "
        "is trained in turn, and so are replicates of tables with categories, missing values or "
        "many zeros where the generator has `categories: masked`, as `tuned` has: how frequent "
        "each level is belongs to a network. If one replicate can't be learnt, its batch fails. A "
        "change trains anew; more or fewer replicates train only the batches that they are in.",
    )
    lineage: str | None = Field(
        None,
        description="What `snakemake lineage` tells of: a file, e.g. results/metrics.parquet, with "
        "all that it was made from; null: every result is checked and what is wrong is told.",
    )
    rebalanced_csv: bool = Field(
        False,
        description="true: every rebalanced.parquet is written as rebalanced.csv, too. Reruns "
        "nothing.",
    )
    published: list[Name] = Field(
        [],
        description="Files in resources/published whose numbers are shown beside ours.",
    )
    scenarios: dict[Name, Scenario] = Field(
        {name: Scenario(**value) for name, value in defaults.SCENARIOS.items()},
        description="How training sets are made imbalanced. Name: settings.",
    )
    generators: dict[Name, GeneratorSettings] = Field(
        defaults.GENERATORS,
        validate_default=True,
        description="Models that learn the features of each group. Name: settings.",
    )
    rare_groups: RareGroups = Field(
        RareGroups(), description="What is done about groups with few training rows."
    )
    treatments: dict[Name, Treatment] = Field(
        {name: Treatment(**value) for name, value in defaults.TREATMENTS.items()},
        description="What is done to the training set. Name: settings.",
    )
    classifiers: dict[Name, ClassifierSettings] = Field(
        defaults.CLASSIFIERS,
        validate_default=True,
        description="What learns to predict the target. Name: settings.",
    )
    margins: Margins = Field(
        Margins(), description="What is too small to matter, declared before the run."
    )
    figures: Figures = Field(Figures(), description="What the figures show.")

    @cached_property
    def recipes(self) -> dict[str, Treatment]:
        """All treatments by name, with one for each dose in the place of a list of doses."""
        return {
            name: recipe
            for family, treatment in self.treatments.items()
            for name, recipe in treatment.doses(family).items()
        }

    @cached_property
    def families(self) -> dict[str, str]:
        """The treatment that each of `recipes` is a dose of; its own name for most."""
        return {
            name: family
            for family, treatment in self.treatments.items()
            for name in treatment.doses(family)
        }

    @property
    def selected(self) -> list[str]:
        """The experiment's treatments, names of `recipes`, in order, without `left_out`."""
        names: list[str] = []
        for name in self.experiment.treatments:
            names += self.treatments[name].doses(name) if name in self.treatments else [name]
        return [name for name in dict.fromkeys(names) if name not in self.left_out]

    @property
    def left_out(self) -> list[str]:
        """Treatments that are the same as doing nothing, since no scenario thins any rows."""
        scenarios = [self.scenarios.get(name) for name in self.experiment.scenarios]
        if any(scenario is None or scenario.keep for scenario in scenarios):
            return []
        return [
            name
            for name in self.experiment.treatments
            if name in self.treatments and self.treatments[name].train_on == "original"
        ]

    @model_validator(mode="after")
    def _doses_have_names(self) -> Self:
        problems = []
        taken = set(self.treatments)
        for family, treatment in self.treatments.items():
            for name in treatment.doses(family).keys() - {family}:
                try:
                    check_name(name)
                except ValueError as error:
                    problems.append(f"treatments.{family}.fill: {error}; shorten the treatment's")
                if name in taken:
                    problems.append(
                        f"treatments.{family}.fill: makes a treatment '{name}', which there is; "
                        "rename that one"
                    )
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        known = {**self.treatments, **self.recipes}
        problems = [
            *unknown("experiment.scenarios", self.experiment.scenarios, self.scenarios),
            *unknown("experiment.treatments", self.experiment.treatments, known),
            *unknown("experiment.classifiers", self.experiment.classifiers, self.classifiers),
            *self._unselected("experiment.baselines", self.experiment.baselines),
        ]
        for name, treatment in self.treatments.items():
            if treatment.generator:
                problems += unknown(
                    f"treatments.{name}.generator", [treatment.generator], self.generators
                )
        for name, treatment in self.treatments.items():
            if treatment.labels:
                problems += unknown(
                    f"treatments.{name}.labels", [treatment.labels], self.classifiers, "classifiers"
                )
                problems += teacher_problems(
                    f"treatments.{name}.labels", treatment.labels, self.classifiers
                )
        problems += classifier_problems(self.classifiers)
        used = {self.recipes[name].generator for name in self.selected if name in self.recipes}
        for name, generator in self.generators.items():
            trained_on = getattr(generator, "trained_on", None)
            if trained_on is None:
                continue
            key = f"generators.{name}.trained_on"
            if trained_on in self.treatments and trained_on not in self.recipes:
                if name in used:
                    problems.append(self._several(key, trained_on))
                continue
            problems += unknown(key, [trained_on], self.recipes)
            source = self.recipes.get(trained_on)
            inner = self.generators.get(source.generator) if source and source.generator else None
            if source and source.train_on == "original":
                problems.append(
                    f"{key}: '{trained_on}' holds the real rows before thinning, which no user "
                    "has; choose a treatment with train_on: train"
                )
            if source and (source.weights or source.labels):
                problems.append(
                    f"{key}: '{trained_on}' weights its rows, and a generator takes no weights; "
                    "choose a treatment without"
                )
            if getattr(inner, "trained_on", None):
                problems.append(
                    f"{key}: '{trained_on}' rests on generator '{source.generator}', which is "
                    "itself trained on a treatment; one such step is allowed"
                )
        if self.device == "cuda" and self.gpu_missing == "cpu":
            problems.append(
                "gpu_missing: is 'cpu', but device: 'cuda' refuses the CPU; set device to 'auto', "
                "or gpu_missing to 'fail'"
            )
        if set(self.selected) <= {self.experiment.baselines[0]}:
            problems.append(
                "experiment.treatments: lists nothing beside the baseline "
                f"'{self.experiment.baselines[0]}'; add a treatment to compare with it"
            )
        for key in ("umap_treatments", "density_treatments", "roc_treatments"):
            problems += self._unselected(f"figures.{key}", getattr(self.figures, key))
        problems += [
            f"figures.density_treatments: '{name}' has no generator, so there are no synthetic "
            "rows to show; remove it"
            for name in self.figures.density_treatments
            if name in self.recipes and not self.recipes[name].generator
        ]
        if self.figures.replicate >= self.experiment.replicates:
            problems.append(
                f"figures.replicate: is {self.figures.replicate}, but replicates are numbered 0 "
                f"to {self.experiment.replicates - 1}"
            )
        doses = [name for name in self.selected if self.families.get(name, name) != name]
        baselines = [self.recipes.get(name) for name in self.experiment.baselines]
        if doses and not any(treatment and treatment.does_nothing for treatment in baselines):
            problems.append(
                f"experiment.baselines: '{doses[0]}' is one of several doses, which are compared "
                "with a dose of 0; add a treatment that does nothing, such as imbalanced"
            )
        problems += self._primary_problems()
        # Of datasets that are left out this time they may stay, but a misspelt name may not; one
        # that a scenario knows, too, is none.
        spelt = {
            name
            for scenario in self.scenarios.values()
            for rule in scenario.keep
            for name in rule.datasets or ()
        }
        problems += unknown(
            "experiment.references",
            [
                name
                for name in self.experiment.references
                if name not in spelt and closest(name, self.experiment.datasets)
            ],
            self.experiment.datasets,
            "experiment.datasets",
        )
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def primary(self) -> Primary:
        """The declared question with every name filled in but the treatment's."""
        asked = self.experiment.primary or Primary()
        return asked.model_copy(
            update={
                "classifier": asked.classifier or self.experiment.classifiers[0],
                "baseline": asked.baseline or self.experiment.baselines[0],
                "threshold": asked.threshold or self.experiment.thresholds[0],
            }
        )

    def _primary_problems(self) -> list[str]:
        asked, key = self.primary, "experiment.primary"
        found = [
            *unknown(
                f"{key}.classifier",
                [asked.classifier],
                self.experiment.classifiers,
                "experiment.classifiers",
            ),
            *unknown(
                f"{key}.baseline",
                [asked.baseline],
                self.experiment.baselines,
                "experiment.baselines",
            ),
        ]
        if asked.threshold not in self.experiment.thresholds:
            found.append(
                f"{key}.threshold: '{asked.threshold}' is not in experiment.thresholds"
                f"{closest(asked.threshold, self.experiment.thresholds)}; known: "
                f"{', '.join(self.experiment.thresholds)}"
            )
        if asked.treatment:
            found += self._unselected(f"{key}.treatment", [asked.treatment])
            if asked.treatment == asked.baseline:
                found.append(
                    f"{key}.treatment: '{asked.treatment}' is the baseline itself; name another"
                )
        return found

    def _unselected(self, key: str, names: list[str]) -> list[str]:
        """Return one line for each name that is no treatment of the experiment."""
        several = [name for name in names if name in self.treatments and name not in self.recipes]
        single = [name for name in names if name not in several]
        return [
            *(self._several(key, name) for name in several),
            *(
                f"{key}: '{name}' is left out, since no scenario of the experiment thins rows, and "
                "so it is the training set itself; remove it here, too"
                for name in single
                if name in self.left_out
            ),
            *unknown(
                key,
                [name for name in single if name not in self.left_out],
                self.selected,
                "experiment.treatments",
            ),
        ]

    def _several(self, key: str, name: str) -> str:
        return (
            f"{key}: '{name}' has several doses; name one of them: "
            f"{', '.join(self.treatments[name].doses(name))}"
        )
