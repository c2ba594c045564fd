"""A process with one library in it, that runs what it is told to.

It reads one command a line and answers with one line of JSON; between commands it waits for the next line and uses no
core. Cases are built when they are first named, and stay until `forget`.

    describe            what the library calls itself
    check NAME          [[what, error in units of its bound], ...]        minigan only
    run REPS NAME       seconds of each of REPS calls, or their mean in a list where only the mean can be had
    forget              drop the cases and their data
    memory              the largest resident set so far, in bytes

Stands on sizes.py, place.py, and on ours.py or pytorch.py. Read race.py next, which is the other end of the pipe.
"""

import contextlib
import gc
import itertools
import json
import os
import re
import sys
import traceback
from pathlib import Path

from .sizes import FULL, QUICK, SECTIONS


class Worker:
    """The commands, one method each."""

    def __init__(self, library, quick, threads):
        sizes = QUICK if quick else FULL
        self.start(_load(library, sizes, threads), [case for section in SECTIONS for case in sizes.cases(section)])

    def start(self, library, cases):
        self.library, self.cases, self.built = library, {case.name: case for case in cases}, {}

    def describe(self):
        return self.library.describe()

    def check(self, name):
        from .checks import check

        return check(self.library, self.cases[name])

    def run(self, reps, name):
        if name not in self.built:
            with self.library.place.building():
                self.built[name] = self.build(self.cases[name])
        return self.library.place.seconds(self.built[name], int(reps))

    def build(self, case):
        """The function to be timed; where there are several copies of its data, calls take them in turn."""
        functions = [getattr(self.library, case.kind)(*case.arguments) for _ in range(case.copies)]
        if len(functions) == 1:
            return functions[0]
        turn = itertools.cycle(functions).__next__
        return lambda: turn()()

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


def serve(make):
    """Answer commands until the input ends. What the library prints goes to stderr, not between the answers.

    make   function without arguments that gives the Worker, with the first command
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdin.reconfigure(encoding="utf-8")
    worker = None
    for line in sys.stdin:
        command, *arguments = line.rstrip("\n").split(" ", 1)
        if command == "run":
            arguments = arguments[0].split(" ", 1)  # REPS, and a name that may have spaces
        try:
            worker = worker or make()
            answer = {"answer": getattr(worker, command)(*arguments)}
        except Exception as error:
            answer = {"error": traceback.format_exc(), "line": _line(error)}
        print(json.dumps(answer), file=answers, flush=True)


def _line(error):
    """An error in one line."""
    words = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


if __name__ == "__main__":
    library, size, threads, place = sys.argv[1:]
    options = library, size == "quick", int(threads)
    with contextlib.suppress(KeyboardInterrupt):
        if place == "cpu":
            serve(lambda: Worker(*options))
        else:
            from minigan.bench.gpu.worker import GpuWorker

            serve(lambda: GpuWorker(*options, place))
