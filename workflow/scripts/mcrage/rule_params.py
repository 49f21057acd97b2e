# SPDX-License-Identifier: MIT
"""Each rule's params: what decides its result, and so what reruns it.

A rule's params are one dict of plain JSON values: its own slice of the config, its seeds, the
digest of the code it runs and the versions of the libraries that shape its result. Snakemake
compares params without their keys and ignores values that are not plain, so one dict per rule,
whose text holds the keys, is what makes reruns exact.
"""

from collections.abc import Callable, Mapping
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import yaml

from mcrage.classifiers.by_name import libraries_of, modules_of
from mcrage.code_digest import SCRIPTS, code_digest, remember, rules_digest, versions
from mcrage.config.classifiers import RandomForest
from mcrage.datasets.cards import describe_settings, prepare_settings
from mcrage.generators.registry import guard_needs, needs, settings_of
from mcrage.metrics.rules import PARITY, is_drawn
from mcrage.provenance import params_digest
from mcrage.seeds import derive

if TYPE_CHECKING:
    from mcrage.plan import Plan

TEACHER = "mcrage.classifiers.teacher"
"""Loaded by name: treatments whose rows keep their own labels do not depend on it."""

_LIBRARIES = {
    "prepare": ("pyarrow",),
    "balance": ("numpy",),
    "split": ("numpy",),
    "induce_imbalance": ("numpy",),
    "check_groups": (),
    "judge_synthetic": ("numpy", "scikit-learn"),
    "gather_fidelity": (),
    "rebalance": ("numpy",),
    "export_csv": ("pyarrow",),
    "evaluate": ("scikit-learn", "numpy"),
    "check_leakage": ("numpy", "scikit-learn"),
    "compare_predictions": ("numpy", "scipy"),
    "gather_within_replicate": (),
    "summarise": ("pandas", "scipy"),
    "plot_rule_graph": ("matplotlib", "snakemake"),
    "plot_umap": ("matplotlib", "umap-learn"),
    "plot_densities": ("matplotlib", "seaborn", "scipy"),
    "plot_group_composition": ("matplotlib",),
    "plot_training_curves": ("matplotlib",),
    "plot_roc": ("matplotlib", "scikit-learn"),
    "plot_differences": ("matplotlib",),
    "plot_dose_response": ("matplotlib",),
    "plot_calibration": ("matplotlib",),
    "plot_tradeoff": ("matplotlib",),
    "plot_ranks": ("matplotlib", "pandas", "scipy"),
    "report": ("jinja2", "pandas", "scipy"),
}


