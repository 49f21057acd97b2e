# SPDX-License-Identifier: MIT
"""From the raw files to the training set: the rules of data.smk."""

from typing import Any

from mcrage.datasets.cards import describe_settings, prepare_settings
from mcrage.rule_settings.base import RuleSettings


class DataSettings(RuleSettings):
    """Of downloading, preparing, balancing, splitting and thinning out."""

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
