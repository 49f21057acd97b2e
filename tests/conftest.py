# SPDX-License-Identifier: MIT
"""Tables that many tests share."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import settings

from mcrage.datasets.roles import Attribute, Feature, Roles, Target
from mcrage.groups import GroupSchema

# No deadline: how long a machine takes is none of a test's business.
settings.register_profile("mcrage", deadline=None)
settings.load_profile("mcrage")


@pytest.fixture(scope="session")
def roles() -> Roles:
    return Roles(
        dataset="ward",
        title="A ward",
        features=(
            Feature("age", "Age", "years", "integer", resolution=1.0, lower=0.0, upper=120.0),
            Feature("iron", "Iron", "mg/L", resolution=0.1),
        ),
        sensitive=(Attribute("SEX", "Sex", ("F", "M"), ("women", "men")),),
        target=Target("SOURCE", "Care", ("out", "in"), ("out-care", "in-care")),
        columns=("age", "SEX", "iron", "SOURCE"),
    )


@pytest.fixture
def schema(roles) -> GroupSchema:
    return GroupSchema.of(roles)


def make_table(counts, seed: int = 0, first_id: int = 0) -> pa.Table:
    """A ward with the given number of rows in each of the four groups, shuffled."""
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat(np.arange(4), counts))
    n = len(groups)
    return pa.table(
        {
            "row_id": pa.array(np.arange(first_id, first_id + n)),
            "age": pa.array(rng.integers(18, 90, n)),
            "SEX": pa.array(np.array(["F", "M"], dtype=object)[groups % 2], pa.string()),
            "iron": pa.array(np.round(rng.normal(10 + groups, 2), 1)),
            "SOURCE": pa.array(np.array(["out", "in"], dtype=object)[groups // 2], pa.string()),
        }
    )


@pytest.fixture
def table() -> pa.Table:
    return make_table([30, 40, 20, 50])