class RuleParams:
    """The params of every rule of an experiment.

    Parameters
    ----------
    plan : Plan
    """

    def __init__(self, plan: "Plan") -> None:
        self.plan = plan
        self._params: dict[str, Callable[[Any], dict[str, Any]]] = {}

    def of(self, rule: str) -> Callable[[Any], dict[str, Any]]:
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
            made_with = {
                "code": code_digest(rule, *modules),
                "modules": list(modules),
                "versions": versions(*libraries),
            }
            remember()
            return made_with

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
            self._params[rule] = self.of(rule)
        try:
            return params_digest(self._params[rule](SimpleNamespace(**wildcards)))
        except (AttributeError, KeyError, StopIteration):
            return None

    def _seed(self, wildcards: Any, stage: str, *names: str) -> int:
        return derive(
            self.plan.config.experiment.seed,
            wildcards.dataset,
            wildcards.scenario,
            wildcards.replicate,
            stage,
            *names,
        )

    def _download(self, wildcards: Any) -> dict:
        # The checksum fixes the content: neither another address nor other code brings another.
        files = self.plan.cards[wildcards.dataset].files
        file = next(file for file in files if file.name == wildcards.file)
        return {
            "settings": {"sha256": file.sha256, **({"keep": file.keep} if file.keep else {})},
            "made_with": {"code": "any", "versions": {}},
        }

    def _prepare(self, wildcards: Any) -> dict:
        return {"settings": prepare_settings(self.plan.cards[wildcards.dataset])}

    def _describe(self, wildcards: Any) -> dict:
        return {"settings": describe_settings(self.plan.cards[wildcards.dataset])}

    def _balance(self, wildcards: Any) -> dict:
        scenario = self.plan.config.scenarios[wildcards.scenario]
        return {
            "settings": {"balance": scenario.balance, "split": scenario.split},
            "seeds": {"balance": self._seed(wildcards, "balance")},
        }

    def _split(self, wildcards: Any) -> dict:
        scenario = self.plan.config.scenarios[wildcards.scenario]
        return {
            "settings": {"split": scenario.split, "test_fraction": scenario.test_fraction},
            "seeds": {"split": self._seed(wildcards, "split")},
        }

    def _induce_imbalance(self, wildcards: Any) -> dict:
        scenario = self.plan.config.scenarios[wildcards.scenario]
        return {
            "settings": {
                "keep": scenario.keep_of(wildcards.dataset),
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

    def _train_generator(self, wildcards: Any) -> dict:
        settings = {
            "generator": settings_of("train", self.plan.resolved(wildcards.generator)),
            "rare_groups": self.plan.rare_groups,
            # Not the job's, which depend on --cores: products of one wide network are split among
            # threads, and their rounding with them.
            "threads": self.plan.config.threads,
            # Which table is its input: a file alone must be able to tell.
            "trained_on": self.plan.trained_on(wildcards.generator),
        }
        if wildcards.generator in self.plan.judged_on_validation():
            # The paper's criterion: F1 of its forest on the validation set.
            settings["judge"] = RandomForest(kind="random_forest").resolved({})
        return {
            "settings": settings,
            "seeds": {"train": self._seed(wildcards, "train", wildcards.generator)},
            **self._generator_code("train", wildcards.generator),
        }

    def _sample_generator(self, wildcards: Any) -> dict:
        # Always whole gaps, whatever a treatment takes of them: one treatment's fill must not
        # redraw another's rows.
        return {
            "settings": {
                "kind": self.plan.kind(wildcards.generator),
                "sampling": settings_of("sample", self.plan.resolved(wildcards.generator)),
                "demands": self.plan.demands(wildcards.generator),
                "memorising": self.plan.resolved(wildcards.generator)["memorising"],
            },
            "seeds": {"sample": self._seed(wildcards, "sample", wildcards.generator)},
            **self._generator_code("sample", wildcards.generator),
        }

    def _generator_code(self, stage: str, generator: str) -> dict:
        found = needs(stage, self.plan.resolved(generator))
        return {"modules": found.modules, "libraries": found.libraries}

    def _judge_synthetic(self, wildcards: Any) -> dict:
        # One seed for all generators: they are compared within a replicate.
        return {"seeds": {"judge": self._seed(wildcards, "judge_synthetic")}}

    def _gather_fidelity(self, wildcards: Any) -> dict:
        return {
            "settings": {
                "datasets": self.plan.datasets,
                "scenarios": self.plan.scenarios,
                "n_replicates": len(self.plan.replicates),
                "generators": self.plan.generators,
            }
        }

    def _rebalance(self, wildcards: Any) -> dict:
        treatment = self.plan.recipes[wildcards.treatment]
        # One seed for all doses: a larger one goes on where a smaller one ended.
        family = self.plan.config.families[wildcards.treatment]
        settings = {
            "treatment": {
                **treatment.model_dump(
                    include={"fill", "fill_by", "size", "oversample", "undersample", "weights"}
                ),
                **treatment.given("rows", "weights_over"),
                **(self.plan.left() if treatment.generator else {}),
            },
            # Which tables are its inputs: a file alone must be able to tell.
            "made_from": treatment.model_dump(include={"train_on", "generator"}),
        }
        seeds = {"rebalance": self._seed(wildcards, "rebalance", family)}
        if (teacher := self._teacher(wildcards.treatment)) is None:
            return {"settings": settings, "seeds": seeds}
        # One seed for all treatments: they are compared within a replicate.
        return {
            "settings": {**settings, "teacher": teacher},
            "seeds": {**seeds, "teacher": self._seed(wildcards, "teacher", treatment.labels)},
            "modules": (TEACHER, *modules_of(teacher)),
            "libraries": ("numpy", "scikit-learn", *libraries_of(teacher)),
        }

    def _export_csv(self, wildcards: Any) -> dict:
        layout = self.plan.cards[wildcards.dataset].format
        return {"settings": {"delimiter": layout.delimiter, "decimal": layout.decimal}}

    def _init_dataset(self, wildcards: Any) -> dict:
        return {}

    def _teacher(self, treatment: str) -> dict | None:
        """Return the settings of the classifier that labels a treatment's synthetic rows."""
        labels = self.plan.recipes[treatment].labels
        return self.plan.classifier(labels) if labels else None

    def _evaluate(self, wildcards: Any) -> dict:
        classifier = self.plan.classifier(wildcards.classifier)
        return {
            "settings": {
                "classifier": classifier,
                "thresholds": self._thresholds(),
                "references": self._references(wildcards),
                # Which tables are its inputs: a file alone must be able to tell.
                "left_out": self.plan.judges_left_out(wildcards.treatment, wildcards.classifier),
            },
            "seeds": self._seeds_of_run(wildcards, wildcards.classifier),
            "modules": modules_of(classifier),
            "libraries": (
                *_LIBRARIES["evaluate"],
                *sorted(self._libraries_of_rules().union(libraries_of(classifier))),
            ),
        }

    def _seeds_of_run(self, wildcards: Any, classifier: str) -> dict[str, int]:
        # One seed for all treatments: they are compared within a replicate.
        seeds = {"classifier": self._seed(wildcards, "classifier", classifier)}
        if any(map(is_drawn, self._thresholds())):
            seeds["decisions"] = self._seed(wildcards, "decisions", classifier)
        return seeds

    def _libraries_of_rules(self) -> set[str]:
        return {"fairlearn"} if set(self._thresholds()) & set(PARITY) else set()

    def _thresholds(self) -> list[str]:
        return list(self.plan.config.experiment.thresholds)

    def _check_leakage(self, wildcards: Any) -> dict:
        treatments = self.plan.recipes
        trained_on = {name: self.plan.trained_on(name) for name in self.plan.generators}
        classifiers = {name: self.plan.classifier(name) for name in self.plan.classifiers}
        teachers = [found for found in map(self._teacher, self.plan.all_treatments) if found]
        fitted = [*teachers, *classifiers.values()]
        of_kinds = guard_needs(map(self.plan.kind, self.plan.generators))
        return {
            "settings": {
                "treatments": [self._treated(wildcards, name) for name in self.plan.all_treatments],
                "trained_on": trained_on,
                "rare_groups": self.plan.rare_groups,
                "learns_from": {
                    name: treatments[source].generator if source else None
                    for name, source in trained_on.items()
                },
                "judged_on_validation": self.plan.judged_on_validation(),
                "runs": [
                    [treatment, classifier]
                    for treatment in self.plan.treatments
                    for classifier in self.plan.classifiers
                ],
                "classifiers": {
                    name: {
                        "settings": classifiers[name],
                        "seeds": self._seeds_of_run(wildcards, name),
                    }
                    for name in self.plan.classifiers
                },
                # One of each classifier, drawn by the replicate.
                "refitted": {
                    name: self.plan.treatments[
                        self._seed(wildcards, "check_leakage", name) % len(self.plan.treatments)
                    ]
                    for name in self.plan.classifiers
                },
                "thresholds": self._thresholds(),
                "references": self._references(wildcards),
            },
            "modules": tuple(
                sorted({m for each in fitted for m in modules_of(each)}.union(of_kinds.modules))
            ),
            "libraries": (
                *(own := _LIBRARIES["check_leakage"]),
                *sorted(
                    {name for each in fitted for name in libraries_of(each)}.union(
                        of_kinds.libraries, self._libraries_of_rules()
                    ).difference(own)
                ),
            ),
        }

    def _treated(self, wildcards: Any, treatment: str) -> dict:
        """Return what the guard is told of a treatment."""
        facts = self._rebalance(SimpleNamespace(**{**vars(wildcards), "treatment": treatment}))
        return {
            "name": treatment,
            **facts["settings"]["made_from"],
            "made": facts["settings"]["treatment"],
            "seed": facts["seeds"]["rebalance"],
            "teacher": facts["settings"].get("teacher"),
        }

    def _compare_predictions(self, wildcards: Any) -> dict:
        # One seed for all treatments: they are compared on the same draws.
        return {
            "settings": {
                "treatments": self.plan.treatments,
                "classifiers": self.plan.classifiers,
                "baselines": self.plan.baselines,
                "thresholds": self._thresholds(),
                "n_draws": self.plan.config.experiment.bootstrap,
            },
            "seeds": {"bootstrap": self._seed(wildcards, "compare_predictions")},
        }

    def _gather_within_replicate(self, wildcards: Any) -> dict:
        return {
            "settings": {
                "datasets": self.plan.datasets,
                "scenarios": self.plan.scenarios,
                "n_replicates": len(self.plan.replicates),
            }
        }

    def _references(self, wildcards: Any) -> dict[str, str]:
        """Return the levels that others are compared with, by attribute."""
        return self.plan.config.experiment.references.get(wildcards.dataset, {})

    def _summarise(self, wildcards: Any) -> dict:
        return {
            "settings": {
                "datasets": self.plan.datasets,
                "scenarios": self.plan.scenarios,
                "n_replicates": len(self.plan.replicates),
                "classifiers": self.plan.classifiers,
                "treatments": self.plan.treatments,
                "baselines": self.plan.baselines,
                "controls": self.plan.controls(),
                "test_to_train": self._test_to_train(),
                "margins": self.plan.config.margins.model_dump(),
            }
        }

    def _test_to_train(self) -> dict[str, float]:
        return self.plan.test_to_train()

    def _plot_rule_graph(self, wildcards: Any) -> dict:
        # What decides which rules there are and which follow which.
        shape = {
            "figures": self.plan.figures(),
            "roc": bool(self.plan.config.figures.roc_treatments),
            "doses": bool(self.plan.doses()),
            "ranked": bool(self.plan.ranked()),
            "generators": bool(self.plan.generators),
            "trained_on_a_treatment": any(map(self.plan.trained_on, self.plan.generators)),
            "judged_on_validation": bool(self.plan.judged_on_validation()),
        }
        return {"settings": {"shape": shape, "rules": rules_digest()}}

    def _plot_umap(self, wildcards: Any) -> dict:
        seed = derive(
            self.plan.config.experiment.seed, wildcards.dataset, wildcards.scenario, "plot_umap"
        )
        return {
            "settings": {
                "treatments": self.plan.config.figures.umap_treatments,
                "replicate": self.plan.config.figures.replicate,
            },
            "seeds": {"umap": seed},
        }

    def _plot_densities(self, wildcards: Any) -> dict:
        return {
            "settings": {
                "names": self.plan.density_generators(),
                "replicate": self.plan.config.figures.replicate,
            }
        }

    def _plot_group_composition(self, wildcards: Any) -> dict:
        return {
            "settings": {
                "treatments": self.plan.treatments,
                "replicate": self.plan.config.figures.replicate,
            }
        }

    def _plot_training_curves(self, wildcards: Any) -> dict:
        return {
            "settings": {
                "generators": self.plan.iterated_generators(),
                "n_replicates": len(self.plan.replicates),
            }
        }

    def _plot_roc(self, wildcards: Any) -> dict:
        return {
            "settings": {
                "treatments": self.plan.config.figures.roc_treatments,
                "n_replicates": len(self.plan.replicates),
            }
        }

    def _plot_differences(self, wildcards: Any) -> dict:
        return {
            "settings": {"treatments": self.plan.treatments, "threshold": self._thresholds()[0]}
        }

    def _plot_calibration(self, wildcards: Any) -> dict:
        return self._plot_roc(wildcards)

    def _plot_tradeoff(self, wildcards: Any) -> dict:
        return {
            "settings": {
                "treatments": self.plan.treatments,
                "baseline": self.plan.main_baseline(),
                "controls": self.plan.controls(),
            }
        }

    def _plot_ranks(self, wildcards: Any) -> dict:
        return {
            "settings": {
                "treatments": self.plan.ranked(),
                "control": self.plan.main_baseline(),
                "leading": self._thresholds()[0],
            }
        }

    def _plot_dose_response(self, wildcards: Any) -> dict:
        return {
            "settings": {
                "doses": self.plan.doses(),
                "baseline": self.plan.dose_baseline(),
                "threshold": self._thresholds()[0],
            },
        }

    def _lineage(self, wildcards: Any) -> dict:
        # Whole, since the script lays out the same plan from it.
        return {"settings": {"config": self.plan.config.model_dump(mode="json")}}

    def _preflight(self, wildcards: Any) -> dict:
        return {}

    def _report(self, wildcards: Any) -> dict:
        told = {"title", "description", "licence", "citation", "homepage"}
        return {
            "settings": {
                "title": self.plan.config.experiment.title,
                "induced": any(
                    self.plan.config.scenarios[name].keep for name in self.plan.scenarios
                ),
                "treatments": {name: self._told(name) for name in self.plan.treatments},
                "generators": self.plan.generators,
                "rare_groups": self.plan.rare_groups,
                "datasets": {
                    name: card.model_dump(mode="json", include=told)
                    for name, card in self.plan.cards.items()
                },
                "test_to_train": self._test_to_train(),
                "primary": self.plan.config.primary.model_dump(),
                "main_baseline": self.plan.main_baseline(),
                "shown_replicate": self.plan.config.figures.replicate,
                "ranked": {
                    "treatments": self.plan.ranked(),
                    "control": self.plan.main_baseline(),
                    "thresholds": self._thresholds(),
                },
                "published": {
                    name: yaml.safe_load(self.plan.published[name].read_text(encoding="utf-8"))
                    for name in self.plan.config.published
                },
                "config": self.plan.science(),
                "seed": self.plan.config.experiment.seed,
                "selecting": {
                    "datasets": list(self.plan.datasets),
                    "scenarios": list(self.plan.scenarios),
                    "generators": self.plan.selecting_generators(),
                    "n_replicates": len(self.plan.replicates),
                },
                "names": [
                    *("download", "figures"),
                    *(*self.plan.datasets, *self.plan.scenarios, *self.plan.replicates),
                    *(*self.plan.generators, *self.plan.all_treatments, *self.plan.classifiers),
                ],
            }
        }

    def _told(self, treatment: str) -> str:
        """Return a treatment's description, and where its generator departs from its preset."""
        text = self.plan.recipes[treatment].description
        generator = self.plan.recipes[treatment].generator
        return text + (
            self.plan.config.generators[generator].departures_told() if generator else ""
        )
