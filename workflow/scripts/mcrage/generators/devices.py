# SPDX-License-Identifier: MIT
"""The device that a user asked for."""

import torch

from mcrage.errors import UserError


def check_device(device: str) -> torch.device:
    """Return the device that the user asked for: ``auto`` is a GPU if there is one.

    Raises
    ------
    UserError
        If this machine has none.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    wanted = torch.device(device)
    if wanted.type == "cuda" and not torch.cuda.is_available():
        raise UserError(
            f"device '{device}' was asked for, but torch finds no GPU here. Set the device to "
            "'cpu' or 'auto', or run on a machine with a GPU and a matching torch."
        )
    return wanted


def device_name(device: torch.device) -> str:
    """Return the device in words."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
