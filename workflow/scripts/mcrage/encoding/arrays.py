# SPDX-License-Identifier: MIT
"""Named arrays of a part among those of the whole: what encodings and models are stored as."""

from collections.abc import Mapping

import numpy as np


def arrays_below(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays whose names begin with a prefix, by the rest of their names."""
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
