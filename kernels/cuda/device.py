"""The GPU, through CuPy: the backend for CuPy arrays.

The same launchers, options and texts as in the emulator; CuPy compiles each text with its NVRTC and keeps the machine
code in its own cache (~/.cupy/kernel_cache). Importing this file imports CuPy; nothing else does.

Not yet measured on a GPU.  Stands on compile.py, ../gpu.py and CuPy. Read product.py next.
"""

import functools
import warnings

import numpy as np

from ..gpu import cupy_or_error
from . import compile


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
        self.function(file, kernel, str(dtype), shared)(grid, block, tuple(args), shared_mem=shared)

    @functools.cache  # noqa: B019  to look a kernel up costs more than to launch it
    def function(self, file, kernel, dtype, shared):
        function = self.module(file, dtype).get_function(kernel)
        if shared > function.max_dynamic_shared_size_bytes:
            function.max_dynamic_shared_size_bytes = shared  # beyond 48 KB a kernel must ask for it
        return function

    def empty(self, shape, dtype):
        return self.xp.empty(shape, dtype)

    @staticmethod
    def address(array):
        return array.data.ptr
