"""From a .cu file to machine code: the one place that knows the compiler's options.

    python -m minigan.kernels.cuda.compile            every kernel for every architecture: registers and spills

NVRTC, NVIDIA's compiler as a library, needs no GPU, no driver and no CUDA toolkit: a few wheels, which `pip install
'minigan[test]'` brings. CuPy brings its own.

Stands on ../emulator/source.py. Read machine_code.py or device.py next.
"""

import functools
import re
import sys
from pathlib import Path
from typing import NamedTuple

from ..emulator.source import assemble

FOLDER = Path(__file__).parent
ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)  # Turing, Ampere, Ampere, Ada, Hopper, Blackwell, Blackwell
TENSOR_CORES = 80  # from here on: TF32 and asynchronous copies
DTYPES = ("float32", "bfloat16", "float64")


class Usage(NamedTuple):
    """What one kernel takes of a multiprocessor.

    registers a thread; bytes of shared memory that it declares; bytes that it keeps in memory instead of registers,
    because there are too few (spills) or because an array's index is not known to the compiler (stack).
    """

    registers: int
    shared: int
    spills: int
    stack: int


def sources():
    """The .cu files of this folder, by name."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.cu"))}


def builds(dtypes=DTYPES):
    """(file, dtype) of all that runs: every file in every dtype, but bfloat16 only where memory may hold it."""
    rounded = {name for name, path in sources().items() if "number*" in path.read_text(encoding="utf-8")}
    return [(name, dtype) for name in sources() for dtype in dtypes if dtype != "bfloat16" or name in rounded]


def path(file):
    """Where a .cu file lies: the name of one of this folder, or the path of anybody's."""
    return file if isinstance(file, Path) else FOLDER / f"{file}.cu"


def source(file):
    """The text of a .cu file, its headers put in."""
    return assemble(path(file))


def defines(dtype):
    """The macros that make a file's kernels work on one of DTYPES."""
    return f"DOUBLE={int(str(dtype) == 'float64')}", f"BF16={int(str(dtype) == 'bfloat16')}"


def options(dtype):
    """NVRTC's options but the architecture: CuPy and usage() below add theirs."""
    return ("-std=c++17", *(f"-D{define}" for define in defines(dtype)))


def usage(name, dtype, architecture):
    """Compile a .cu file of this folder with NVRTC → {kernel: Usage}."""
    return _usage(cubin(source(name), name, dtype, architecture)[1])


@functools.cache
def cubin(text, name, dtype, architecture):
    """Compile a text with NVRTC → (machine code, what the assembler says); RuntimeError with the compiler's words."""
    nvrtc, headers = _nvrtc()

    def checked(result):
        if result[0] != nvrtc.nvrtcResult.NVRTC_SUCCESS:
            raise RuntimeError(f"{name}.cu: NVRTC says {result[0].name}")
        return result[1] if len(result) == 2 else None

    def read(size, get):
        buffer = b" " * checked(size(program))
        checked(get(program, buffer))
        return buffer

    program = checked(nvrtc.nvrtcCreateProgram(text.encode(), f"{name}.cu".encode(), 0, [], []))
    flags = [*options(dtype), f"-arch=sm_{architecture}", "--ptxas-options=-v", f"-I{headers}"]
    try:
        (result,) = nvrtc.nvrtcCompileProgram(program, len(flags), [flag.encode() for flag in flags])
        log = read(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog).decode(errors="replace").rstrip("\0 \n")
        if result != nvrtc.nvrtcResult.NVRTC_SUCCESS:
            raise RuntimeError(f"{name}.cu does not compile for sm_{architecture}, {dtype}:\n{log}")
        return read(nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN), log
    finally:
        checked(nvrtc.nvrtcDestroyProgram(program))


def _nvrtc():
    try:
        from cuda.bindings import nvrtc
        from cuda.pathfinder import find_nvidia_header_directory
    except ImportError as error:
        raise RuntimeError(f"compiling CUDA kernels needs NVRTC ({error}): pip install 'minigan[test]'") from None
    return nvrtc, find_nvidia_header_directory("cudart")


_REPORT = (r"Used (\d+) registers", r"(\d+) bytes smem", r"(\d+) bytes spill stores", r"(\d+) bytes stack frame")


def _usage(log):
    """{kernel: Usage} from the assembler's report."""
    found = {}
    for part in log.split("Compiling entry function '")[1:]:
        numbers = (re.search(pattern, part) for pattern in _REPORT)
        found[part.split("'", 1)[0]] = Usage(*(int(match[1]) if match else 0 for match in numbers))
    return found


def main():
    """Print a table; 1 if any kernel spills."""
    print("registers a thread / bytes of shared memory; ! bytes in memory for lack of registers\n")
    print(f"{'file':17} {'dtype':8} {'kernel':32}" + "".join(f"{f'sm_{a}':>10}" for a in ARCHITECTURES))
    spilled = False
    for name, dtype in builds():
        columns = [usage(name, dtype, architecture) for architecture in ARCHITECTURES]
        for kernel in sorted(set().union(*columns)):
            used = [column.get(kernel) for column in columns]
            spilled |= any(u and u.spills + u.stack for u in used)
            print(f"{name:17} {dtype:8} {kernel:32}" + "".join(f"{_cell(u):>10}" for u in used), flush=True)
    return int(spilled)


def _cell(u):
    if u is None:
        return "-"
    return f"{u.registers}/{u.shared}" + (f"!{u.spills + u.stack}" if u.spills + u.stack else "")


if __name__ == "__main__":
    sys.exit(main())
