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

from mcrage.code_digest import SCRIPTS, code_digest, remember, versions
from mcrage.provenance import params_digest
from mcrage.rule_settings.base import LIBRARIES
from mcrage.rule_settings.data import DataSettings
from mcrage.rule_settings.evaluate import EvaluateSettings
from mcrage.rule_settings.figures import FigureSettings
from mcrage.rule_settings.report import ReportSettings

if TYPE_CHECKING:
    from mcrage.plan import Plan


class RuleParams(DataSettings, EvaluateSettings, FigureSettings, ReportSettings):
    """The params of every rule of an experiment.

    Parameters
    ----------
    plan : Plan
    """

    def __init__(self, plan: "Plan") -> None:
        super().__init__(plan)
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
            libraries = facts.get("libraries", LIBRARIES.get(rule, ()))
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
