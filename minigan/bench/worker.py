"""A process with one library in it, that runs what it is told to.

It reads one command a line and answers with one line of JSON; between commands it waits for the next line and uses no
core. Cases are built when they are first named, and stay until `forget`.

    describe            what the library calls itself
    check NAME          [[what, error in units of its bound], ...]        minigan only
    run REPS NAME       seconds of each of REPS calls
    forget              drop the cases and their data
    memory              the largest resident set so far, in bytes

Stands on sizes.py, and on ours.py or pytorch.py. Read race.py next, which is the other end of the pipe.
"""

import contextlib
import gc
import json
import os
import re
import sys
import time
import traceback
from pathlib import Path

from .sizes import FULL, QUICK, SECTIONS


class Worker:
    """The commands, one method each."""

    def __init__(self, library, quick, threads):
        self.sizes = QUICK if quick else FULL
        self.library = _load(library, self.sizes, threads)
        self.cases = {case.name: case for section in SECTIONS for case in self.sizes.cases(section)}
        self.built = {}

    def describe(self):
        return self.library.describe()

    def check(self, name):
        from .checks import check

        return check(self.library, self.cases[name])

    def run(self, reps, name):
        if name not in self.built:
            case = self.cases[name]
            self.built[name] = getattr(self.library, case.kind)(*case.arguments)
        return [_seconds(self.built[name]) for _ in range(int(reps))]

    def forget(self):
        self.built.clear()
        gc.collect()

    def memory(self):
        return peak_memory()


def _load(library, sizes, threads):
    if library == "minigan":
        from .ours import Minigan

        return Minigan(sizes)
    from .pytorch import Pytorch

    return Pytorch(sizes, library.removeprefix("torch "), threads)


def _seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def peak_memory():
    """The largest resident set of this process in bytes.

    Linux counts it in two places. ru_maxrss survives exec, so that a child starts with its parent's peak; VmHWM is the
    process's own.
    """
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    if found:
        return int(found[1]) * 1024
    try:
        import resource
    except ImportError:
        raise OSError("memory: this system does not tell a process its largest resident set") from None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def serve(library, quick, threads):
    """Answer commands until the input ends. What the library prints goes to stderr, not between the answers."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdin.reconfigure(encoding="utf-8")
    worker = None
    for line in sys.stdin:
        command, *arguments = line.rstrip("\n").split(" ", 1)
        if command == "run":
            arguments = arguments[0].split(" ", 1)  # REPS, and a name that may have spaces
        try:
            worker = worker or Worker(library, quick, threads)
            answer = {"answer": getattr(worker, command)(*arguments)}
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        serve(sys.argv[1], sys.argv[2] == "quick", int(sys.argv[3]))
