# SPDX-License-Identifier: MIT
"""Settings of TabDDPM: a closed model, importable without torch."""

from typing import Annotated, Any, Literal

from pydantic import Field

from mcrage.config.base import Closed
from mcrage.config.generators_shared import MEMORISING, Memorising, shortfall, told

# As published for Adult; see `mcrage.generators.tabddpm` for each deviation.
_PAPER: dict[str, Any] = {
    "scaling": "quantile",
    "jitter": False,
    "derive": False,
    "split_zeros": False,
    "timesteps": 100,
    "beta_max": 0.999,
    "sampling_variance": "beta",
    "layers": [256, 1024, 1024, 1024, 1024, 256],
    "embedding": 128,
    "dropout": 0.0,
    "steps": 30_000,
    "batch_size": 4096,
    "learning_rate": 0.002,
    "weight_decay": 0.0,
    "group_exponent": 1.0,
    "ema_decay": 0.999,
    "memorising": "keep",
}
_SMALL: dict[str, Any] = {
    **_PAPER,
    "jitter": True,
    "derive": True,
    "split_zeros": True,
    "timesteps": 25,
    "beta_max": 0.2,
    "sampling_variance": "posterior",
    "layers": [256, 256, 256],
    "steps": 2000,
    "batch_size": 512,
    "ema_decay": 0.995,
}
PRESETS: dict[str, dict[str, Any]] = {"paper": _PAPER, "small": _SMALL}


class TabddpmSettings(Closed):
    """Gaussian and multinomial diffusion; every key left out takes the preset's value."""

    kind: Literal["tabddpm"]
    preset: Literal["paper", "small"] = Field(
        description="paper: the values published for Adult, for a GPU (30000 steps of a network "
        "of 4 million weights). small: about a minute of two cores on Adult.",
    )
    trained_on: str | None = Field(
        None,
        description="Name of a treatment whose rebalanced table is learnt from; "
        "null (paper): the training set.",
    )
    scaling: Literal["standard", "quantile", "within_subgroup", "within_group"] | None = Field(
        None,
        description="Of numbers. quantile (paper): normal quantiles. standard: mean 0, deviation "
        "1. within_subgroup, within_group: so in each subgroup or group.",
    )
    jitter: bool | None = Field(
        None,
        description="true: rounded values are spread over their interval of rounding before "
        "training. false: paper.",
    )
    derive: bool | None = Field(
        None,
        description="true: columns with a formula are recomputed, so identities hold. "
        "false (paper): they are modelled like the others.",
    )
    split_zeros: bool | None = Field(
        None,
        description="true: whether a number is 0 is a category beside it where a fifth or more "
        "are. false (paper): zeros are amounts.",
    )
    timesteps: int | None = Field(
        None,
        ge=2,
        le=10_000,
        description="Steps of the cosine schedule; paper 100 or 1000 (100 on Adult). Cost of "
        "drawing in proportion.",
    )
    beta_max: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Largest variance of a step; paper .999. With .2 errors of the last steps "
        "are amplified a hundredth as much, but rows start from what is not all noise.",
    )
    sampling_variance: Literal["posterior", "beta"] | None = Field(
        None, description="Of a step of numbers. beta: the paper's code; posterior: smaller."
    )
    layers: list[Annotated[int, Field(ge=1)]] | None = Field(
        None,
        min_length=1,
        description="Units of each layer; paper [256, 1024, 1024, 1024, 1024, 256]. Cost grows "
        "with the products of neighbours.",
    )
    embedding: int | None = Field(
        None,
        ge=2,
        multiple_of=2,
        description="Units in which row, time and group are added; paper 128.",
    )
    dropout: float | None = Field(
        None, ge=0, lt=1, description="Behind each layer; paper 0 on Adult."
    )
    steps: int | None = Field(None, ge=1, description="Budget; paper 30000. Cost in proportion.")
    batch_size: int | None = Field(
        None, ge=1, description="Rows a step; paper 4096. Cost in proportion."
    )
    learning_rate: float | None = Field(
        None, gt=0, description="At first; it falls linearly to 0. Paper .002 on Adult."
    )
    weight_decay: float | None = Field(
        None, ge=0, description="Of AdamW; paper 0 on Adult, 1e-4 elsewhere."
    )
    group_exponent: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Batches hold groups in proportion to n_g to this power: 1 (paper) as they "
        "are, 0 all alike.",
    )
    ema_decay: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Of the moving average of the weights that rows are drawn with; paper .999, "
        "whose code then draws with the last weights. 0: these.",
    )
    memorising: Memorising | None = Field(None, description=MEMORISING)

    def resolved(self) -> dict[str, Any]:
        """Return the preset's values with this model's overrides, as plain JSON values."""
        given = {key: value for key, value in self.model_dump().items() if value is not None}
        return {**PRESETS[self.preset], "trained_on": None, **given}

    def departures(self) -> dict[str, tuple[Any, Any]]:
        """Return the keys whose value is not the preset's: (value, the preset's value)."""
        preset = PRESETS[self.preset]
        return {
            key: (value, preset[key])
            for key, value in self.resolved().items()
            if key in preset and value != preset[key]
        }

    def departures_told(self) -> str:
        """Return a sentence for the reader of the report, or nothing."""
        return told(self.departures())

    def shortfall_told(self) -> str:
        """Return what the training lacks of the published budget, in words, or nothing."""
        # `small` is the same method with a smaller budget, not another one.
        return shortfall(self.resolved(), _PAPER, "paper")
