"""The emulator at work, and the way to a Python with the sanitizers that check="bounds" needs.

    python -m minigan.kernels.emulator                   a kernel, right and with three faults planted
    python -m minigan.kernels.emulator bounds FILE ...   run a Python program whose kernels check every access

Stands on module.py.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from .build import EmulatorError, compiler_or_error
from .module import Module
from .source import assemble

REVERSE = """\
// Reverse every 64 numbers of x: a block writes to shared memory and reads what another thread wrote.
extern "C" __global__ void reverse(float* x) {
    __shared__ float desk[64];
    int i = threadIdx.x;
    desk[i] = x[blockIdx.x * 64 + i];
    __syncthreads();
    x[blockIdx.x * 64 + i] = desk[63 - i];
}
"""
FAULTS = {  # what is planted: the text that is replaced, and by what
    "as it should be": ("", ""),
    "no barrier": ("    __syncthreads();\n", "\n"),
    "half of the threads wait": ("    __syncthreads();", "    if (i < 32) __syncthreads();"),
    "an index that is off by one": ("desk[63 - i]", "desk[62 - i]"),
}


def main(arguments):
    if arguments[:1] == ["bounds"] and len(arguments) > 1:
        return bounds(arguments[1:])
    if arguments:
        print(__doc__.strip())
        return 0 if arguments in (["-h"], ["--help"]) else 2
    return show()


def show():
    """Print what the emulator says to a kernel, and to the same kernel with faults in it."""
    print(REVERSE)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "reverse.cu")
        path.write_text(REVERSE, encoding="utf-8")
        text = assemble(path)
        for fault, (old, new) in FAULTS.items():
            changed = text.replace(old, new) if old else text
            print(f"{fault:28} {verdict(Module(path, seed=1, text=changed))}")
    print("\nStep through a kernel: gdb --args python program.py, then (gdb) break reverse.cu:6")
    return 0


def verdict(module):
    """One line: how many of the results are wrong, or what the emulator says."""
    x = np.arange(128, dtype=np.float32)
    try:
        module.launch("reverse", (2,), (64,), [x])
    except EmulatorError as error:
        return str(error)
    wrong = (x != np.arange(128).reshape(2, 64)[:, ::-1].ravel()).sum()
    return f"{wrong} of 128 numbers wrong" if wrong else "all numbers right"


def bounds(arguments):
    """Run Python with the address sanitizer's library in it, as Module(..., check="bounds") needs."""
    command = [compiler_or_error(), "-print-file-name=libasan.so"]
    library = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    if not os.path.isabs(library):
        raise SystemExit("emulator: this compiler has no libasan.so; g++ on Linux has one")
    options = {"ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1"}
    environment = {**os.environ, **options, "LD_PRELOAD": library, "MINIGAN_EMULATOR_CHECK": "bounds"}
    return subprocess.run([sys.executable, *arguments], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
