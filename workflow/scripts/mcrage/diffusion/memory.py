# SPDX-License-Identifier: MIT
"""What an ensemble will take on its device, said in advance, and how one too large is split."""

import os
from collections.abc import Callable, Sequence
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mcrage.diffusion.heldout import LEVELS, most_held
from mcrage.diffusion.network import Network

if TYPE_CHECKING:
    from mcrage.diffusion.training import Member

_FLOAT, _LONG = 4, 8
# Parameters, their gradient and two moments.
_COPIES = 4
_SHARE_OF_GPU, _SHARE_OF_RAM = 0.8, 0.5


def device_limit(device: torch.device, gib: float | None = None) -> int:
    """Return how many bytes an ensemble may take on a device.

    Parameters
    ----------
    device : torch.device
    gib : float, optional
        As the user says; else 80 % of what is free on a GPU, or half of this machine's memory,
        which, unlike what is free of it, is the same each time.
    """
    if gib is not None:
        return int(gib * 2**30)
    if device.type == "cuda":
        return int(_SHARE_OF_GPU * torch.cuda.mem_get_info(device)[0])
    return int(_SHARE_OF_RAM * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def member_bytes(network: Network, batch_size: int, *, averaged: bool) -> int:
    """Return what training one member takes, in bytes, without the table that all share.

    Parameters
    ----------
    network : Network
    batch_size : int
    averaged : bool
        Whether a moving average is kept.
    """
    n_parameters = sum(parameter.size for parameter in network.parameters)
    copies = _COPIES + averaged
    return _FLOAT * (copies * n_parameters + network.activations(batch_size))


def table_bytes(rows: Tensor, groups: Tensor, subsets: Sequence[Tensor] = ()) -> int:
    """Return what a trainer keeps of the table, in bytes, however many members share it.

    Parameters
    ----------
    rows : Tensor of float32, shape (n, d)
    groups : Tensor of int64, shape (n,)
    subsets : sequence of Tensor of int64
        Rows that members learn from; none if all learn from all rows.

    Returns
    -------
    int
        Of rows and groups, of the rows of every subset and where each one's share ends, and of
        what is needed for a moment to reckon that.
    """
    sizes = [len(rows) for rows in subsets] or [len(groups)]
    listed = bool(subsets) or bool((groups[1:] < groups[:-1]).any())
    # Half a dozen columns to make one, and a row's number in half a column.
    ends = sum(sizes) * (_LONG + listed * _LONG // 2) + 6 * _LONG * max(sizes)
    return rows.nbytes + groups.nbytes + ends


def heldout_bytes(
    rows: Tensor, groups: Tensor, held: Sequence[Tensor], n_condition_columns: int
) -> int:
    """Return what `mcrage.diffusion.heldout.HeldOut` keeps with its defaults, in bytes.

    Parameters
    ----------
    rows, groups, held
        As it is given them.
    n_condition_columns : int
        C of an encoded condition.
    """
    if not held:
        return 0
    # Rows, noise, condition, level and weight; in the making also the places and their groups.
    noised = _FLOAT * (2 * rows.shape[1] + n_condition_columns + 2) + 3 * _LONG
    return len(held) * LEVELS * most_held(held, groups) * noised


def partition(
    members: "Sequence[Member]",
    bytes_of: "Callable[[Member], int]",
    limit: int,
    shared: int = 0,
) -> list[list[int]]:
    """Divide members into ensembles to be trained one after the other.

    Members train as they would alone, so how they are divided changes no result beyond the
    rounding of a product.

    Parameters
    ----------
    members : sequence of Member
    bytes_of : callable
        What a member takes in training; the same for all of one batch size.
    limit : int
        Bytes that an ensemble may take. A member that takes more by itself is one all the same.
    shared : int
        What each ensemble takes beside its members: the table.

    Returns
    -------
    list of list of int
        Places of the members of each ensemble: of one batch size, as even in number as can be.
    """
    parts = []
    by_size = sorted(range(len(members)), key=lambda place: members[place].batch_size)
    for _, same in groupby(by_size, key=lambda place: members[place].batch_size):
        places = list(same)
        fitting = max(1, (limit - shared) // max(1, bytes_of(members[places[0]])))
        n_parts = -(-len(places) // fitting)
        bounds = [len(places) * i // n_parts for i in range(n_parts + 1)]
        parts += [places[a:b] for a, b in pairwise(bounds)]
    return sorted(parts)
