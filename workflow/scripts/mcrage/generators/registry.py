# SPDX-License-Identifier: MIT
"""Generators by kind: where the class is, and what decides the results of its two stages.

No stage imports this module but by name: another generator here reruns nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mcrage.errors import UserError
from mcrage.plugins import plugins

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
    guard : Needs
        Of the proof that the model is what training rows alone give, beyond what all models are
        asked; each module has a function ``check`` (see `mcrage.leakage.fitted.check_learnt`).
    sampling_settings : tuple of str
        Settings that only sampling reads; they decide training, too, where there is a judge.
    on_gpu : bool
        Whether training is faster on a GPU.
    iterated : bool
        Whether it has a training curve.
    together : bool
        Whether the class has ``fit_together``, which learns from several replicates at once.
    """

    module: str
    name: str
    train: Needs
    sample: Needs
    judge: Needs = Needs()
    guard: Needs = Needs()
    sampling_settings: tuple[str, ...] = ()
    on_gpu: bool = False
    iterated: bool = False
    together: bool = False


def kind_of(plugin: type) -> Kind:
    """Return what a generator's class from another package says of itself.

    Parameters
    ----------
    plugin : type
        Its attributes ``libraries`` (packages whose version decides its results), ``on_gpu`` and
        ``iterated`` are as in `Kind`, and may be left out. All settings are of training.
    """
    needs = Needs(libraries=tuple(getattr(plugin, "libraries", ())))
    return Kind(
        module=plugin.__module__,
        name=plugin.__name__,
        train=needs,
        sample=needs,
        on_gpu=bool(getattr(plugin, "on_gpu", False)),
        iterated=bool(getattr(plugin, "iterated", False)),
    )


KINDS: dict[str, Kind] = {
    "cddpm": Kind(
        module="mcrage.generators.cddpm",
        name="CddpmGenerator",
        train=Needs(("mcrage.generators.cddpm_fit",), ("torch", "numpy")),
        sample=Needs(("mcrage.generators.cddpm_draw",), ("torch", "numpy")),
        judge=Needs(
            ("mcrage.generators.cddpm_draw", "mcrage.classifiers.validation"), ("scikit-learn",)
        ),
        sampling_settings=(
            *("sampler", "sampling_steps", "sampling_variance", "guidance"),
            *("sigma_min", "sigma_max", "category_steps"),
        ),
        on_gpu=True,
        iterated=True,
        together=True,
    ),
    "smote": Kind(
        module="mcrage.generators.smote",
        name="SmoteGenerator",
        train=Needs((), ("numpy",)),
        sample=Needs(
            ("mcrage.generators.smote_draw",), ("imbalanced-learn", "numpy", "scikit-learn")
        ),
        sampling_settings=("k_neighbors",),
    ),
    "tabddpm": Kind(
        module="mcrage.generators.tabddpm",
        name="TabddpmGenerator",
        train=Needs(("mcrage.generators.tabddpm_fit",), ("torch", "numpy")),
        sample=Needs(("mcrage.generators.tabddpm_draw",), ("torch", "numpy")),
        sampling_settings=("sampling_variance",),
        on_gpu=True,
    ),
    "mixture": Kind(
        module="mcrage.generators.mixture",
        name="MixtureGenerator",
        train=Needs(("mcrage.generators.mixture_fit",), ("numpy", "scipy")),
        sample=Needs(("mcrage.generators.mixture_draw",), ("numpy", "scipy")),
        guard=Needs(("mcrage.leakage.learnt_mixture",), ("numpy", "scipy")),
    ),
    "copula": Kind(
        module="mcrage.generators.copula",
        name="CopulaGenerator",
        train=Needs(("mcrage.generators.copula_fit",), ("numpy", "scipy", "scikit-learn")),
        sample=Needs(("mcrage.generators.copula_draw",), ("numpy", "scipy")),
        guard=Needs(("mcrage.leakage.learnt_copula",), ("numpy", "scipy")),
    ),
    "cart": Kind(
        module="mcrage.generators.cart",
        name="CartGenerator",
        train=Needs(("mcrage.generators.cart_fit",), ("numpy", "scikit-learn")),
        sample=Needs(("mcrage.generators.cart_draw",), ("numpy", "scipy")),
        guard=Needs(("mcrage.leakage.learnt_cart",), ("numpy",)),
        sampling_settings=("smooth",),
    ),
    **{kind: kind_of(plugin) for kind, plugin in plugins().items()},
}
# Quantiles are fitted with scikit-learn, and applied with scipy in both directions.
_SCALING = {
    ("quantile", "train"): Needs(libraries=("scikit-learn", "scipy")),
    ("quantile", "sample"): Needs(libraries=("scipy",)),
}


# Settings that the stage applies to drawn rows, whoever drew them; no generator is told.
_OF_THE_STAGE = ("memorising",)
_GATE = Needs(("mcrage.fidelity.gate",), ("scikit-learn", "scipy", "numpy"))


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
    if stage == "train" and is_judged(settings):
        found += kind.judge
    if stage == "sample" and is_gated(settings):
        found += _GATE
    return found + _SCALING.get((settings.get("scaling"), stage), Needs())


def guard_needs(kinds: Iterable[str]) -> Needs:
    """Return what decides the guard's result on models of these kinds, beside its own code."""
    return sum((KINDS[kind].guard for kind in kinds), Needs())


def settings_of(stage: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a stage of a generator is given: those that decide its result.

    Parameters
    ----------
    stage : {"train", "sample"}
    settings : mapping
        The generator's, resolved.
    """
    drawing = KINDS[settings["kind"]].sampling_settings
    if stage == "sample":
        return {name: settings[name] for name in drawing}
    kept = is_judged(settings)
    return {
        name: value
        for name, value in settings.items()
        if name not in _OF_THE_STAGE and (kept or name not in drawing)
    }


def is_judged(settings: Mapping[str, Any]) -> bool:
    """Return whether the checkpoint is chosen by the rows it draws."""
    return settings.get("selection") == "criterion"


def is_gated(settings: Mapping[str, Any]) -> bool:
    """Return whether drawn rows that lie too near to training rows are acted on."""
    return settings.get("memorising", "keep") != "keep"


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
