# SPDX-License-Identifier: MIT
"""Figures: the rules of figures.smk."""

from typing import Any

from mcrage.code_digest import rules_digest
from mcrage.rule_settings.base import RuleSettings
from mcrage.seeds import derive


class FigureSettings(RuleSettings):
    """Of every figure: what it shows."""

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
