"""Whether there is a GPU: CuPy, imported only when somebody asks for it, or a sentence that says what is missing.

Stands on nothing. Read cuda/device.py next.
"""

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
