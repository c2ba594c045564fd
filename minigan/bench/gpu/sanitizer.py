"""Every kernel once more, on small arrays, under NVIDIA's compute-sanitizer: its memcheck and racecheck.

memcheck sees accesses outside an array, racecheck two threads that touch one number in shared memory with nothing to
order them. What is run is checks.py as a program.

Stands on checks.py. Read worker.py next.
"""

import re
import shutil
import subprocess
import sys

TOOLS = ("memcheck", "racecheck")
_SUMMARY = re.compile(r"^=+ ((?:ERROR|RACECHECK) SUMMARY: (\d+) .*)$", re.MULTILINE)


def program(place):
    """The command that launches every kernel."""
    return [sys.executable, "-m", "minigan.bench.gpu.checks", place]


def installed():
    return shutil.which("compute-sanitizer") is not None


def examine(tool, place):
    """(what the tool says in one line, whether it found nothing and the program was right)."""
    command = ["compute-sanitizer", "--tool", tool, *program(place)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="replace")
    said = (done.stdout + done.stderr).strip()
    found = _SUMMARY.search(said)
    if found and int(found[2]) == 0 and done.returncode == 0:
        return found[1], True
    last = said.split("\n")[-1] if said else f"exit status {done.returncode}, and not a word"
    return (f"{found[1]}; {last}" if found and int(found[2]) == 0 else found[1] if found else last), False
