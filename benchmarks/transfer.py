# SPDX-License-Identifier: MIT
"""Rows that start from real ones of another subgroup, for `ablation.py --transfer`."""

from typing import Any

import numpy as np

from mcrage.generators.base import TrainingData


def transferred(
    generator: Any, data: TrainingData, groups: np.ndarray, sigma: float, seed: int
) -> np.ndarray:
    """Draw rows from noised rows of the largest subgroup with the same outcome (SDEdit's start).

    Parameters
    ----------
    generator : CddpmGenerator
        Fitted, with continuous noise levels.
    data : TrainingData
    groups : ndarray of int64, shape (m,)
        What the rows are to become.
    sigma : float
        Noise level of the start; rows have unit variance.
    seed : int
    """
    import torch

    from mcrage.diffusion.network import StackedParameters
    from mcrage.diffusion.sampling import guided_denoiser, heun
    from mcrage.diffusion.schedule import karras_sigmas

    rng = np.random.default_rng(seed)
    schema, encoding, scaling = data.schema, generator._encoding, generator.settings["scaling"]
    encoded = encoding.transform(data.features, within=data.within(scaling))
    subgroups = schema.subgroup_of(data.groups)
    largest = np.argmax(np.bincount(subgroups))
    donors = np.empty(len(groups), dtype=np.int64)
    for level in np.unique(schema.target_of(groups)):
        wanted = schema.target_of(groups) == level
        rows = np.flatnonzero((subgroups == largest) & (schema.target_of(data.groups) == level))
        donors[wanted] = rng.choice(rows, wanted.sum())
    parts = generator._parts(torch.device("cpu"))
    n_members = len(generator._weights)
    values = StackedParameters(parts.network.parameters, n_members).views(generator._weights)
    # Padded so that every member draws as many.
    order = np.resize(rng.permutation(len(groups)), (n_members, -(-len(groups) // n_members)))
    start = torch.from_numpy(encoded[donors[order]])
    noise = torch.empty_like(start).normal_(generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        asked = torch.from_numpy(groups[order])
        denoise = guided_denoiser(parts.network, parts.condition, parts.process, values, asked, 0.0)
        rows = heun(denoise, start + sigma * noise, karras_sigmas(25, 0.01, sigma)).numpy()
    out = np.empty((len(groups), rows.shape[-1]))
    out[order.ravel()] = rows.reshape(-1, rows.shape[-1])
    within = (
        groups if generator.settings["scaling"] == "within_group" else schema.subgroup_of(groups)
    )
    return encoding.inverse(out, within)
