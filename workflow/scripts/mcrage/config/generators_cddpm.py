# SPDX-License-Identifier: MIT
"""Settings of the conditional diffusion model, and its presets."""

import math
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from mcrage.config.base import Closed
from mcrage.config.generators_shared import MEMORISING, Memorising, shortfall, told

# What MCRAGE's text and notebook state; see `mcrage.generators.cddpm` for each deviation.
_PAPER: dict[str, Any] = {
    "scaling": "standard",
    "jitter": False,
    "derive": False,
    "categories": "one_hot",
    "condition": "group",
    "group_residual": False,
    "group_weight_decay": 0.0,
    "target": "epsilon",
    "schedule": "linear",
    "timesteps": 35,
    "beta_min": 1e-10,
    "beta_max": 0.2,
    "noise_means": [-0.5],
    "noise_stds": [1.2],
    "sigma_min": 0.01,
    "sigma_max": 20.0,
    "network": "paper",
    "width": 576,
    "depth": 1,
    "dropouts": [0.0],
    "condition_dropouts": [0.7, 0.725, 0.75, 0.775, 0.8],
    "factor_dropout": 0.0,
    "guidance": 3.0,
    "sampler": "ancestral",
    "sampling_steps": 35,
    "sampling_variance": "posterior",
    "category_steps": 32,
    "optimizer": "adam",
    "learning_rates": [10**exponent for exponent in (-4.5, -4.35, -4.2, -4.05, -3.9)],
    "weight_decays": [1e-4],
    "rate_decay": "exponential",
    "decay_rate": 0.97,
    "decay_every": 100,
    "warmup_steps": 0,
    "clip_norm": None,
    "batch_sizes": [128],
    "epochs": 10_000,
    "steps": None,
    "group_exponent": 1.0,
    "ema_decay": 0.95,
    "use_ema": False,
    "seeds": 1,
    "selection": "criterion",
    "select_every_epochs": 100,
    "memorising": "keep",
    "folds": 5,
    "snapshots": 20,
    "max_memory_gib": None,
}

_TUNED: dict[str, Any] = {
    **_PAPER,
    "scaling": "within_subgroup",
    "jitter": True,
    "derive": True,
    "categories": "masked",
    "condition": "additive",
    "group_residual": False,
    "group_weight_decay": 0.1,
    "target": "edm",
    "network": "residual",
    "width": 64,
    "depth": 2,
    "dropouts": [0.0],
    "condition_dropouts": [0.0],
    "factor_dropout": 0.1,
    "guidance": 0.0,
    "sampler": "unipc",
    "sampling_steps": 20,
    "optimizer": "adamw",
    "learning_rates": [1e-3],
    "rate_decay": "constant",
    "warmup_steps": 200,
    "clip_norm": 1.0,
    "batch_sizes": [256],
    "epochs": None,
    "steps": 1500,
    "group_exponent": 0.5,
    "ema_decay": 0.9986,
    "use_ema": True,
    "seeds": 8,
    "selection": "last",
}

_TUNED_LARGE: dict[str, Any] = {
    **_TUNED,
    "scaling": "quantile",
    "width": 128,
    "learning_rates": [2e-3],
    "rate_decay": "linear",
    "batch_sizes": [512],
    "steps": 4000,
    "seeds": 1,
}

PRESETS: dict[str, dict[str, Any]] = {
    "paper": _PAPER,
    "tuned": _TUNED,
    "tuned_large": _TUNED_LARGE,
}

_GRID = (
    *("learning_rates", "condition_dropouts", "weight_decays", "dropouts"),
    *("batch_sizes", "noise_means", "noise_stds"),
)
_Probability = Annotated[float, Field(ge=0, lt=1)]


