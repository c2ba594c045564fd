"""The GPU, through CuPy: the backend for CuPy arrays.

The same launchers, options and texts as in the emulator; CuPy compiles each text with its NVRTC and keeps the machine
code in its own cache (~/.cupy/kernel_cache). Importing this file imports CuPy; nothing else does.

Not yet measured on a GPU.  Stands on compile.py and CuPy. Read product.py next.
"""

import functools
import warnings

import numpy as np

from . import compile

DRIVER = 12000  # CUDA 12, the oldest that CuPy 14 runs on


class GPUError(RuntimeError):
    """The GPU cannot be had; the message says what is missing and how to get it."""


def cupy_or_error():
    """The cupy module with a GPU behind it, or a GPUError."""
    try:
        import cupy
    except ImportError as error:
        raise GPUError(
            f"kernels.cuda: CuPy is not installed ({error}). Install it: pip install 'minigan[cuda13]' (or [cuda12])."
        ) from None
    try:
        version = cupy.cuda.runtime.driverGetVersion()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise GPUError(f"kernels.cuda: no NVIDIA driver answers ({error}); does nvidia-smi find one?") from None
    if not cupy.cuda.is_available():
        raise GPUError(f"kernels.cuda: CuPy {cupy.__version__} finds no NVIDIA GPU; nvidia-smi lists them.")
    if version < DRIVER:
        raise GPUError(f"kernels.cuda: the NVIDIA driver knows CUDA {version // 1000}; wants one for CUDA 12 or newer.")
    return cupy


class Device:
    """The current CUDA device. The names are those of backends.Emulated."""

    def __init__(self):
        self.xp = cupy_or_error()
        device = self.xp.cuda.Device()
        self.architecture = int(device.compute_capability)
        self.processors = device.attributes["MultiProcessorCount"]
        self.tensor_cores = self.architecture >= compile.TENSOR_CORES
        if not self.tensor_cores:
            warnings.warn(
                f"minigan: this GPU is sm_{self.architecture}; kernels on tensor cores want sm_{compile.TENSOR_CORES}. "
                "The tiled kernels run instead.",
                stacklevel=3,
            )

    @functools.cache  # noqa: B019  one Device lives as long as the process
    def module(self, file, dtype):
        return self.xp.RawModule(code=compile.source(file), options=compile.options(dtype))

    def run(self, file, kernel, grid, block, args, dtype, shared=0):
        for i, arg in enumerate(args):
            if isinstance(arg, np.ndarray):
                raise TypeError(f"{kernel}: argument {i} is a NumPy array, others are on the GPU; use cupy.asarray")
        function = self.module(file, str(dtype)).get_function(kernel)
        if shared > function.max_dynamic_shared_size_bytes:
            function.max_dynamic_shared_size_bytes = shared  # beyond 48 KB a kernel must ask for it
        function(grid, block, tuple(args), shared_mem=shared)

    def empty(self, shape, dtype):
        return self.xp.empty(shape, dtype)

    @staticmethod
    def address(array):
        return array.data.ptr
