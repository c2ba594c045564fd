"""Several runs at a time, each in a process of its own, behind one bar; and leaving without a trace.

Ctrl-C or SIGTERM asks every run to save its checkpoint and waits for it; a second one ends them at once. The folder is
locked as long as a run is alive in it, even if this program was killed: two programs in one folder would spoil it.

Stands on runs.py. Read table.py next.
"""

import contextlib
import os
import signal
import sys
import time

from .rows import ROOT
from .runs import ERROR, Child

PATIENCE = 60.0  # seconds for a checkpoint to be saved


def run(jobs, *, at_once=1, lock=None, report=lambda job, outcome: None, tick=lambda: None):
    """Run `jobs`, `at_once` at a time, in their order.

    lock is a file descriptor that every run holds open as long as it lives, as `locked` yields it.
    report(job, outcome) is called when one ends, tick() ten times a second. KeyboardInterrupt is passed on when all
    that was running has stopped.
    """
    waiting, running = list(jobs), []
    threads = dict.fromkeys([f"{name}_NUM_THREADS" for name in ("NUMBA", "OMP", "OPENBLAS", "MKL")], "1")
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))  # this minigan, not another
    quiet = {"MPLBACKEND": "agg", "PYTHONUNBUFFERED": "1", "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"}
    environment = os.environ | quiet | (threads if at_once > 1 else {})
    with _interrupted_by_sigterm():
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    running.append(Child(waiting.pop(0), environment, lock))
                for child in list(running):
                    if outcome := _outcome(child):
                        running.remove(child)
                        report(child.job, outcome)
                tick()
                time.sleep(0.1)
        finally:
            _leave(running, report)


def _outcome(child):
    """Of a child that has ended, or that took so much longer than its row says that it must be hanging; else None."""
    limit = 1800 + 20 * child.job.row.seconds
    if time.time() - child.began > limit:
        child.kill()
        child.process.wait()
        child.poll()
        sentence = f"ended after {limit:.0f} seconds: it seemed to hang"
        child.job.write(outcome=ERROR, status=1, seconds=limit, sentence=sentence)
        return ERROR
    return child.poll()


def _leave(running, report):
    """Stop what still runs: first kindly."""
    if not running:
        return
    print(f"\nstopping {len(running)} run{'s' * (len(running) > 1)} (once more: at once)", file=sys.stderr)
    try:
        for child in running:
            child.stop()
        deadline = time.time() + PATIENCE
        while time.time() < deadline and any(child.process.poll() is None for child in running):
            time.sleep(0.05)
    finally:
        for child in running:
            if child.process.poll() is None:
                child.kill()
            child.process.wait()
            report(child.job, child.poll())


@contextlib.contextmanager
def _interrupted_by_sigterm():
    """SIGTERM acts as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def locked(folder):
    """Hold the folder's lock, and yield its file descriptor for runs to hold too; BlockingIOError if it is held."""
    try:
        import fcntl
    except ImportError:  # Windows has no such lock
        yield None
        return
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BlockingIOError(f"another `reproduce`, or a run that one has left behind, is at work in {folder}: "
                                  f"wait for it, or give another --out") from None  # fmt: skip
        yield file.fileno()