class CddpmSettings(Closed):
    """A conditional denoising diffusion model; every key left out takes the preset's value."""

    kind: Literal["cddpm"]
    preset: Literal["paper", "tuned", "tuned_large"] = Field(
        description="paper: MCRAGE's own values, slow and meant for a GPU. tuned: the best we "
        "know of some thousand rows, seconds to a minute on one core. tuned_large: of some ten "
        "thousand rows or more, or of numbers with heavy tails or a value that many rows share; "
        "one to two minutes on one core, whatever the number of rows."
    )
    trained_on: str | None = Field(
        None,
        description="Name of a treatment whose rebalanced table is learnt from; "
        "null (paper): the training set.",
    )
    scaling: Literal["standard", "quantile", "within_subgroup", "within_group"] | None = Field(
        None,
        description="standard (paper): mean 0, deviation 1. quantile: normal quantiles. "
        "within_subgroup: mean 0 and deviation 1 in each subgroup, so that subgroups share the "
        "shape that is learnt and keep their own margins; within_group: in each group. Tails and "
        "values that many rows share need quantiles.",
    )
    jitter: bool | None = Field(
        None,
        description="true: rounded values are spread over their interval of rounding before "
        "training, so that the network sees no comb. false: paper.",
    )
    derive: bool | None = Field(
        None,
        description="true: columns with a formula are recomputed, so identities hold. "
        "false (paper): they are modelled like the others.",
    )
    categories: Literal["one_hot", "masked"] | None = Field(
        None,
        description="one_hot (paper, which has none): an indicator a level, modelled as a number; "
        "the largest tells the level. masked: categories, which values are missing, and which "
        "numbers are 0 where a fifth or more are, come first, each predicted from those known; "
        "then numbers, given them. Without such columns both are the same.",
    )
    condition: Literal["group", "additive"] | None = Field(
        None,
        description="group (paper): one embedding a group. additive: one for each sensitive "
        "attribute and the target, so small groups borrow strength.",
    )
    group_residual: bool | None = Field(
        None, description="Additive only: add an embedding a group that starts at zero."
    )
    group_weight_decay: float | None = Field(
        None, ge=0, description="Of that embedding; larger shrinks to main effects; .01 to .1."
    )
    target: Literal["epsilon", "v", "edm"] | None = Field(
        None,
        description="epsilon (paper) and v need a schedule; edm has continuous noise levels.",
    )
    schedule: Literal["linear", "cosine"] | None = Field(
        None, description="Of epsilon and v. linear (paper): beta_min to beta_max; cosine."
    )
    timesteps: int | Literal["auto"] | None = Field(
        None,
        description="Steps of the schedule, at least 2; the paper runs 35. auto: the paper's rule "
        "T' = ceil(64 beta_max (1 + log(1 + diameter))). Sampling cost is in proportion.",
    )
    beta_min: float | None = Field(None, ge=0, lt=1, description="Linear only; paper 1e-10.")
    beta_max: float | None = Field(
        None, gt=0, lt=1, description="Largest variance of a step; paper .2."
    )
    noise_means: list[float] | None = Field(
        None,
        min_length=1,
        description="edm only: mean of ln sigma in training; several span the grid. Held-out "
        "losses are of the presets' levels, whatever a member learnt from.",
    )
    noise_stds: list[Annotated[float, Field(gt=0)]] | None = Field(
        None,
        min_length=1,
        description="edm only: standard deviation of ln sigma; several span the grid.",
    )
    sigma_min: float | None = Field(
        None,
        gt=0,
        description="edm only: last sigma of sampling. From sigma_max to it the levels fall by "
        "equal ratios with unipc, else as in Karras et al. 2022.",
    )
    sigma_max: float | None = Field(
        None,
        gt=0,
        description="edm only: first sigma of sampling, where rows start as noise.",
    )
    network: Literal["paper", "residual"] | None = Field(
        None, description="paper: two wide layers with a skip. residual: SiLU blocks."
    )
    width: int | None = Field(
        None, ge=1, description="Units of a layer; paper 576. Cost grows with its square."
    )
    depth: int | None = Field(None, ge=1, description="Blocks of the residual network.")
    dropouts: list[_Probability] | None = Field(
        None,
        min_length=1,
        description="Inside the network, in [0, 1); several span the grid. Never on its output "
        "(the paper's is .5 there). Above 0 a step takes a tenth to a third longer.",
    )
    condition_dropouts: list[_Probability] | None = Field(
        None,
        min_length=1,
        description="Probabilities of dropping the whole condition in training; several span the "
        "grid with learning_rates. Paper: five from .7 to .8. Guidance needs them above 0.",
    )
    factor_dropout: _Probability | None = Field(
        None, description="Probability of dropping each factor by itself; paper 0."
    )
    guidance: float | None = Field(
        None,
        ge=0,
        description="w of (1 + w) eps(group) - w eps(null); paper 3. It shrinks variance; above 0 "
        "sampling costs twice as much.",
    )
    sampler: Literal["ancestral", "dpm2m", "heun", "unipc"] | None = Field(
        None,
        description="ancestral (paper) takes every step of a schedule; dpm2m and unipc evaluate "
        "the network once a step and heun twice.",
    )
    sampling_steps: int | None = Field(
        None,
        ge=2,
        description="Of all but ancestral; cost in proportion. Variances are off by .5 % with 20 "
        "of unipc, 1 % with 16 and 3 % with 12; by 1 % with 50 of dpm2m and 5 % with 25.",
    )
    sampling_variance: Literal["posterior", "beta"] | None = Field(
        None, description="Of ancestral. posterior: the paper's text; beta: its notebook."
    )
    category_steps: int | None = Field(
        None,
        ge=1,
        description="Of masked: most steps in which a row's categories are drawn. With fewer "
        "than there are, some are drawn together, as if they were independent given the others.",
    )
    optimizer: Literal["adam", "adamw"] | None = Field(
        None, description="adam (paper) adds weight decay to the gradient; adamw does not."
    )
    learning_rates: list[Annotated[float, Field(gt=0)]] | None = Field(
        None,
        min_length=1,
        description="Several span the grid. Paper: logspace(-4.5, -3.9, 5). Cost in proportion.",
    )
    weight_decays: list[Annotated[float, Field(ge=0)]] | None = Field(
        None, min_length=1, description="Of all else; several span the grid. Paper: one, 1e-4."
    )
    rate_decay: Literal["constant", "linear", "exponential"] | None = Field(
        None,
        description="linear: to 0 at the last step; exponential (paper): times decay_rate every "
        "decay_every steps.",
    )
    decay_rate: float | None = Field(None, gt=0, le=1, description="Paper .97.")
    decay_every: int | None = Field(None, ge=1, description="In steps; the paper's notebook 100.")
    warmup_steps: int | None = Field(None, ge=0, description="Of linear growth; paper 0.")
    clip_norm: float | None = Field(
        None, gt=0, description="Largest norm of a member's gradient; the paper does not clip."
    )
    batch_sizes: list[Annotated[int, Field(ge=1)]] | None = Field(
        None,
        min_length=1,
        description="Rows a step; several span the grid, those of one size trained at once. "
        "Paper: one, 128. Steps are the same for all, epochs are more steps of smaller batches.",
    )
    steps: int | None = Field(
        None, ge=1, description="Budget; give steps or epochs, not both. Cost in proportion."
    )
    epochs: int | None = Field(
        None, ge=1, description="The same as passes of the table; paper 10000."
    )
    group_exponent: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Batches hold groups in proportion to n_g to this power: 1 (paper) as they "
        "are, 0 all alike.",
    )
    ema_decay: float | None = Field(
        None, ge=0, lt=1, description="Of the moving average of the weights; paper .95."
    )
    use_ema: bool | None = Field(
        None, description="Draw from that average; the paper's notebook never does."
    )
    seeds: int | None = Field(
        None,
        ge=1,
        description="Members a setting, trained at once; each draws its share of the rows. With "
        "cross_validation those of the setting chosen.",
    )
    selection: Literal["last", "criterion", "cross_validation"] | None = Field(
        None,
        description="criterion (paper): every select_every_epochs all members fill the groups, a "
        "forest is fitted and the best validation F1 is kept. cross_validation: the setting and "
        "step with the smallest held-out denoising loss, then trained on all rows; costs about "
        "folds times the grid. last: all members at the last step.",
    )
    select_every_epochs: int | None = Field(
        None, ge=1, description="Of criterion; paper 100. Each time fits one forest a member."
    )
    folds: int | None = Field(
        None,
        ge=2,
        description="Of cross_validation; 5 to 10. Groups are spread evenly, clusters kept whole.",
    )
    snapshots: int | None = Field(
        None,
        ge=1,
        description="Of cross_validation: how often along the steps the held-out loss is taken.",
    )
    max_memory_gib: float | None = Field(
        None,
        gt=0,
        description="What training may take, the table and held-out rows among it, as reckoned in "
        "advance and said in the log; a larger grid is trained in parts, one after the other. "
        "null: 80 % of what is free on the GPU, or half of this machine's memory.",
    )

    memorising: Memorising | None = Field(None, description=MEMORISING)

    @model_validator(mode="after")
    def _consistent(self) -> "CddpmSettings":
        if self.steps is not None and self.epochs is not None:
            raise ValueError("give either steps or epochs, not both")
        values = self.resolved()
        if values["sampler"] == "ancestral" and values["target"] == "edm":
            raise ValueError(
                "sampler 'ancestral' needs target 'epsilon' or 'v'; with 'edm' use unipc, dpm2m "
                "or heun"
            )
        levels = [name for name in ("noise_means", "noise_stds") if getattr(self, name) is not None]
        if levels and values["target"] != "edm":
            raise ValueError(
                f"{' and '.join(levels)} need target 'edm', and target is '{values['target']}', "
                "whose noise is the schedule's: leave them out, or set target: edm"
            )
        if isinstance(values["timesteps"], int) and values["timesteps"] < 2:
            raise ValueError(f"timesteps is {values['timesteps']}; at least 2, or 'auto'")
        if not values["beta_min"] < values["beta_max"]:
            raise ValueError(
                f"beta_min {values['beta_min']} must be below beta_max {values['beta_max']}"
            )
        if not values["sigma_min"] < values["sigma_max"]:
            raise ValueError(
                f"sigma_min {values['sigma_min']} must be below sigma_max {values['sigma_max']}"
            )
        if values["guidance"] > 0 and min(values["condition_dropouts"]) == 0:
            raise ValueError(
                "guidance above 0 needs every entry of condition_dropouts above 0: the network "
                "must have seen rows without their group"
            )
        grid = math.prod(len(values[name] or [None]) for name in _GRID)
        if values["selection"] == "last" and grid > 1:
            raise ValueError(
                f"selection 'last' cannot choose among a grid of {grid} settings: give one value "
                f"in each of {', '.join(_GRID)}, or selection 'criterion' or 'cross_validation'"
            )
        return self

    def resolved(self) -> dict[str, Any]:
        """Return the preset's values with this model's overrides, as plain JSON values."""
        given = {key: value for key, value in self.model_dump().items() if value is not None}
        values = {**PRESETS[self.preset], "trained_on": None, **given}
        if "steps" in given:
            values["epochs"] = None
        if "epochs" in given:
            values["steps"] = None
        if values["target"] != "edm":
            # Of a schedule, whose noise is no member's own.
            values["noise_means"] = values["noise_stds"] = None
        return values

    def departures(self) -> dict[str, tuple[Any, Any]]:
        """Return the keys whose value is not the preset's: (value, the preset's value)."""
        preset = PRESETS[self.preset]
        return {
            key: (value, preset[key])
            for key, value in self.resolved().items()
            if key in preset and value is not None and value != preset[key]
        }

    def departures_told(self) -> str:
        """Return a sentence for the reader of the report, or nothing."""
        return told(self.departures())

    def shortfall_told(self) -> str:
        """Return what the training lacks of the preset's budget, in words, or nothing."""
        return shortfall(self.resolved(), PRESETS[self.preset], self.preset, _GRID)
