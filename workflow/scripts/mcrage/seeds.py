# SPDX-License-Identifier: MIT
"""Seeds of stages, derived and not shared: changing one treatment never changes another."""

import hashlib


def derive(seed: int, *parts: str | int) -> int:
    """Return the seed of one stage.

    Parameters
    ----------
    seed : int
        The experiment's seed.
    *parts : str or int
        What the stage is: dataset, scenario, replicate, stage, name.

    Returns
    -------
    int
        In [0, 2**31): what numpy, scikit-learn and torch all accept.

    Examples
    --------
    >>> derive(1, "diabetes", 0, "split") == derive(1, "diabetes", 1, "split")
    False
    """
    text = "\x1f".join(str(part) for part in (seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
