# SPDX-License-Identifier: MIT
"""What is to be made, and each rule's params: the thought behind the Snakefile's helpers.

A rule's params are one dict of plain JSON values: its own slice of the config, its seeds, the
digest of the code it runs and the versions of the libraries that shape its result. Snakemake
compares params without their keys and ignores values that are not plain, so one dict per rule,
whose text holds the keys, is what makes reruns exact.
"""

from collections.abc import Callable, Mapping
from functools import cache, cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

from mcrage.code_digest import SCRIPTS, code_digest, rules_digest, versions
from mcrage.config.base import closest
from mcrage.config.model import Config, RandomForest, Treatment
from mcrage.datasets.cards import (
    Card,
    describe_settings,
    prepare_settings,
)
from mcrage.errors import UserError
from mcrage.generators.registry import KINDS, is_judged, needs, settings_of
from mcrage.provenance import params_digest
from mcrage.seeds import derive

THRESHOLD = 0.5
"""Of the scores that classifiers give; declared before the run, so it knows no row."""

_OF_THE_MACHINE = {"mirror", "device", "gpu_missing", "gpu_attempts", "lineage"}
_LIBRARIES = {
    "prepare": ("pyarrow",),
    "balance": ("numpy",),
    "split": ("numpy",),
    "induce_imbalance": ("numpy",),
    "check_groups": (),
    "rebalance": ("numpy",),
    "evaluate": ("scikit-learn", "numpy"),
    "check_leakage": ("numpy", "scikit-learn"),
    "summarise": ("pandas", "scipy"),
    "plot_rule_graph": ("matplotlib", "snakemake"),
    "plot_umap": ("matplotlib", "umap-learn"),
    "plot_densities": ("matplotlib", "seaborn", "scipy"),
    "plot_group_composition": ("matplotlib",),
    "plot_training_curves": ("matplotlib",),
    "plot_roc": ("matplotlib", "scikit-learn"),
    "plot_differences": ("matplotlib",),
    "report": ("jinja2", "pandas"),
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
        If a scenario does not fit a dataset, or published numbers are not there.
    """

    def __init__(
        self, config: Config, cards: Mapping[str, Card], published: Mapping[str, Path] | None = None
    ) -> None:
        self.config = config
        self.cards = cards
        self.datasets = config.experiment.datasets
        self.scenarios = config.experiment.scenarios
        self.replicates = [str(number) for number in range(config.experiment.replicates)]
        self.treatments = config.experiment.treatments
        self.classifiers = config.experiment.classifiers
        self.baselines = config.experiment.baselines
        self.published = dict(published or {})
        self._params: dict[str, Callable[[Any], dict[str, Any]]] = {}
        self._check()

    def _check(self) -> None:
        published = self.published
        problems = [
            f"published: '{name}' is not in resources/published{closest(name, published)}; "
            f"known: {', '.join(published)}"
            for name in self.config.published
            if name not in published
        ]
        for dataset, card in self.cards.items():
            gaps = [name for name in card.feature_columns if card.columns[name].missing_allowed]
            if gaps and self.generators:
                problems.append(
                    f"experiment.treatments: generators need complete features, but {dataset} "
                    f"allows missing values in {', '.join(gaps)}; leave out treatments with a "
                    "generator, or make the columns type: ignored"
                )
        for scenario in self.scenarios:
            for number, rule in enumerate(self.config.scenarios[scenario].keep):
                for dataset, card in self.cards.items():
                    for column, level in rule.where.items():
                        key = f"scenarios.{scenario}.keep[{number}].where"
                        if column not in card.sensitive:
                            problems.append(
                                f"{key}: '{column}' is not a sensitive attribute of {dataset}; "
                                f"allowed: {', '.join(card.sensitive)}"
                            )
                        elif (known := card.sensitive[column].levels) and level not in known:
                            problems.append(
                                f"{key}.{column}: '{level}' is not a level in {dataset}; "
                                f"allowed: {', '.join(known)}"
                            )
        if problems:
            raise UserError("\n".join(f"config: {problem}" for problem in problems))

    @cached_property
    def generators(self) -> list[str]:
        """Generators that the treatments need, directly or as the source of another."""
        names: list[str] = []
        for treatment in self.treatments:
            self._add_generator(self.config.treatments[treatment], names)
        return names

    def _add_generator(self, treatment: Treatment, names: list[str]) -> None:
        name = treatment.generator
        if name is None or name in names:
            return
        if source := self.trained_on(name):
            self._add_generator(self.config.treatments[source], names)
        names.append(name)

    @cached_property
    def all_treatments(self) -> list[str]:
        """The experiment's treatments, and those that a generator is trained on."""
        sources = [self.trained_on(name) for name in self.generators]
        return list(dict.fromkeys([*self.treatments, *(s for s in sources if s)]))

    def trained_on(self, generator: str) -> str | None:
        """Return the treatment whose table a generator learns from; None: the training set."""
        return getattr(self.config.generators[generator], "trained_on", None)

    def kind(self, generator: str) -> str:
        """Return a generator's kind, e.g. ``"cddpm"``."""
        return self.config.generators[generator].kind

    def training_gpus(self, generator: str, attempt: int) -> int:
        """Return the number of GPUs that a training asks for, in its first or a later attempt."""
        if self.config.device == "cpu" or not KINDS[self.kind(generator)].on_gpu:
            return 0
        most = self.config.gpu_attempts
        return 1 if most is None or attempt <= most else 0

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
        drawn = {self.config.treatments[name].generator for name in sources}
        return "source" if treatment in sources or generator in drawn - {None} else "replicate"

    def smallest_groups(self) -> dict[str, int]:
        """Return the rows that each treatment needs in every group of the training set."""
        needed = {}
        for name in self.all_treatments:
            generator = self.config.treatments[name].generator
            if generator and self.kind(generator) == "smote":
                needed[name] = self.config.generators[generator].k_neighbors + 1
        return needed

    def judged_on_validation(self) -> list[str]:
        """Return the generators whose checkpoint is chosen on the validation set."""
        return [name for name in self.generators if is_judged(self._resolved(name))]

    def density_generators(self) -> list[str]:
        """Return the generators of the treatments whose densities are shown."""
        names = [
            self.config.treatments[t].generator for t in self.config.figures.density_treatments
        ]
        return list(dict.fromkeys(name for name in names if name))

    def iterated_generators(self) -> list[str]:
        """Return the generators that have a training curve."""
        return [name for name in self.generators if self.kind(name) != "smote"]

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
            *(["roc"] if self.config.figures.roc_treatments else []),
            *(f"differences_to_{name}" for name in self.baselines),
        ]

    def _resolved(self, generator: str) -> dict[str, Any]:
        settings = self.config.generators[generator].resolved()
        return {key: value for key, value in settings.items() if key != "trained_on"}

    def params(self, rule: str) -> Callable[[Any], dict[str, Any]]:
        """Return the function that Snakemake calls with the wildcards for a rule's params.

        Parameters
        ----------
        rule : str
            Name of the rule, which is the name of its script.
        """
        settings = getattr(self, f"_{rule}")

        # Once for all jobs of a rule: these read files, and an experiment has thousands of jobs.
        @cache
        def made_with(modules: tuple[str, ...], libraries: tuple[str, ...]) -> dict[str, Any]:
            return {
                "code": code_digest(rule, *modules),
                "modules": list(modules),
                "versions": versions(*libraries),
            }

        def params(wildcards: Any) -> dict[str, Any]:
            facts = settings(wildcards)
            modules = facts.get("modules", ())
            libraries = facts.get("libraries", _LIBRARIES.get(rule, ()))
            return {
                "settings": facts.get("settings", {}),
                "seeds": facts.get("seeds", {}),
                **(facts.get("made_with") or made_with(modules, libraries)),
            }

        return params

    def expected_digest(self, rule: str, wildcards: Mapping[str, str]) -> str | None:
        """Return the params digest that a job has now, or None if it is not of this experiment.

        Parameters
        ----------
        rule : str
        wildcards : mapping of str to str
            As a file's origin tells them; not trusted.
        """
        if rule not in self._params:
            if not (SCRIPTS / f"{rule}.py").is_file():
                return None
            self._params[rule] = self.params(rule)
        try:
            return params_digest(self._params[rule](SimpleNamespace(**wildcards)))
        except (AttributeError, KeyError, StopIteration):
            return None

    def _seed(self, wildcards: Any, stage: str, *names: str) -> int:
        return derive(
            self.config.experiment.seed,
            wildcards.dataset,
            wildcards.scenario,
            wildcards.replicate,
            stage,
            *names,
        )

    def _download(self, wildcards: Any) -> dict:
        # The checksum fixes the content: neither another address nor other code brings another.
        files = self.cards[wildcards.dataset].files
        sha256 = next(file.sha256 for file in files if file.name == wildcards.file)
        return {
            "settings": {"sha256": sha256},
            "made_with": {"code": "any", "versions": {}},
        }

    def _prepare(self, wildcards: Any) -> dict:
        return {"settings": prepare_settings(self.cards[wildcards.dataset])}

    def _describe(self, wildcards: Any) -> dict:
        return {"settings": describe_settings(self.cards[wildcards.dataset])}

    def _balance(self, wildcards: Any) -> dict:
        return {
            "settings": {"balance": self.config.scenarios[wildcards.scenario].balance},
            "seeds": {"balance": self._seed(wildcards, "balance")},
        }

    def _split(self, wildcards: Any) -> dict:
        scenario = self.config.scenarios[wildcards.scenario]
        return {
            "settings": {"test_fraction": scenario.test_fraction},
            "seeds": {"split": self._seed(wildcards, "split")},
        }

    def _induce_imbalance(self, wildcards: Any) -> dict:
        scenario = self.config.scenarios[wildcards.scenario]
        return {
            "settings": {
                "keep": [rule.model_dump() for rule in scenario.keep],
                "validation_fraction": scenario.validation_fraction,
            },
            "seeds": {
                "induce": self._seed(wildcards, "induce"),
                "validation": self._seed(wildcards, "validation"),
            },
        }

    def _check_groups(self, wildcards: Any) -> dict:
        # A gate that models wait for. Were the treatments or the code of the check among its
        # params, then one treatment more would train every model again; each generator also
        # checks for itself what it needs. (Not an `ancient` input: Snakemake 9.27 does not look
        # at what waits for a job that is due, and would leave a stale model.)
        return {"made_with": {"code": "any", "versions": {}}}

    def group_needs(self) -> dict[str, Any]:
        """Return what `check_groups` asks of the groups' sizes."""
        return {
            "smallest": self.smallest_groups(),
            "judged_on_validation": self.judged_on_validation(),
        }

    def _train_generator(self, wildcards: Any) -> dict:
        settings = {
            "generator": settings_of("train", self._resolved(wildcards.generator)),
            # Not the job's, which depend on --cores: products of one wide network are split among
            # threads, and their rounding with them.
            "threads": self.config.threads,
            # Which table is its input: a file alone must be able to tell.
            "trained_on": self.trained_on(wildcards.generator),
        }
        if wildcards.generator in self.judged_on_validation():
            # The paper's criterion: F1 of its forest on the validation set.
            settings["judge"] = RandomForest().model_dump()
        return {
            "settings": settings,
            "seeds": {"train": self._seed(wildcards, "train", wildcards.generator)},
            **self._generator_code("train", wildcards.generator),
        }

    def _sample_generator(self, wildcards: Any) -> dict:
        # Always the whole gap, whatever a treatment takes of it: one treatment's fill must not
        # redraw another's rows.
        return {
            "settings": {
                "kind": self.kind(wildcards.generator),
                "sampling": settings_of("sample", self._resolved(wildcards.generator)),
            },
            "seeds": {"sample": self._seed(wildcards, "sample", wildcards.generator)},
            **self._generator_code("sample", wildcards.generator),
        }

    def _generator_code(self, stage: str, generator: str) -> dict:
        found = needs(stage, self._resolved(generator))
        return {"modules": found.modules, "libraries": found.libraries}

    def _rebalance(self, wildcards: Any) -> dict:
        treatment = self.config.treatments[wildcards.treatment]
        return {
            "settings": {
                "treatment": treatment.model_dump(include={"fill", "oversample", "weights"}),
                # Which tables are its inputs: a file alone must be able to tell.
                "made_from": treatment.model_dump(include={"train_on", "generator"}),
            },
            "seeds": {"rebalance": self._seed(wildcards, "rebalance", wildcards.treatment)},
        }

    def _evaluate(self, wildcards: Any) -> dict:
        # One seed for all treatments: they are compared within a replicate.
        return {
            "settings": {
                "classifier": self.config.classifiers[wildcards.classifier].model_dump(),
                "threshold": THRESHOLD,
            },
            "seeds": {"classifier": self._seed(wildcards, "classifier", wildcards.classifier)},
        }

    def _check_leakage(self, wildcards: Any) -> dict:
        treatments = self.config.treatments
        trained_on = {name: self.trained_on(name) for name in self.generators}
        return {
            "settings": {
                "treatments": [
                    {
                        "name": name,
                        **treatments[name].model_dump(include={"train_on", "weights", "generator"}),
                    }
                    for name in self.all_treatments
                ],
                "trained_on": trained_on,
                "learns_from": {
                    name: treatments[source].generator if source else None
                    for name, source in trained_on.items()
                },
                "judged_on_validation": self.judged_on_validation(),
                "runs": [
                    f"{treatment}, {classifier}"
                    for treatment in self.treatments
                    for classifier in self.classifiers
                ],
                "threshold": THRESHOLD,
            }
        }

    def _summarise(self, wildcards: Any) -> dict:
        return {
            "settings": {
                "datasets": self.datasets,
                "scenarios": self.scenarios,
                "n_replicates": len(self.replicates),
                "classifiers": self.classifiers,
                "treatments": self.treatments,
                "baselines": self.baselines,
                "controls": [
                    name
                    for name in self.treatments
                    if self.config.treatments[name].train_on == "original"
                ],
                "test_to_train": self._test_to_train(),
            }
        }

    def _test_to_train(self) -> dict[str, float]:
        fractions = {name: self.config.scenarios[name].test_fraction for name in self.scenarios}
        return {name: fraction / (1 - fraction) for name, fraction in fractions.items()}

    def _plot_rule_graph(self, wildcards: Any) -> dict:
        # What decides which rules there are and which follow which.
        shape = {
            "figures": self.figures(),
            "roc": bool(self.config.figures.roc_treatments),
            "generators": bool(self.generators),
            "trained_on_a_treatment": any(map(self.trained_on, self.generators)),
            "judged_on_validation": bool(self.judged_on_validation()),
        }
        return {"settings": {"shape": shape, "rules": rules_digest()}}

    def _plot_umap(self, wildcards: Any) -> dict:
        seed = derive(
            self.config.experiment.seed, wildcards.dataset, wildcards.scenario, "plot_umap"
        )
        return {
            "settings": {
                "treatments": self.config.figures.umap_treatments,
                "replicate": self.config.figures.replicate,
            },
            "seeds": {"umap": seed},
        }

    def _plot_densities(self, wildcards: Any) -> dict:
        return {
            "settings": {
                "names": self.density_generators(),
                "replicate": self.config.figures.replicate,
            }
        }

    def _plot_group_composition(self, wildcards: Any) -> dict:
        return {
            "settings": {
                "treatments": self.treatments,
                "replicate": self.config.figures.replicate,
            }
        }

    def _plot_training_curves(self, wildcards: Any) -> dict:
        return {
            "settings": {
                "generators": self.iterated_generators(),
                "n_replicates": len(self.replicates),
            }
        }

    def _plot_roc(self, wildcards: Any) -> dict:
        return {
            "settings": {
                "treatments": self.config.figures.roc_treatments,
                "n_replicates": len(self.replicates),
            }
        }

    def _plot_differences(self, wildcards: Any) -> dict:
        return {"settings": {"treatments": self.treatments}}

    def _lineage(self, wildcards: Any) -> dict:
        # Whole, since the script lays out the same plan from it.
        return {"settings": {"config": self.config.model_dump(mode="json")}}

    def _preflight(self, wildcards: Any) -> dict:
        return {}

    def _report(self, wildcards: Any) -> dict:
        told = {"title", "description", "licence", "citation", "homepage"}
        return {
            "settings": {
                "title": self.config.experiment.title,
                "induced": any(self.config.scenarios[name].keep for name in self.scenarios),
                "treatments": {name: self._told(name) for name in self.treatments},
                "datasets": {
                    name: card.model_dump(mode="json", include=told)
                    for name, card in self.cards.items()
                },
                "test_to_train": self._test_to_train(),
                "published": {
                    name: yaml.safe_load(self.published[name].read_text(encoding="utf-8"))
                    for name in self.config.published
                },
                "config": self.science(),
                "seed": self.config.experiment.seed,
                "names": [
                    *("download", "figures"),
                    *(*self.datasets, *self.scenarios, *self.replicates),
                    *(*self.generators, *self.all_treatments, *self.classifiers),
                ],
            }
        }

    def _told(self, treatment: str) -> str:
        """Return a treatment's description, and where its generator departs from its preset."""
        text = self.config.treatments[treatment].description
        generator = self.config.treatments[treatment].generator
        return text + (self.config.generators[generator].departures_told() if generator else "")

    def science(self) -> dict[str, Any]:
        """Return the resolved config of what is used, as plain JSON values."""
        # Without what is of the machine: a report is the same wherever it was made.
        resolved = self.config.model_dump(mode="json", exclude=_OF_THE_MACHINE)
        used = {
            "scenarios": self.scenarios,
            "generators": self.generators,
            "treatments": self.all_treatments,
            "classifiers": self.classifiers,
        }
        for section, names in used.items():
            resolved[section] = {name: resolved[section][name] for name in names}
        # Every value of a preset, not only what was overridden.
        resolved["generators"] = {
            name: self.config.generators[name].resolved() for name in self.generators
        }
        return resolved
