"""Whether there is a GPU, and room on it: CuPy, imported when somebody asks, or a sentence that says what is missing.

Stands on nothing. Read cuda/device.py next.
"""

import re

DRIVER = 12000  # CUDA 12, the oldest that CuPy 14 runs on


class DeviceError(RuntimeError):
    """The device asked for cannot be had; the message says what is missing and how to get it."""


def cupy_or_error(why="device 'cuda'"):
    """The cupy module, with a GPU behind it; or a DeviceError."""
    try:
        import cupy
    except ImportError as error:
        raise DeviceError(
            f"{why} needs CuPy, which is not installed ({error}). "
            "Install it with: pip install 'minigan[cuda13]' (or [cuda12]); or use the device 'cpu'."
        ) from None
    try:
        version, there = cupy.cuda.runtime.driverGetVersion(), cupy.cuda.is_available()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise DeviceError(f"{why}: no NVIDIA driver answers ({error}); does nvidia-smi find one?") from None
    if there and version < DRIVER:
        known, wanted = (f"{v // 1000}.{v % 1000 // 10}" for v in (version, DRIVER))
        raise DeviceError(f"{why}: the NVIDIA driver knows CUDA {known}, wants {wanted} or newer: update the driver.")
    if not there:
        raise DeviceError(f"{why}: CuPy {cupy.__version__} finds no NVIDIA GPU or driver here; use the device 'cpu'.")
    return cupy


def is_cupy(array):
    """Whether an array is CuPy's, without importing CuPy."""
    return type(array).__module__.partition(".")[0] == "cupy"


def out_of_memory(error, batch):
    """CuPy's MemoryError in words that help, as a MemoryError: what was asked for, what is free, which batch would fit.

    batch   how many samples the step takes. What is held now and what was asked for are taken to grow with it, and half
            of what would fit is named: more is yet to come in a step that stopped here.
    """
    asked = re.search(r"allocating ([\d,]+) bytes", str(error))
    if asked is None:
        return error
    import cupy

    asked, pool = int(asked[1].replace(",", "")), cupy.get_default_memory_pool()
    free, held = cupy.cuda.runtime.memGetInfo()[0] + pool.free_bytes(), pool.used_bytes()
    fits = batch * (free + held) // (asked + held) // 2
    advice = f"try a batch of {1 << fits.bit_length() - 1}" if fits else "not even a batch of 1 is likely to fit"
    sizes = {"asked for": asked, "free": free, "held": held}
    found = ", ".join(f"{what} {size / 2**30:.2f} GiB" for what, size in sizes.items())
    return MemoryError(f"the GPU's memory is full: {found}; with a batch of {batch} now, {advice}")
