"""Run a CUDA kernel on a laptop that has no GPU, check every access it makes, and step through it.

    from minigan.kernels import emulator
    module = emulator.Module("axpy.cu", seed=1)                   # g++ compiles it against the headers beside this file
    module.launch("axpy", grid=(4,), block=(256,), args=[x, y, np.float32(2), np.int32(x.size)])

The .cu file is the one that a GPU gets. Every CUDA thread is a fiber of one CPU thread; blocks run one after another.

    always          threads that wait at different barriers: an error that names both lines
                    a missing barrier, a wrong lane or index: wrong numbers, since the seed shuffles who runs first,
                    shared memory starts as NaN, and an asynchronous copy lands only when it is waited for
    check="races"   two threads that touch one number with nothing to order them: both lines, even if no harm was done
    check="bounds"  an access outside an array, or at an odd address: its line

Not seen are time, bank conflicts, coalescing, weak memory ordering between blocks, and registers: only a GPU has those,
and its compiler (kernels/cuda/compile.py) knows the last.

    python -m minigan.kernels.emulator                            shows it at work
    python -m minigan.kernels.emulator bounds program.py          runs a Python program with check="bounds"
    gdb --args python program.py                                  (gdb) break axpy.cu:12

    source.py  the text     build.py  the compiler     module.py  Module
    races.h    every access     fibers.h  threads      shared.h  shared memory     block.h  the scheduler
    warp.h     shuffles, copies         cuda_on_cpu.h  the language                tensor_core.h  what ptx.cuh names

Stands on NumPy and a C++ compiler. Read module.py next.
"""

from .build import EmulatorError, compiler
from .module import Module

__all__ = ["EmulatorError", "Module", "compiler"]
