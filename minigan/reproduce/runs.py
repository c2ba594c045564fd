"""One run of an example: a process, a folder, and a record by which it can be found finished, or gone on with.

    DIR/<row>/<seed>/reproduce.json     what was run and how it ended
                     log.txt            all that it said
                     ...                what the example leaves: verdict.json, checkpoint, samples

A run is finished when its record is of these very arguments and of this very program; then it is not run again. One
that was stopped goes on from its checkpoint, if it had one. Of the program counts what Python sees of it: a comment
or a docstring may change.

Stands on checkpoint.py, for a file that is whole or absent. Read pool.py next.
"""

import ast
import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import NamedTuple

from .. import checkpoint
from .rows import EXAMPLES, Row

RECORD, LOG, VERDICT, CHECKPOINT = "reproduce.json", "log.txt", "verdict.json", "checkpoint.safetensors"

# How a run ended. In a quick run there is no verdict to speak of: it passes when it runs.
PASS, FAIL, ERROR = "PASS", "FAIL", "ERROR"
STOPPED, RUNNING = "stopped", "running"


class Job(NamedTuple):
    """A row at one seed."""

    row: Row
    seed: int
    folder: Path
    quick: bool = False

    @property
    def options(self):
        return [*self.row.arguments, "--seed", str(self.seed), *["--smoke"] * self.quick]

    def record(self):
        """What the last attempt at this very run left → dict; {} if there was none."""
        record = _read(self.folder / RECORD)
        return record if record.get("run") == self._identity() else {}

    def finished(self):
        """Whether it has come to its end, with a verdict."""
        return self.record().get("outcome") in (PASS, FAIL)

    def claims(self):
        """The claims of its verdict.json, a list of dicts."""
        return _read(self.folder / VERDICT).get("claims", [])

    def write(self, **record):
        content = json.dumps({"run": self._identity(), **record}, indent=2) + "\n"
        checkpoint.write_file(self.folder / RECORD, content.encode())

    def _identity(self):
        return {"example": self.row.example, "options": self.options, "program": program(self.row.example)}


@cache
def program(example):
    """A digest of what Python sees of an example: neither comments nor the docstring on top."""
    code = (EXAMPLES / example).read_text(encoding="utf-8")
    with contextlib.suppress(SyntaxError):  # the run will say so
        tree = ast.parse(code)
        code = ast.unparse(ast.Module(tree.body[1:] if ast.get_docstring(tree) else tree.body, []))
    return hashlib.sha256(code.encode()).hexdigest()[:16]


def _read(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


class Child:
    """A job's process: begun, or gone on with from its checkpoint."""

    def __init__(self, job, environment, lock=None):
        """lock: a file descriptor that the process holds open as long as it lives."""
        self.job, self.stopped = job, False
        resume, self.before = _prepare(job)
        self.began = time.time()
        job.write(outcome=RUNNING, began=self.began, seconds=self.before)
        command = [sys.executable, str(EXAMPLES / job.row.example), *job.options, "--out", str(job.folder)]
        with open(job.folder / LOG, "ab") as log:
            self.process = subprocess.Popen(
                [*command, *["--resume"] * resume],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches it through stop() alone, so once
                pass_fds=() if lock is None else (lock,),
            )

    def poll(self):
        """None while it runs; then its outcome, which is also put on record."""
        status = self.process.poll()
        return None if status is None else self._end(status)

    def stop(self):
        """Ask it to save its checkpoint and leave."""
        self.stopped = True
        with contextlib.suppress(OSError):
            self.process.terminate()

    def kill(self):
        """End it, and all that it has started."""
        self.stopped = True
        with contextlib.suppress(OSError):
            os.killpg(self.process.pid, signal.SIGKILL) if hasattr(os, "killpg") else self.process.kill()

    def _end(self, status):
        outcome, sentence = ERROR, _last_line(self.job.folder / LOG)
        if status == 0 and (self.job.quick or self.job.claims()):
            outcome = PASS
        elif status == 1 and self.job.claims() and not self.job.quick:
            outcome = FAIL
        elif self.stopped:
            outcome = STOPPED
        elif status < 0:
            sentence = f"killed by {signal.Signals(-status).name}; the last that it said: {sentence}"
        elif status == 0:
            sentence = "it ended well, but left no verdict.json"
        seconds = self.before + time.time() - self.began
        why = {"sentence": sentence} if outcome == ERROR else {}
        self.job.write(outcome=outcome, status=status, seconds=seconds, **why)
        return outcome


def _prepare(job):
    """Make the folder ready → (whether to resume, seconds already spent)."""
    record, folder = job.record(), job.folder
    broken_off = record.get("outcome") in (STOPPED, RUNNING) or record.get("status", 0) < 0
    if broken_off and any(folder.rglob(CHECKPOINT)):  # of the run, or of one of several that it is made of
        spent = record["seconds"]
        if record["outcome"] == RUNNING:  # nobody was left to write down how long: its newest file tells
            spent += max(0.0, max(path.stat().st_mtime for path in folder.rglob("*")) - record["began"])
        (folder / VERDICT).unlink(missing_ok=True)
        return True, spent
    if folder.exists() and any(folder.iterdir()) and not (folder / RECORD).is_file():
        raise OSError(f"{folder} holds files that `reproduce` did not make: give another --out")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return False, 0.0


def _last_line(path):
    """The last line of a log that says something; a bar that was drawn over itself counts as several."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "nothing")
