# SPDX-License-Identifier: MIT
"""Is there a GPU? Asked of the driver, since importing torch takes seconds."""

import ctypes

from mcrage.errors import UserError

_LIBRARY = "libcuda.so.1"


def count_gpus() -> int:
    """Return the number of CUDA devices that the driver shows to this process, 0 without one."""
    try:
        driver = ctypes.CDLL(_LIBRARY)
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def require(device: str) -> None:
    """Refuse to start when a GPU is asked for and absent.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda"}

    Raises
    ------
    UserError
    """
    if device == "cuda" and not count_gpus():
        raise UserError(
            "config: device: is 'cuda', but the driver shows no GPU on this machine. Set device "
            "to 'auto' or 'cpu', or run where there is a GPU (nvidia-smi lists them)."
        )
