"""Devices: which array library holds a tensor's numbers.

"cpu" is NumPy and "cuda" is CuPy. This is the only file that knows about both. CuPy is imported when somebody
asks for it, never before. Nothing is copied between host and device unless `.to()` is called.

Stands on NumPy. Read tensor.py next.
"""

import sys

import numpy as np


class DeviceError(RuntimeError):
    """The device asked for cannot be had; the message says what is missing and how to get it."""


def array_module(array):
    """The library that an array belongs to: numpy, or cupy."""
    if isinstance(array, np.ndarray):
        return np
    cupy = sys.modules.get("cupy")
    return cupy if cupy is not None and isinstance(array, cupy.ndarray) else np


def device_of(array):
    """'cpu' or 'cuda'."""
    return "cpu" if array_module(array) is np else "cuda"


def cupy_or_error(why="device 'cuda'"):
    """The cupy module, with a GPU behind it; or a DeviceError that says what is missing."""
    try:
        import cupy
    except ImportError as error:
        raise DeviceError(
            f"{why} needs CuPy, which is not installed ({error}). "
            "Install it with: pip install 'minigan[cuda13]' (or [cuda12]); or use the device 'cpu'."
        ) from None
    if not cupy.cuda.is_available():
        raise DeviceError(f"{why}: CuPy {cupy.__version__} finds no NVIDIA GPU or driver here; use the device 'cpu'.")
    return cupy


def resolve(device):
    """'cpu' or 'cuda' for a name that may also be None or 'auto'.

    'auto' is the CPU for now: the convolutions have no CUDA kernels yet.
    """
    if device in (None, "cpu", "auto"):
        return "cpu"
    if device == "cuda":
        cupy_or_error()
        return "cuda"
    raise ValueError(f"device: got {device!r}; know 'cpu', 'cuda' and 'auto'")


def move(array, device):
    """The array on the device: itself if it is there already, else a copy."""
    device = resolve(device)
    if device == device_of(array):
        return array
    return cupy_or_error().asarray(array) if device == "cuda" else sys.modules["cupy"].asnumpy(array)
