# SPDX-License-Identifier: MIT
"""The report and the commands of report.smk."""

from typing import Any

import yaml

from mcrage.rule_settings.base import RuleSettings


class ReportSettings(RuleSettings):
    """Of what tells of an experiment as a whole."""

    def _title(self) -> str:
        told = ", ".join(card.title for card in self.plan.cards.values())
        return self.plan.config.experiment.title or f"MCRAGE on {told}"

    def _report(self, wildcards: Any) -> dict:
        told = {"title", "description", "licence", "citation", "homepage"}
        return {
            "settings": {
                "title": self._title(),
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
                "test_to_train": self.plan.test_to_train(),
                "primary": {
                    **self.plan.config.primary.model_dump(),
                    "declared": self.plan.config.experiment.primary is not None,
                },
                "main_baseline": self.plan.main_baseline(),
                "remedies": self.plan.remedies(),
                "controls": self.plan.controls(),
                "shortfalls": self._shortfalls(),
                "margins": self.plan.config.margins.model_dump(),
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
                    *self.plan.batches(),
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

    def _shortfalls(self) -> dict[str, str]:
        """Return what the training of each treatment's generator lacks of its preset's."""
        generators = {name: self.plan.recipes[name].generator for name in self.plan.treatments}
        told = {
            name: self.plan.config.generators[generator].shortfall_told()
            for name, generator in generators.items()
            if generator
        }
        return {name: text for name, text in told.items() if text}

    def _lineage(self, wildcards: Any) -> dict:
        # Whole, since the script lays out the same plan from it.
        return {"settings": {"config": self.plan.config.model_dump(mode="json")}}

    def _init_dataset(self, wildcards: Any) -> dict:
        return {}

    def _preflight(self, wildcards: Any) -> dict:
        return {}
