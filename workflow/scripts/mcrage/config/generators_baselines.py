# SPDX-License-Identifier: MIT
"""Settings of the cheap generators: SMOTE, mixture, copula and CART; seconds to minutes each."""

from typing import Annotated, Literal

from pydantic import Field

from mcrage.config.generators_shared import MEMORISING, TRAINED_ON, Memorising, PlainSettings

_DERIVE = "true: columns with a formula are recomputed, so identities hold. false: they are "
_MAX_ROWS = (
    "Of a table with more training rows so many are learnt from, drawn at random within each "
    "group; a group keeps up to 1,000 rows in any case. null: all, and time and memory grow with "
    "them. "
)
_PRIOR_ROWS = (
    "How many rows the group's parent weighs beside its own: a group of as many rows is half its "
    "own and half what "
)


class SmoteSettings(PlainSettings):
    """SMOTE with the group as label; SMOTENC where there are levels, SMOTEN of levels alone."""

    kind: Literal["smote"]
    trained_on: None = Field(None, description="Always null: SMOTE keeps the training set.")
    k_neighbors: int = Field(
        5,
        ge=1,
        description="Neighbours to draw towards; every group needs more rows than this, borrowed "
        "ones (rare_groups) among them.",
    )
    max_rows: Annotated[int, Field(ge=1_000)] | None = Field(
        100_000,
        description=_MAX_ROWS + "Time to look for neighbours grows with the square of a group's "
        "rows; of a table of levels alone memory does, too.",
    )
    derive: bool = Field(
        False, description=_DERIVE + "interpolated like the others, as SMOTE is published."
    )
    memorising: Memorising = Field("keep", description=MEMORISING)


class MixtureSettings(PlainSettings):
    """Gaussian and latent class mixture: components of all groups, weights of each group."""

    kind: Literal["mixture"]
    trained_on: str | None = Field(None, description=TRAINED_ON)
    scaling: Literal["standard", "quantile", "within_subgroup", "within_group"] = Field(
        "quantile",
        description="What numbers are Gaussian after, within a component. quantile: normal "
        "quantiles; standard: mean 0, deviation 1; within_subgroup or within_group: the same in "
        "each, so that only shapes are shared.",
    )
    covariance: Literal["full", "diagonal"] = Field(
        "full",
        description="full: numbers are correlated within a component; cost grows with the square "
        "of their number, and with the number of ways in which values are missing together. "
        "diagonal: they are not, and more components are needed.",
    )
    components: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)] = Field(
        [1, 2, 4, 8, 16, 32, 64],
        description="Numbers of components to choose among, from the smallest on until two more "
        "do no better. Cost in proportion.",
    )
    choose_by: Literal["held_out", "bic"] = Field(
        "held_out",
        description="held_out: likelihood of a fifth of the training rows, left out for that; "
        "bic: Schwarz's criterion, which takes fewer components.",
    )
    prior_rows: float = Field(
        10.0,
        ge=0,
        description=_PRIOR_ROWS + "groups of its level of the target have as weights.",
    )
    max_rows: Annotated[int, Field(ge=1_000)] | None = Field(
        100_000,
        description=_MAX_ROWS + "Memory beside them: a kilobyte a row, and more with many "
        "components.",
    )
    max_iterations: Annotated[int, Field(ge=1)] = Field(
        200, description="Of expectation and maximisation."
    )
    tolerance: Annotated[float, Field(gt=0)] = Field(
        1e-4, description="Gain in log-likelihood a row below which it ends."
    )
    derive: bool = Field(True, description=_DERIVE + "modelled like the others.")
    memorising: Memorising = Field("keep", description=MEMORISING)


class CopulaSettings(PlainSettings):
    """Gaussian copula: one correlation for all groups, margins of main effects and own rows."""

    kind: Literal["copula"]
    trained_on: str | None = Field(None, description=TRAINED_ON)
    prior_rows: Annotated[float, Field(gt=0)] = Field(
        25.0,
        description=_PRIOR_ROWS + "main effects of attributes and target let expect.",
    )
    derive: bool = Field(True, description=_DERIVE + "modelled like the others.")
    memorising: Memorising = Field("keep", description=MEMORISING)


class CartSettings(PlainSettings):
    """CART synthesiser (synthpop): a decision tree for each column, whose leaves lend values."""

    kind: Literal["cart"]
    trained_on: str | None = Field(None, description=TRAINED_ON)
    min_leaf: int = Field(
        5,
        ge=1,
        description="Fewest training rows of a leaf; larger ones copy less and blur more. A column "
        "of nearly unique values lets trees find single rows: on Adult 3.5 % of drawn rows equal a "
        "training row (of test rows 0.1 %), and none with smooth.",
    )
    max_rows: Annotated[int, Field(ge=1_000)] | None = Field(
        100_000,
        description=_MAX_ROWS
        + "Trees of more rows are deeper, and each of the rows is kept in the "
        "model.",
    )
    smooth: bool = Field(
        False,
        description="true: numbers are spread within their leaf by a kernel of Silverman's width, "
        "then rounded as recorded; values that a fifth of all rows have stay points. false: they "
        "are values of training rows.",
    )
    derive: bool = Field(True, description=_DERIVE + "modelled like the others.")
    memorising: Memorising = Field("keep", description=MEMORISING)
