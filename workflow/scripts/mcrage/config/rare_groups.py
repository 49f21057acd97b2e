# SPDX-License-Identifier: MIT
"""Settings of what is done about groups with few training rows."""

from typing import Literal

from pydantic import Field

from mcrage.config.base import Closed


class RareGroups(Closed):
    """What is done about groups with too few training rows to learn from."""

    fewer_than: int = Field(
        25,
        ge=1,
        description="Groups with fewer training rows are rare. 1: only those with none.",
    )
    then: Literal["back_off", "stop", "leave"] = Field(
        "back_off",
        description="back_off: before a generator is fitted, a rare group borrows rows, up to that "
        "number, from groups with the same level of the target that share as many sensitive "
        "attributes as possible; the one listed last in the card is given up first. Treatments "
        "without a generator see real rows only. stop: the run ends with the groups' names. leave: "
        "rare groups get no synthetic rows. The log, model.json and the report tell what was done.",
    )
