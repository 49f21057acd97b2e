# SPDX-License-Identifier: MIT
"""What is to be made: the thought behind the Snakefile's helpers.

What a rule's job is made with, its params, is in `mcrage.rule_params`.
"""

import math
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from mcrage.classifiers.by_name import needs_left_out
from mcrage.config.model import Config
from mcrage.config.published import published_problems
from mcrage.config.treatments import Treatment
from mcrage.datasets.cards import Card
from mcrage.errors import UserError
from mcrage.generators.registry import KINDS, is_judged
from mcrage.metrics.names import AGAINST, ALL, FEWEST_DATASETS, FEWEST_TREATMENTS, OVERALL
from mcrage.metrics.rules import HALF, needs_held_out
from mcrage.rare_groups import leave_below
from mcrage.rule_params import RuleParams

_OF_THE_MACHINE = {
    *("mirror", "device", "gpu_missing", "gpu_attempts", "replicates_together"),
    *("lineage", "rebalanced_csv"),
}


class Plan:
    """An experiment laid out: names, combinations, and params of every rule.

    Parameters
    ----------
    config : Config
    cards : mapping of str to Card
        The card of every dataset of the experiment.
    published : mapping of str to Path
        The files of published numbers that there are.

    Raises
    ------
    UserError
        If a scenario does not fit a dataset, or published numbers or claims are not there, are
        malformed, or are about what the experiment does not know.
    """

    def __init__(
        self, config: Config, cards: Mapping[str, Card], published: Mapping[str, Path] | None = None
    ) -> None:
        self.config = config
        self.cards = cards
        self.datasets = list(cards)
        self.scenarios = config.experiment.scenarios
        self.replicates = [str(number) for number in range(config.experiment.replicates)]
        self.recipes = config.recipes
        self.treatments = config.selected
        self.classifiers = config.experiment.classifiers
        self.baselines = config.experiment.baselines
        self.published = dict(published or {})
        self._rule_params = RuleParams(self)
        self._check()

    def _check(self) -> None:
        problems: list[str] = []
        for scenario in self.scenarios:
            for dataset, card in self.cards.items():
                problems += self._scenario_problems(scenario, dataset, card)
        problems += self._judging_problems() + self._problems_of_many_levels()
        problems += self._weights_problems()
        told = [f"config: {problem}" for problem in problems]
        told += published_problems(self.published, self.config, self.cards)
        if told:
            raise UserError("\n".join(told))

    def _judging_problems(self) -> list[str]:
        """Return a line for each attribute or level of the question that a dataset lacks."""
        problems, asked = [], self.config.primary
        for dataset, card in self.cards.items():
            key = f"experiment.references.{dataset}"
            references = self.config.experiment.references.get(dataset, {})
            places = [(key, column, level) for column, level in references.items()]
            joined = "*".join(card.sensitive) if len(card.sensitive) > 1 else ""
            if asked.attribute not in (OVERALL, joined):
                column, _, level = asked.subgroup.partition("=")
                if asked.subgroup == ALL or AGAINST in asked.subgroup:
                    column, level = asked.attribute, ""
                elif column != asked.attribute:
                    problems.append(
                        f"experiment.primary.subgroup: '{asked.subgroup}' is not of attribute "
                        f"'{asked.attribute}'; write {asked.attribute}=..."
                    )
                places.append(("experiment.primary", asked.attribute, level))
            for key, column, level in places:
                if column not in card.sensitive:
                    problems.append(
                        f"{key}: '{column}' is not a sensitive attribute of {dataset}; allowed: "
                        f"{', '.join(card.sensitive)}"
                    )
                elif level and (known := card.sensitive[column].levels) and level not in known:
                    problems.append(
                        f"{key}: '{level}' is not a level of {column} in {dataset}; allowed: "
                        f"{', '.join(known)}"
                    )
        return problems

    def _problems_of_many_levels(self) -> list[str]:
        """Return a line for each thing that is for two levels, where a target is known for more.

        Levels that a card does not name are found when the dataset is prepared; `check_groups`
        says so, before anything is trained.
        """
        many = {
            name: len(card.target.levels)
            for name, card in self.cards.items()
            if len(card.target.levels or ()) > 2
        }
        return [
            f"{key}: '{value}' is for a target of two levels, and that of {dataset} has {n}; leave "
            f"out {value} or {dataset}"
            for dataset, n in many.items()
            for key, value in self.for_two_levels()
        ]

    def for_two_levels(self) -> list[tuple[str, str]]:
        """Return the key and the value of each thing that a target of more levels can't have."""
        rules = [rule for rule in self.config.experiment.thresholds if rule != HALF]
        lotteries = [
            name
            for name in self.all_classifiers()
            if self.config.classifiers[name].kind == "exponentiated_gradient"
        ]
        found = [("experiment.thresholds", rule) for rule in rules]
        return found + [("experiment.classifiers", name) for name in lotteries]

    def fits_decisions(self) -> bool:
        """Say whether a rule for decisions is fitted on scores of held-out training rows."""
        return any(map(needs_held_out, self.config.experiment.thresholds))

    def judges_left_out(self, treatment: str, classifier: str) -> bool:
        """Say whether judging needs the real rows that a treatment leaves out."""
        used = self.fits_decisions() or needs_left_out(self.classifier(classifier))
        return bool(self.recipes[treatment].undersample) and used

    def _weights_problems(self) -> list[str]:
        """Return a line for each attribute that weights are to go by and a dataset lacks."""
        return [
            f"treatments.{name}.weights_over: '{column}' is not a sensitive attribute of "
            f"{dataset}; allowed: {', '.join(card.sensitive)}"
            for name in self.all_treatments
            for column in self.recipes[name].weights_over or ()
            for dataset, card in self.cards.items()
            if column not in card.sensitive
        ]

    def _scenario_problems(self, scenario: str, dataset: str, card: Card) -> list[str]:
        """Return a line for each thing of a scenario that a dataset lacks."""
        settings = self.config.scenarios[scenario]
        problems = []
        if settings.split == "official" and card.official_test is None:
            problems.append(
                f"scenarios.{scenario}.split: found 'official', but {dataset} comes with no test "
                "set (official_test in its card); write random, or leave the dataset out"
            )
        if settings.keep and not settings.keep_of(dataset):
            problems.append(
                f"scenarios.{scenario}.keep: no entry is for {dataset}; add one with "
                f"datasets: [{dataset}] and a level of {' or '.join(card.sensitive)}, or leave the "
                "dataset or the scenario out"
            )
        for number, rule in enumerate(settings.keep):
            if rule.datasets is not None and dataset not in rule.datasets:
                continue
            for column, level in rule.where.items():
                key = f"scenarios.{scenario}.keep[{number}].where"
                if column not in card.sensitive:
                    problems.append(
                        f"{key}: '{column}' is not a sensitive attribute of {dataset}; allowed: "
                        f"{', '.join(card.sensitive)}. An entry for other datasets names them "
                        "under datasets"
                    )
                elif (known := card.group_levels()[column]) and level not in known:
                    problems.append(
                        f"{key}.{column}: '{level}' is not a level in {dataset}; allowed: "
                        f"{', '.join(known)}"
                    )
        return problems

    def test_to_train(self) -> dict[str, float]:
        """Return the rows in the test set over those in the training pool, by scenario.

        Of an official split by ``dataset/scenario``, and before `balance`, whose losses depend on
        the rows.
        """
        ratios = {}
        for name in self.scenarios:
            settings = self.config.scenarios[name]
            if settings.split == "random":
                ratios[name] = settings.test_fraction / (1 - settings.test_fraction)
                continue
            for dataset, card in self.cards.items():
                test = card.official_test.rows
                ratios[f"{dataset}/{name}"] = test / (card.expected.rows_kept - test)
        return ratios

    @property
    def rare_groups(self) -> dict[str, Any]:
        """What is done about groups with few training rows, as plain JSON values."""
        return self.config.rare_groups.model_dump()

    @cached_property
    def generators(self) -> list[str]:
        """Generators that the treatments need, directly or as the source of another."""
        names: list[str] = []
        for treatment in self.treatments:
            self._add_generator(self.recipes[treatment], names)
        return names

    def _add_generator(self, treatment: Treatment, names: list[str]) -> None:
        name = treatment.generator
        if name is None or name in names:
            return
        if source := self.trained_on(name):
            self._add_generator(self.recipes[source], names)
        names.append(name)

    @cached_property
    def all_treatments(self) -> list[str]:
        """The experiment's treatments, and those that a generator is trained on."""
        sources = [self.trained_on(name) for name in self.generators]
        return list(dict.fromkeys([*self.treatments, *(s for s in sources if s)]))

    def trained_on(self, generator: str) -> str | None:
        """Return the treatment whose table a generator learns from; None: the training set."""
        return getattr(self.config.generators[generator], "trained_on", None)

    def demands(self, generator: str) -> list[dict[str, Any]]:
        """Return what the treatments that use a generator fill, each with its largest dose.

        Doses are in whole gaps, so that one dose more is no reason to draw anew.

        Returns
        -------
        list of dict
            by, size, fill, rows where a number of them is asked for, and leave_below where rare
            groups are left; see `mcrage.rebalancing.rows_to_add`.
        """
        largest: dict[tuple[str, float], int] = {}
        most = 0
        for name in self.all_treatments:
            recipe = self.recipes[name]
            if recipe.generator == generator and recipe.rows is not None:
                most = max(most, recipe.rows)
            elif recipe.generator == generator:
                key = (recipe.fill_by, recipe.size)
                largest[key] = max(largest.get(key, 1), math.ceil(recipe.fill))
        counted = [{"by": "rows", "size": 1.0, "fill": 1, "rows": most, **self.left()}]
        return [
            {"by": by, "size": size, "fill": fill, **self.left()}
            for (by, size), fill in sorted(largest.items())
        ] + (counted if most else [])

    def left(self) -> dict[str, int]:
        """Return from how many rows on groups are filled, where rare ones are not."""
        below = leave_below(self.rare_groups)
        return {"leave_below": below} if below else {}

    def doses(self) -> dict[str, dict[str, float]]:
        """Return the experiment's treatments with several doses: name to dose, by family."""
        found: dict[str, dict[str, float]] = {}
        for name in self.treatments:
            family = self.config.families[name]
            if family != name:
                found.setdefault(family, {})[name] = self.recipes[name].fill
        return found

    def dose_baseline(self) -> str:
        """Return the baseline that is a dose of 0."""
        return next(name for name in self.baselines if self.recipes[name].does_nothing)

    def main_baseline(self) -> str | None:
        """Return the baseline that does nothing, or else the first one; None without any."""
        nothing = [name for name in self.baselines if self.recipes[name].does_nothing]
        return next(iter([*nothing, *self.baselines]), None)

    def controls(self) -> list[str]:
        """Return the treatments that no user has: the real rows before thinning."""
        return [name for name in self.treatments if self.recipes[name].train_on == "original"]

    def remedies(self) -> dict[str, Any]:
        """Return what `mcrage.statistics.joint.all_remedies` takes; empty without a baseline."""
        plain = self.main_baseline()
        if plain is None:
            return {}
        kinds = {name: self.classifier(name)["kind"] for name in self.classifiers}
        return {
            "plain": plain,
            "treatments": list(self.treatments),
            "classifiers": list(self.classifiers),
            "thresholds": list(self.config.experiment.thresholds),
            "lotteries": [name for name in kinds if kinds[name] == "exponentiated_gradient"],
        }

    def ranked(self) -> list[str]:
        """Return the treatments that are ranked over datasets; none where these are too few."""
        controls = self.controls()
        names = [name for name in self.treatments if name not in controls]
        enough = len(self.datasets) >= FEWEST_DATASETS and len(names) >= FEWEST_TREATMENTS
        return names if enough and self.main_baseline() in names else []

    def kind(self, generator: str) -> str:
        """Return a generator's kind, e.g. ``"cddpm"``."""
        return self.config.generators[generator].kind

    def training_gpus(self, generator: str, attempt: int) -> int:
        """Return the number of GPUs that a training asks for, in its first or a later attempt."""
        if self.config.device == "cpu" or not KINDS[self.kind(generator)].on_gpu:
            return 0
        most = self.config.gpu_attempts
        return 1 if most is None or attempt <= most else 0

    def batch_of(self, generator: str, replicate: str) -> str | None:
        """Return the replicates that a generator learns together with one, or None if alone.

        Returns
        -------
        str
            The first and the last, e.g. ``10-19``, also where there are fewer: with more of them
            later it is the same batch, learnt anew with them.
        """
        size = self.config.replicates_together
        if size == 1 or not KINDS[self.kind(generator)].together:
            return None
        first = int(replicate) // size * size
        return f"{first}-{first + size - 1}"

    def batches(self) -> list[str]:
        """Return all batches of the experiment; none if each replicate learns by itself."""
        pairs = [(name, one) for name in self.generators for one in self.replicates]
        found = (self.batch_of(*pair) for pair in pairs)
        return list(dict.fromkeys(filter(None, found)))

    def replicates_of(self, batch: str) -> list[str]:
        """Return the replicates of a batch that the experiment has."""
        first, last = map(int, batch.split("-"))
        return self.replicates[first : last + 1]

    def cluster_group(self, *, generator: str | None = None, treatment: str | None = None) -> str:
        """Return which small stages of a replicate share a cluster job.

        All from sampling on are one job, so that a replicate is not twenty waits in the queue. What
        another generator learns from is made before, in a job of its own: a job that waits for one
        which waits for it would never start.

        Parameters
        ----------
        generator : str, optional
            Whose rows are drawn.
        treatment : str, optional
            Whose table is made.
        """
        sources = {name for name in map(self.trained_on, self.generators) if name}
        drawn = {self.recipes[name].generator for name in sources}
        return "source" if treatment in sources or generator in drawn - {None} else "replicate"

    def smallest_groups(self) -> dict[str, int]:
        """Return the rows that each treatment needs in every group of the training set."""
        needed = {}
        for name in self.all_treatments:
            generator = self.recipes[name].generator
            if generator and self.kind(generator) == "smote":
                needed[name] = self.config.generators[generator].k_neighbors + 1
        return needed

    def judged_on_validation(self) -> list[str]:
        """Return the generators whose checkpoint is chosen on the validation set."""
        return [name for name in self.generators if is_judged(self.resolved(name))]

    def density_generators(self) -> list[str]:
        """Return the generators of the treatments whose densities are shown."""
        names = [self.recipes[t].generator for t in self.config.figures.density_treatments]
        return list(dict.fromkeys(name for name in names if name))

    def iterated_generators(self) -> list[str]:
        """Return the generators that have a training curve."""
        return [name for name in self.generators if KINDS[self.kind(name)].iterated]

    def selecting_generators(self) -> list[str]:
        """Return the generators that choose a setting and a step by a score."""
        scored = ("criterion", "cross_validation")
        return [n for n in self.generators if self.resolved(n).get("selection") in scored]

    def figures(self) -> list[str]:
        """Return the figures made for each dataset and scenario, in order."""
        return [
            "group_composition",
            *(["umap"] if self.config.figures.umap_treatments else []),
            *(["densities"] if self.density_generators() else []),
            *(["training_curves"] if self.iterated_generators() else []),
        ]

    def classifier_figures(self) -> list[str]:
        """Return the figures made for each dataset, scenario and classifier, in order."""
        return [
            *(["roc", "calibration"] if self.config.figures.roc_treatments else []),
            *(["tradeoff"] if self.main_baseline() else []),
            *(f"differences_to_{name}" for name in self.baselines),
            *(["dose_response"] if self.doses() else []),
        ]

    def resolved(self, generator: str) -> dict[str, Any]:
        """Return a generator's settings, every value of its preset among them."""
        settings = self.config.generators[generator].resolved()
        return {key: value for key, value in settings.items() if key != "trained_on"}

    def all_classifiers(self) -> list[str]:
        """Return the experiment's classifiers, those that label rows, and members of ensembles."""
        labels = [self.recipes[name].labels for name in self.all_treatments]
        names = [*self.classifiers, *(name for name in labels if name)]
        rested_on = [
            inner
            for name in names
            for inner in getattr(self.config.classifiers[name], "members", [])
        ]
        for name in [*names, *rested_on]:
            rested_on += (
                [base] if (base := getattr(self.config.classifiers[name], "base", "")) else []
            )
        return list(dict.fromkeys([*names, *rested_on]))

    def classifier(self, name: str) -> dict[str, Any]:
        """Return a classifier's settings, those of an ensemble's members among them."""
        classifiers = self.config.classifiers
        return classifiers[name].resolved(classifiers)

    def params(self, rule: str) -> Callable[[Any], dict[str, Any]]:
        """Return the function that Snakemake calls with the wildcards for a rule's params."""
        return self._rule_params.of(rule)

    def expected_digest(self, rule: str, wildcards: Mapping[str, str]) -> str | None:
        """Return the params digest that a job has now, or None if it is not of this experiment."""
        return self._rule_params.expected_digest(rule, wildcards)

    def group_needs(self) -> dict[str, Any]:
        """Return what `check_groups` asks of the groups' sizes."""
        return {
            "smallest": self.smallest_groups(),
            "rare_groups": self.rare_groups,
            "judged_on_validation": self.judged_on_validation(),
            "for_two_levels": self.for_two_levels(),
        }

    def science(self) -> dict[str, Any]:
        """Return the resolved config of what is used, as plain JSON values."""
        # Without what is of the machine: a report is the same wherever it was made.
        resolved = self.config.model_dump(mode="json", exclude=_OF_THE_MACHINE)
        used = {
            "scenarios": self.scenarios,
            "generators": self.generators,
            "treatments": [self.config.families[name] for name in self.all_treatments],
            "classifiers": self.all_classifiers(),
        }
        resolved["experiment"]["treatments"] = [
            name
            for name in resolved["experiment"]["treatments"]
            if name not in self.config.left_out
        ]
        for section, names in used.items():
            resolved[section] = {name: resolved[section][name] for name in names}
        # Every value of a preset, not only what was overridden.
        resolved["generators"] = {
            name: self.config.generators[name].resolved() for name in self.generators
        }
        return resolved
