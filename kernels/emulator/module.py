"""A compiled .cu file whose kernels run on NumPy arrays.

Stands on build.py and NumPy. Read fibers.h next.
"""

import ctypes
import os
import re
import subprocess
import threading
from pathlib import Path

import numpy as np

from .build import HEADERS, EmulatorError, library
from .source import assemble

THREADS = 1024  # the most that a block may have
_one_launch = threading.Lock()  # a library runs one block at a time


class Module:
    """The kernels of one .cu file, for the CPU.

    path      the .cu file
    defines   macros: ["REAL=float", ...]
    seed      of the order in which threads and blocks run; 0: as they are numbered
    check     "races": every access is checked against those of the other threads
              "bounds": with the address and undefined-behaviour sanitizers, in a Python that was started by
              `python -m minigan.kernels.emulator bounds ...`
              None: as $MINIGAN_EMULATOR_CHECK says, else neither
    text      the source instead of the file's own, from source.assemble: to run a changed kernel
    """

    def __init__(self, path, defines=(), *, seed=0, check=None, text=None):
        self.name, self.seed = Path(path).name, seed
        check = check or os.environ.get("MINIGAN_EMULATOR_CHECK")
        self.text = assemble(path) if text is None else text
        self._build = lambda: library(self.text, Path(path).stem, defines, check)
        self._library, self._signatures, self.kernels = None, {}, []

    def load(self):
        """Compile and load the library now; launch would, at the first call → self."""
        if self._library is None:
            self._library = ctypes.CDLL(str(self._build()))
            self.kernels = _text(self._library.emulator_names).split()
        return self

    def launch(self, name, grid, block, args, shared=0):
        """Run the kernel on a grid of blocks; returns when all have finished.

        name         of a kernel in the file
        grid, block  up to three ints
        args         NumPy arrays for pointers (None: a null pointer); NumPy scalars, ints or floats for numbers
        shared       bytes of dynamic shared memory

        EmulatorError if an argument is not what the kernel declares, or threads diverge.
        """
        self.load()
        values = self._values(name, args)
        grid, block = ((*size, 1, 1)[:3] for size in (grid, block))
        if min(*grid, *block) < 1 or block[0] * block[1] * block[2] > THREADS:
            raise EmulatorError(f"{name}: wants a grid of blocks of 1 to {THREADS} threads, got {grid} and {block}")
        pointers = (ctypes.c_void_p * max(1, len(values)))(*(ctypes.addressof(value) for value in values))
        run, size = getattr(self._library, f"emulator_launch_{name}"), ctypes.c_uint * 3
        with _one_launch:
            sizes = size(*grid), size(*block), ctypes.c_size_t(shared), ctypes.c_uint(self.seed)
            problem = _text(run, pointers, *sizes)
        if problem:
            raise EmulatorError(f"{name}, {re.sub('@0x[0-9a-f]+', self._line, problem)}")

    def _line(self, match):
        """The file and line of an address in the library: the innermost that is no header of the emulator."""
        command = ["addr2line", "-i", "-e", self._library._name, match[0][1:]]
        try:
            found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")
        except (OSError, subprocess.CalledProcessError):
            return match[0]
        places = [place.split(" (")[0].rpartition("/")[2] for place in found if place]
        return next((place for place in places if not Path(HEADERS, place.split(":")[0]).exists()), match[0])

    def _values(self, name, args):
        """The arguments as C values of the types that the kernel declares."""
        if name not in self.kernels:
            raise EmulatorError(f"{self.name} has no kernel {name!r}; it has {', '.join(self.kernels) or 'none'}")
        if name not in self._signatures:
            self._signatures[name] = _text(getattr(self._library, f"emulator_signature_{name}")).split()
        kinds = self._signatures[name]
        if len(args) != len(kinds):
            raise EmulatorError(f"{name}: takes {len(kinds)} arguments, got {len(args)}")
        return [_value(f"{name}: argument {i}", kind, arg) for i, (kind, arg) in enumerate(zip(kinds, args))]


def _text(function, *args):
    function.restype = ctypes.c_char_p
    return function(*args).decode()


_NUMBERS = {
    "i1": ctypes.c_int8, "i2": ctypes.c_int16, "i4": ctypes.c_int32, "i8": ctypes.c_int64,
    "u1": ctypes.c_uint8, "u2": ctypes.c_uint16, "u4": ctypes.c_uint32, "u8": ctypes.c_uint64,
    "f4": ctypes.c_float, "f8": ctypes.c_double,
}  # fmt: skip


def _value(what, kind, arg):
    """One argument as the C value that a parameter of this kind takes."""
    if kind[0] == "p":
        if arg is None:
            return ctypes.c_void_p(0)
        if not isinstance(arg, np.ndarray):
            raise EmulatorError(f"{what} is a pointer and wants a NumPy array or None, got {type(arg).__name__}")
        if kind[1:] in _NUMBERS and arg.dtype != np.dtype(kind[1:]):
            raise EmulatorError(f"{what} points to {np.dtype(kind[1:])}, got an array of {arg.dtype}")
        return ctypes.c_void_p(arg.ctypes.data)
    if kind not in _NUMBERS:
        raise EmulatorError(f"{what}: structures cannot be passed by value; pass numbers, or a pointer")
    if isinstance(arg, np.generic) and arg.dtype != np.dtype(kind):
        raise EmulatorError(f"{what} is {np.dtype(kind)}, got {arg.dtype}")
    if not isinstance(arg, np.generic | int | float) or (kind[0] != "f" and isinstance(arg, float)):
        raise EmulatorError(f"{what} is {np.dtype(kind)}, got {type(arg).__name__}")
    return _NUMBERS[kind](arg.item() if isinstance(arg, np.generic) else arg)
