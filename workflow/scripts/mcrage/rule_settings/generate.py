# SPDX-License-Identifier: MIT
"""Training, drawing and rebalancing: the rules of generate.smk."""

from types import SimpleNamespace
from typing import Any

from mcrage.classifiers.by_name import libraries_of, modules_of
from mcrage.config.classifiers import RandomForest
from mcrage.generators.registry import needs, settings_of
from mcrage.rule_settings.base import RuleSettings

TEACHER = "mcrage.classifiers.teacher"
"""Loaded by name: treatments whose rows keep their own labels do not depend on it."""


class GenerateSettings(RuleSettings):
    """Of models, synthetic rows and rebalanced tables."""

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

    def _train_together(self, wildcards: Any) -> dict:
        # What each is trained with is what it would be alone: by that it is known again.
        alone = self.plan.params("train_generator")
        names = {name: getattr(wildcards, name) for name in ("dataset", "scenario", "generator")}
        return {
            "settings": {
                replicate: alone(SimpleNamespace(**names, replicate=replicate))
                for replicate in self.plan.replicates_of(wildcards.batch)
            },
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
