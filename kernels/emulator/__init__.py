"""Run a CUDA kernel on a laptop that has no GPU, and step through it.

    from minigan.kernels import emulator
    module = emulator.Module("axpy.cu", seed=1)                   # g++ compiles it against the headers beside this file
    module.launch("axpy", grid=(4,), block=(256,), args=[x, y, np.float32(2), np.int32(x.size)])

The .cu file is the one that a GPU gets. Every CUDA thread is a fiber of one CPU thread; blocks run one after another.
Seen are wrong indices and bounds, threads that wait at different barriers (an error that names both lines), a barrier
that is missing (the seed shuffles which thread runs first; a wrong kernel gives another answer), shared memory read
before it was written (it starts as NaN), an asynchronous copy that nobody waited for, a lane that holds the wrong
number of a tensor core's fragment. Not seen are time, bank conflicts, coalescing, the order in which another block sees
writes, warps that overtake one another between two barriers of one thread, and registers: only a GPU has those.

    python -m minigan.kernels.emulator                            shows it at work
    python -m minigan.kernels.emulator sanitize test.py           an access out of bounds stops at its line
    gdb --args python test.py                                     (gdb) break axpy.cu:12

    source.py  the text     build.py  the compiler     module.py  Module
    fibers.h   threads and barriers    warp.h  shuffles, shared memory     cuda_on_cpu.h  the language
    tensor_core.h  mma and asynchronous copies, as kernels/cuda/ptx.cuh names them

Stands on NumPy and a C++ compiler. Read module.py next.
"""

from .build import EmulatorError, compiler
from .module import Module

__all__ = ["EmulatorError", "Module", "compiler"]
