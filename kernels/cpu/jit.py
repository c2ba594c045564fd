"""Compiling the kernels once, and finding them again.

Numba compiles each kernel for this machine's vector unit. The result is kept in a cache folder whose name is a digest
of the kernels' own sources, so that an edited tile recompiles everything that was built on it:

    $MINIGAN_CACHE, else $XDG_CACHE_HOME/minigan, else ~/.cache/minigan; a temporary folder if that cannot be written

Stands on Numba. Read simd.py next.
"""

import contextlib
import functools
import hashlib
import os
import sys
import tempfile
from array import array
from pathlib import Path

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .simd import UNIT

# GNU's OpenMP lets a thread that waits spin for milliseconds. When another program wants the core, the thread that is
# waited for cannot run meanwhile, and a step takes four times as long; a short spin costs nothing. Read at first use.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

SMALL = 1 << 17  # numbers that one thread passes over faster than two can be woken
_kernels = []


def _folder():
    sources = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    digest = hashlib.sha256(sources + numba.__version__.encode()).hexdigest()[:12]
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    user = os.getuid() if hasattr(os, "getuid") else "user"
    for root in (os.environ.get("MINIGAN_CACHE") or Path(cache, "minigan"), f"{tempfile.gettempdir()}/minigan-{user}"):
        folder = Path(root) / f"kernels-{UNIT.name}-{digest}"
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK):
                return folder
    return Path(tempfile.mkdtemp(prefix="minigan-kernels-"))


FOLDER = _folder()


_LEAVE_OUT = ("comprehension", "reduction", "inplace_binop", "setitem", "numpy", "stencil", "fusion")
_PRANGE_ONLY = dict.fromkeys(_LEAVE_OUT, False) | {"prange": True}
_OPTIONS = {"fastmath": {"reassoc", "contract", "nsz", "arcp"}, "error_model": "numpy"}


@contextlib.contextmanager
def _cached_here():
    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(FOLDER)
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before


@intrinsic
def _call(typing, zero, code, table, task):
    """Call the compiled kernel at the address `code`."""

    def generate(context, builder, signature, arguments):
        zero, code, table, task = arguments
        integer = table.type
        kind = ir.FunctionType(integer, [zero.type, integer, integer])
        builder.call(builder.inttoptr(code, ir.PointerType(kind)), [zero, table, task])
        return context.get_dummy_value()

    return types.void(zero, types.intp, types.intp, types.intp), generate


with _cached_here():

    @numba.njit(cache=True, parallel=_PRANGE_ONLY, nogil=True)
    def _run(zero, code, table, tasks):
        if tasks == 1:  # waking the other threads costs more than a small kernel does
            _call(zero, code, table, 0)
        else:
            for task in numba.prange(tasks):
                _call(zero, code, table, task)


class Kernel:
    """A compiled function (zero, table, task) that does one task of several; call it with (dtype, tasks, *numbers).

    zero    a number of the dtype: it tells Numba the type
    table   the address of `numbers` as 64-bit integers; `numbers` are addresses, strides and counts
    task    0 ... tasks - 1, in any order, on any thread

    The kernels are plain functions of addresses, and one parallel loop runs them all: compiling a parallel loop for
    each would take Numba three times as long. NaN and infinity behave as IEEE says; sums may be reordered and
    multiply-adds contracted, so that loops become vector code.
    """

    def __init__(self, function):
        self.function, self.compiled = function, {}
        _kernels.append(self)

    def compile(self, dtype):
        scalar = numba.from_dtype(dtype)
        with _cached_here():
            made = numba.cfunc(types.intp(scalar, types.intp, types.intp), cache=True, **_OPTIONS)(self.function)
        self.compiled[dtype] = dtype.type(0), made.address, made

    def _find(self, dtype):
        """Compile all kernels together when this machine has none yet; later, load each when it is first called."""
        if not _stamp(dtype).exists():
            prepare(dtype)
        if dtype not in self.compiled:
            self.compile(dtype)

    def __call__(self, dtype, tasks, *numbers):
        if dtype not in self.compiled:
            self._find(dtype)
        zero, code, _ = self.compiled[dtype]
        table = array("q", numbers)
        _run(zero, code, table.buffer_info()[0], tasks)


def prepare(dtype):
    """Compile every kernel for a dtype, with a bar that says so."""
    from tqdm import tqdm

    what = f"minigan: compiling {dtype} kernels for {UNIT.name}, once on this machine"
    todo = [kernel for kernel in _kernels if dtype not in kernel.compiled]
    for kernel in tqdm(todo, desc=what, unit="kernel", file=sys.stderr, leave=False, delay=0.2):
        kernel.compile(dtype)
    with contextlib.suppress(OSError):
        _stamp(dtype).touch()


def _stamp(dtype):
    return FOLDER / f"{dtype}.ready"


@functools.cache
def threads():
    """How many threads the parallel loop runs on: asked once, because Numba takes 5 µs to answer."""
    return numba.get_num_threads()


def shares(count):
    """Tasks for a pass over so many numbers: one, or one for each thread where that pays."""
    return 1 if count < SMALL else threads()
