"""Where the kernels of this folder run: on a GPU for CuPy arrays, in the emulator for NumPy arrays.

The launchers (conv.py, matmul.py, ...) compute one grid, one block and one list of arguments, and hand them to a
backend, which is one of two objects with the same names:

    run(file, kernel, grid, block, args, dtype, shared=0)     file: a name of this folder, or the Path of your own .cu;
                                                              args: arrays, and NumPy scalars of the kernel's types
    xp, empty, address                                        numpy or cupy; a new array; where an array lies
    tensor_cores, processors                                  what the launchers plan with

Stands on compile.py, ../emulator and device.py. Read product.py next.
"""

import functools
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from .. import emulator
from . import compile


class Emulated:
    """The kernels on the CPU, thread by thread.  seed, check: as of emulator.Module."""

    xp, tensor_cores, processors = np, True, 4

    def __init__(self, seed=0, check=None):
        self.seed, self.check, self._modules = seed, check, {}

    def run(self, file, kernel, grid, block, args, dtype, shared=0):
        self.module(file, str(dtype)).launch(kernel, grid, block, args, shared)

    def module(self, file, dtype):
        """The compiled .cu file; put another under its key to run a changed one."""
        if (file, dtype) not in self._modules:
            self.use(file, dtype, emulator.Module(compile.path(file), compile.defines(dtype), check=self.check))
        module = self._modules[file, dtype]
        module.seed = self.seed
        return module

    def use(self, file, dtype, module):
        self._modules[file, dtype] = module

    def prepare(self, dtypes=compile.DTYPES, pool=2):
        """Compile all files, `pool` compilers at a time; without it each is compiled when first needed."""
        modules = [self.module(*build) for build in compile.builds(dtypes)]
        with ThreadPoolExecutor(pool) as threads:
            list(threads.map(lambda module: module.load(), modules))

    @staticmethod
    def address(array):
        return array.ctypes.data

    @staticmethod
    def empty(shape, dtype):
        """Not empty but NaN: a number that no thread writes shows."""
        return np.full(shape, np.nan, dtype)


emulated = Emulated(int(os.environ.get("MINIGAN_EMULATOR_SEED", "0")))


@functools.cache
def _device():
    from .device import Device

    return Device()


def backend_of(*arrays):
    """The backend that these arrays belong to; device.py says what is wrong with arrays of two kinds."""
    return emulated if all(isinstance(array, np.ndarray) for array in arrays) else _device()


def int32(kernel, *values):
    """The values as a kernel's ints; ValueError for a count that is none."""
    for value in values:
        if not -(2**31) <= value < 2**31:
            raise ValueError(f"{kernel}: the CUDA kernels count to 2³¹, got an array of {value} numbers")
    return [np.int32(value) for value in values]


def blocks(count, size):
    """How many blocks of a size it takes."""
    return -(-count // size)


def add_parts(backend, parts, y):
    """y = Σ parts[p], always in the same order; the parts of bf16 are float32."""
    args = [parts, y, *int32("add_parts", len(parts), y.size)]
    backend.run("reduce", "add_parts", (blocks(y.size, 32),), (32, 8), args, y.dtype)
