# SPDX-License-Identifier: MIT
"""Generators by kind: where the class is, and what decides the results of its two stages.

No stage imports this module but by name: another generator here reruns nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mcrage.errors import UserError

if TYPE_CHECKING:
    from mcrage.generators.base import Generator


@dataclass(frozen=True)
class Needs:
    """What decides a stage's result, beside its script: what the code digest starts from.

    Attributes
    ----------
    modules : tuple of str
        The project's modules that are loaded by name; what they import follows by itself.
    libraries : tuple of str
        Packages whose version counts.
    """

    modules: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()

    def __add__(self, other: "Needs") -> "Needs":
        """Return both together, in order."""
        return Needs(
            tuple(dict.fromkeys(self.modules + other.modules)),
            tuple(dict.fromkeys(self.libraries + other.libraries)),
        )


@dataclass(frozen=True)
class Kind:
    """A kind of generator.

    Attributes
    ----------
    module, name : str
        Where its class is. The module belongs to the needs of both stages.
    train, sample : Needs
        Of each stage.
    judge : Needs
        Of training where the checkpoint is chosen by the rows it draws.
    on_gpu : bool
        Whether training is faster on a GPU.
    """

    module: str
    name: str
    train: Needs
    sample: Needs
    judge: Needs = Needs()
    on_gpu: bool = False


KINDS: dict[str, Kind] = {
    "cddpm": Kind(
        module="mcrage.generators.cddpm",
        name="CddpmGenerator",
        train=Needs(("mcrage.generators.cddpm_fit",), ("torch", "numpy")),
        sample=Needs(("mcrage.generators.cddpm_draw",), ("torch", "numpy")),
        judge=Needs(
            ("mcrage.generators.cddpm_draw", "mcrage.classifiers.validation"), ("scikit-learn",)
        ),
        on_gpu=True,
    ),
    "smote": Kind(
        module="mcrage.generators.smote",
        name="SmoteGenerator",
        train=Needs((), ("numpy",)),
        sample=Needs(
            ("mcrage.generators.smote_draw",), ("imbalanced-learn", "numpy", "scikit-learn")
        ),
    ),
}
# Quantiles are fitted with scikit-learn, and applied with scipy in both directions.
_SCALING = {
    ("quantile", "train"): Needs(libraries=("scikit-learn", "scipy")),
    ("quantile", "sample"): Needs(libraries=("scipy",)),
}


def needs(stage: str, settings: Mapping[str, Any]) -> Needs:
    """Return what decides the result of a stage of a generator.

    Parameters
    ----------
    stage : {"train", "sample"}
    settings : mapping
        The generator's, resolved.
    """
    kind = KINDS[settings["kind"]]
    found = Needs((kind.module,)) + getattr(kind, stage)
    if stage == "train" and settings.get("selection") == "criterion":
        found += kind.judge
    return found + _SCALING.get((settings.get("scaling"), stage), Needs())


def generator_class(kind: str) -> "type[Generator]":
    """Return a generator's class by the `kind` of its settings, importing it only now.

    Raises
    ------
    UserError
        If there is none of this name.
    """
    if kind not in KINDS:
        raise UserError(
            f"generator kind '{kind}' is unknown; known are {', '.join(sorted(KINDS))}."
        )
    return getattr(import_module(KINDS[kind].module), KINDS[kind].name)
