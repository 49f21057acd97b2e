# SPDX-License-Identifier: MIT
"""What the rules have in common: the plan, seeds, and the libraries that shape a result."""

from typing import TYPE_CHECKING, Any

from mcrage.seeds import derive

if TYPE_CHECKING:
    from mcrage.plan import Plan

LIBRARIES: dict[str, tuple[str, ...]] = {
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
"""The libraries whose version shapes a rule's result, where its settings do not say."""


class RuleSettings:
    """Facts of rules; of each a dict with some of settings, seeds, modules and libraries.

    Parameters
    ----------
    plan : Plan
    """

    def __init__(self, plan: "Plan") -> None:
        self.plan = plan

    def _seed(self, wildcards: Any, stage: str, *names: str) -> int:
        return derive(
            self.plan.config.experiment.seed,
            wildcards.dataset,
            wildcards.scenario,
            wildcards.replicate,
            stage,
            *names,
        )

    def _thresholds(self) -> list[str]:
        return list(self.plan.config.experiment.thresholds)

    def _references(self, wildcards: Any) -> dict[str, str]:
        """Return the levels that others are compared with, by attribute."""
        return self.plan.config.experiment.references.get(wildcards.dataset, {})

    def _teacher(self, treatment: str) -> dict | None:
        """Return the settings of the classifier that labels a treatment's synthetic rows."""
        labels = self.plan.recipes[treatment].labels
        return self.plan.classifier(labels) if labels else None
