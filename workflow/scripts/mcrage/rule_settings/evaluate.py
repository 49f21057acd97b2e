# SPDX-License-Identifier: MIT
"""Judging: the rules of evaluate.smk."""

from types import SimpleNamespace
from typing import Any

from mcrage.classifiers.by_name import libraries_of, modules_of
from mcrage.generators.registry import guard_needs
from mcrage.metrics.rules import PARITY, is_drawn
from mcrage.rule_settings.base import LIBRARIES
from mcrage.rule_settings.generate import GenerateSettings


class EvaluateSettings(GenerateSettings):
    """Of metrics, comparisons, and the guard, which makes treatments again."""

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
                *LIBRARIES["evaluate"],
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
                *(own := LIBRARIES["check_leakage"]),
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
                "references": self._references(wildcards),
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
                "test_to_train": self.plan.test_to_train(),
                "margins": self.plan.config.margins.model_dump(),
            }
        }
