"""Devices: which array library holds a tensor's numbers.

"cpu" is NumPy and "cuda" is CuPy. This is the only file that knows about both. CuPy is imported when somebody
asks for it, never before. Nothing is copied between host and device unless `.to()` is called.

Stands on kernels/gpu.py. Read tensor.py next.
"""

import functools
import importlib.util
import sys

import numpy as np

from .kernels.gpu import DeviceError, cupy_or_error


def array_module(array):
    """The library that an array belongs to: numpy, or cupy."""
    if isinstance(array, np.ndarray):
        return np
    cupy = sys.modules.get("cupy")
    return cupy if cupy is not None and isinstance(array, cupy.ndarray) else np


def device_of(array):
    """'cpu' or 'cuda'."""
    return "cpu" if array_module(array) is np else "cuda"


def resolve(device):
    """'cpu' or 'cuda' for a name that may also be None ('cpu') or 'auto' ('cuda' where there is a GPU)."""
    if device == "auto":
        return "cuda" if _has_gpu() else "cpu"
    if device == "cuda":
        cupy_or_error()
    elif device not in (None, "cpu"):
        raise ValueError(f"device: got {device!r}; know 'cpu', 'cuda' and 'auto'")
    return device or "cpu"


@functools.cache
def _has_gpu():
    if importlib.util.find_spec("cupy") is None:
        return False
    try:
        cupy_or_error()
    except DeviceError:
        return False
    return True


def move(array, device):
    """The array on the device: itself if it is there already, else a copy."""
    device = resolve(device)
    if device == device_of(array):
        return array
    return cupy_or_error().asarray(array) if device == "cuda" else sys.modules["cupy"].asnumpy(array)
