"""Compiling a .cu file for the CPU, once, and finding it again.

The compiler is $CXX, else g++, else clang++. Libraries are kept in the cache folder under a digest of all that went
into them:

    $MINIGAN_CACHE, else $XDG_CACHE_HOME/minigan, else ~/.cache/minigan; a temporary folder if that cannot be written

Stands on source.py. Read module.py next.
"""

import contextlib
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from .source import for_cpu, keep_includes

HEADERS = Path(__file__).parent
CHECKS = {  # what a kernel's accesses are checked for, and the compiler's flags; the second ones are not the linker's
    None: ((), ()),
    "bounds": (
        ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"),
        ("-O0",),  # no access is optimised away, and the compiler is done sooner
    ),
    "races": ((), ("-fsanitize=thread", "-DEMULATOR_RACES")),
}
_FLAGS = ("-std=c++17", "-O1", "-g1", "-w", "-fPIC", "-fvisibility=hidden", "-fno-strict-aliasing")


class EmulatorError(RuntimeError):
    """A kernel that cannot be compiled or launched, or whose threads do not agree where to meet."""


@functools.cache
def compiler():
    """The path of a C++ compiler, or None."""
    return next(filter(None, map(shutil.which, filter(None, (os.environ.get("CXX"), "g++", "clang++")))), None)


def compiler_or_error():
    """The path of a C++ compiler; EmulatorError that says how to get one."""
    if compiler() is None:
        raise EmulatorError(
            "emulator: running a CUDA kernel on the CPU needs a C++ compiler, and there is no g++ or clang++ here. "
            "Install one with: apt install g++ (Debian, Ubuntu), dnf install gcc-c++ (Fedora), xcode-select --install "
            "(macOS); or name yours in $CXX."
        )
    return compiler()


def library(text, name, defines=(), check=None):
    """The path of the compiled library of an assembled text; compiles it if this machine has none yet.

    text  from source.assemble, changed or not     name  for messages and the file's name     check  one of CHECKS
    """
    program = compiler_or_error()
    both, compiling = CHECKS[check]
    flags = [*_FLAGS, *both, *compiling, "-DMINIGAN_EMULATOR", *(f"-D{define}" for define in defines)]
    digest = hashlib.sha256("\0".join([text, program, *flags]).encode() + _headers()).hexdigest()[:16]
    target = folder() / f"{name}-{digest}.so"
    if not target.exists():
        handle, part = tempfile.mkstemp(dir=target.parent, suffix=".part")
        os.close(handle)
        try:
            expanded = _run(name, [program, "-x", "c++", *flags, "-E", "-"], keep_includes(text))
            code = '#include "tensor_core.h"\n' + for_cpu(expanded)
            _run(name, [program, "-x", "c++", *flags, "-I", str(HEADERS), "-c", "-", "-o", f"{part}.o"], code)
            _run(name, [program, "-shared", *both, f"{part}.o", "-o", part, "-ldl"], None)
            os.replace(part, target)
        finally:
            for left in (part, f"{part}.o"):
                with contextlib.suppress(OSError):
                    os.unlink(left)
    return target


def _run(name, command, text):
    done = subprocess.run(command, input=text, text=True, capture_output=True, check=False)
    if done.returncode:
        raise EmulatorError(f"emulator: {name} does not compile:\n{done.stderr.strip()}")
    return done.stdout


@functools.cache
def _headers():
    return b"".join(path.read_bytes() for path in sorted(HEADERS.glob("*.h"))) + (HEADERS / "source.py").read_bytes()


@functools.cache
def folder():
    """Where compiled libraries are kept."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    for root in (os.environ.get("MINIGAN_CACHE") or Path(cache, "minigan"), Path(tempfile.gettempdir(), "minigan")):
        found = Path(root, "emulator")
        with contextlib.suppress(OSError):
            found.mkdir(parents=True, exist_ok=True)
            if os.access(found, os.W_OK):
                return found
    return Path(tempfile.mkdtemp(prefix="minigan-emulator-"))
