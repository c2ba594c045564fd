"""The processes taking turns, and the ratio of their times.

Each library runs in a process of its own, so that their thread pools, allocators and caches do not meet. In each round
every process runs one burst of at least BURST seconds, one process after the other: A B C A B C. What disturbs the
machine for a while disturbs all of them alike, so the ratio is taken within each round, and its median over the rounds.

A case that fails in one library need not stop the others: on a GPU it does not.

Stands on worker.py. Read table.py next.
"""

import contextlib
import json
import math
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

OURS = "minigan"
BURST = 0.1  # seconds
PAUSE = 0.02  # seconds between bursts, in which the threads of the last one go to sleep
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

# Start a worker without running minigan/__init__.py: torch's process must not carry the weight of ours.
START = """
import runpy, sys, types
package = types.ModuleType("minigan")
package.__path__ = [sys.argv.pop(1)]
if not sys.argv[1].startswith("minigan"):
    sys.modules["minigan"] = package
runpy.run_module("minigan.bench.worker", run_name="__main__", alter_sys=True)
"""


class Failed(RuntimeError):
    """A command failed; the message has the worker's own words, `line` is their essence."""

    def __init__(self, message, line):
        super().__init__(message)
        self.line = line


class Process:
    """The near end of a worker: `ask` sends a command and waits for the answer.  place: a key of place.PLACES."""

    def __init__(self, library, quick, threads, place="cpu"):
        self.library, self.arguments = library, (library, quick, threads, place)
        folder = Path(__file__).resolve().parent.parent
        path = os.pathsep.join(filter(None, [str(folder.parent), os.environ.get("PYTHONPATH")]))
        environment = os.environ | dict.fromkeys(THREADS, str(threads)) | {"PYTHONPATH": path}
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, str(folder), library, "quick" if quick else "full", str(threads),
             place],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8", env=environment,
        )  # fmt: skip

    def ask(self, *command):
        """The answer to a command; Failed, with the worker's own words, if it failed."""
        try:
            print(*command, file=self.process.stdin, flush=True)
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            died = f"the process died at {' '.join(map(str, command))!r}"
            raise Failed(f"{self.library}: {died}", died)
        answer = json.loads(line)
        if "error" in answer:
            message = f"{self.library}: {' '.join(map(str, command))!r} failed\n{answer['error']}"
            raise Failed(message, answer["line"])
        return answer["answer"]

    def close(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def restart(self):
        """A new process in the place of this one."""
        self.close()
        self.__init__(*self.arguments)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def race(processes, case, rounds, burst=BURST, failures=None, first=1):
    """{library: the median of each round, in the case's unit}, every process warmed up first.

    first      calls until all is built and compiled; a captured or compiled step takes several
    failures   a dict that takes {library: its Failed}; such a library is left out, its process a new one.
               None: the first failure ends the race
    """
    lost = {} if failures is None else failures
    reps, figures = {}, {p.library: [] for p in processes}
    for p in processes:
        with _tolerant(p, failures):
            reps[p] = _warm_up(p, case, burst, first)
    for _ in range(rounds):
        for p in processes:
            if p.library not in lost:
                time.sleep(PAUSE)
                with _tolerant(p, failures):
                    seconds = p.ask("run", reps[p], case.name)
                    figures[p.library].append(case.scale * statistics.median(seconds))
    for p in processes:
        if p.library not in lost:
            with _tolerant(p, failures):
                p.ask("forget")
    return {library: of for library, of in figures.items() if library not in lost}


@contextlib.contextmanager
def _tolerant(process, failures):
    """Keep a failure for later, unless nobody asked for it; what a process may have left behind is lost with it."""
    try:
        yield
    except Failed as error:
        if failures is None:
            raise
        failures.setdefault(process.library, error)
        process.restart()


def _warm_up(process, case, burst, first):
    """Build and compile with the first calls, learn from two more how many fill a burst, run one: their number."""
    process.ask("run", first, case.name)
    reps = max(1, math.ceil(burst / min(process.ask("run", 2, case.name))))
    process.ask("run", reps, case.name)
    return reps


def weigh(libraries, case, rounds, quick, threads, steps):
    """({library: largest resident set of each round, MiB}, the same after the import alone), in fresh processes."""
    peaks, imported = ({library: [] for library in libraries} for _ in range(2))
    for _ in range(rounds):
        for library in libraries:
            with Process(library, quick, threads) as p:
                p.ask("describe")
                imported[library].append(case.scale * p.ask("memory"))
                p.ask("run", steps, case.name)
                peaks[library].append(case.scale * p.ask("memory"))
    return peaks, imported


def compare(figures, ours=OURS):
    """Ours against the best of the others: {"to", "rounds", "median", "low", "high"}; None when there are no others."""
    others = {library: of for library, of in figures.items() if library != ours}
    if not others or ours not in figures:
        return None
    best = min(others, key=lambda library: statistics.median(others[library]))
    ratios = [a / b for a, b in zip(figures[ours], others[best])]
    return {"to": best, "rounds": ratios, "median": statistics.median(ratios), "low": min(ratios), "high": max(ratios)}
