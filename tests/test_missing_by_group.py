# SPDX-License-Identifier: MIT
"""Gaps are drawn as often as each group has them, and together where they are together.

On a table that is large enough to tell: rates differ by far more between groups than by chance, so
that a generator which ignores groups fails, and two columns of one panel lack together.
"""

import numpy as np
import pytest
from pydantic import TypeAdapter

from mcrage.config.generators import GeneratorSettings
from mcrage.datasets.roles import Attribute, Feature, Roles, Target
from mcrage.generators import TrainingData
from mcrage.generators.registry import KINDS, generator_class
from mcrage.groups import GroupSchema

ROWS, DRAWN = 500, 1_500
PANEL = np.array([0.05, 0.25, 0.45, 0.70])
LEVEL = np.array([0.60, 0.35, 0.20, 0.05])
ALONE = 0.08
"""Share of rows with the panel that lack one of its two columns, each."""
FEATURES = (
    Feature("A", "a", resolution=0.1),
    Feature("X", "x", resolution=0.1, missing="keep"),
    Feature("Y2", "y", resolution=0.1, missing="keep"),
    Feature("L", "l", kind="category", levels=("u", "v", "w"), missing="keep"),
)
ROLES = Roles(
    dataset="gaps",
    title="Gaps",
    features=FEATURES,
    sensitive=(Attribute("SEX", "Sex", ("F", "M"), ("women", "men")),),
    target=Target("Y", "Outcome", ("no", "yes"), ("no", "yes")),
    columns=("A", "X", "Y2", "L", "SEX", "Y"),
)
SMALL = {
    "cddpm": {"preset": "tuned", "steps": 800, "width": 48, "seeds": 1},
    "tabddpm": {"preset": "small", "steps": 2_500, "layers": [64, 64]},
}
OWN = [kind for kind in KINDS if KINDS[kind].module.startswith("mcrage.")]


def gaps() -> TrainingData:
    """Return four groups of `ROWS` rows each."""
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(4), ROWS)
    n = len(groups)
    common = rng.normal(size=n)
    whole = rng.random(n) < PANEL[groups]
    columns = [common + rng.normal(size=n)]
    for sign in (1, -1):
        lacks = whole | (rng.random(n) < ALONE)
        columns.append(np.where(lacks, np.nan, sign * common + rng.normal(size=n)))
    columns.append(np.where(rng.random(n) < LEVEL[groups], np.nan, rng.integers(0, 3, n)))
    rows = np.round(np.stack(columns, axis=1), 1)
    return TrainingData(rows, groups, GroupSchema.of(ROLES), ROLES)


def shares(rows: np.ndarray) -> dict[str, float]:
    """Return how often each is missing, and how the two of the panel are together."""
    x, y, level = np.isnan(rows[:, 1:4]).T
    return {
        "x": x.mean(), "y": y.mean(), "level": level.mean(),
        "both": (x & y).mean(), "x alone": (x & ~y).mean(), "y alone": (y & ~x).mean(),
    }  # fmt: skip


@pytest.fixture(scope="module")
def real() -> list[dict[str, float]]:
    train = gaps()
    return [shares(train.features[train.groups == group]) for group in range(4)]


@pytest.fixture(scope="module", params=OWN)
def drawn(request) -> tuple[str, list[dict[str, float]]]:
    given = {"kind": request.param, **SMALL.get(request.param, {})}
    settings = TypeAdapter(GeneratorSettings).validate_python(given).resolved()
    model = generator_class(request.param)(settings).fit(gaps(), seed=2)
    rows, groups = map(np.concatenate, zip(*model.draw(np.full(4, DRAWN), seed=1), strict=True))
    return request.param, [shares(rows[groups == group]) for group in range(4)]


def tolerance(share: float) -> float:
    """Return four standard deviations of a share of rows drawn at one of rows learnt from."""
    share = np.clip(share, 0.02, 0.98)
    return 4 * np.sqrt(share * (1 - share) * (1 / DRAWN + 1 / ROWS))


def test_a_generator_that_ignores_groups_would_be_seen(real):
    """The tolerance is far narrower than what lies between a group and all of them."""
    for name in ("x", "y", "level", "both"):
        everyone = np.mean([own[name] for own in real])
        assert sum(abs(own[name] - everyone) > tolerance(own[name]) for own in real) >= 2


def hold(drawn: tuple, real: list, names: tuple[str, ...]) -> None:
    """Hold shares of drawn rows against those of the rows learnt from, group by group."""
    kind, found = drawn
    for group, (mine, own) in enumerate(zip(found, real, strict=True)):
        for name in names:
            told = kind, group, name, mine, own
            assert abs(mine[name] - own[name]) < tolerance(own[name]), told


def test_each_group_lacks_values_as_often_as_it_did(drawn, real):
    hold(drawn, real, ("x", "y", "level"))


def test_what_is_missing_together_is_so_in_drawn_rows(drawn, real):
    hold(drawn, real, ("both", "x alone", "y alone"))
    for mine, own in zip(drawn[1], real, strict=True):
        # By far more than columns that know nothing of each other would be.
        if own["both"] > 0.2:
            assert mine["both"] > mine["x"] * mine["y"] + 0.5 * (own["both"] - own["x"] * own["y"])
