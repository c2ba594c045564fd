"""python -m minigan.bench --device cuda: check on the device, find what it can do, then time.

The order is that of the reasons: a wrong kernel has no time, and a time says little without the roofline.

    exit status 0    all is right
                1    a kernel is wrong, and nothing was timed; or an op's derivative is, or compute-sanitizer found
                     something, and the times stand
                2    there is no GPU

Stands on worker.py, proofs.py, table.py and ../race.py.
"""

import contextlib
import datetime
import importlib.util
import json
import os
import platform
import sys
from pathlib import Path

from tqdm import tqdm

from minigan.kernels import rounding
from minigan.kernels.emulator import EmulatorError
from minigan.kernels.gpu import DeviceError

from ..place import PLACES
from ..race import BURST, Failed, Process, race
from . import proofs, tiles
from .sizes import FULL, QUICK
from .table import judged, roofline, roofline_table, table
from .worker import CAPTURED, OURS, TORCH

FIRST = 4  # calls of a case before any is timed: torch.compile captures at its third, minigan at its second
REHEARSAL = "A rehearsal in the emulator: it shows that everything runs, and no figure in it means anything."


class WrongKernel(Exception):
    """Checks failed; the message says which, and by how much."""


def main(args):
    """Check, time, print; returns the exit status."""
    place = "emulated" if os.environ.get("MINIGAN_KERNELS") == "emulator" else "cuda"
    try:
        if place == "emulated" and not args.quick:
            raise DeviceError("--device cuda: in the emulator there is only a rehearsal; add --quick.")
        PLACES[place]()
    except (DeviceError, EmulatorError) as error:
        print(f"minigan.bench: {error}", file=sys.stderr)
        return 2
    bench = GpuBench(args, place)
    try:
        bench.run()
    except (WrongKernel, Failed) as error:
        print(f"minigan.bench: {error}\nNothing was timed.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if place == "emulated":
        print(REHEARSAL)
    elif args.quick:
        print("A quick run: sizes are tiny, and its figures say nothing.")
    return int(bench.wrong)


class GpuBench:
    """One run: the arguments, the processes, the progress bar, and the report that --json writes."""

    def __init__(self, args, place):
        self.args, self.place, self.wrong = args, place, False
        self.sizes = QUICK if args.quick else FULL
        self.rounds = args.rounds or (1 if args.quick else 7)
        torch = () if args.no_torch or not importlib.util.find_spec("torch") else TORCH
        self.torch = [library for library in torch if not (args.no_compile and library == "torch compiled")]
        self.report = {"sizes": self.sizes._asdict(), "rounds": self.rounds, "results": []}

    def run(self):
        with tqdm(unit="step", leave=False, disable=None, file=sys.stderr) as bar:
            self.bar = bar
            self._prove()
            with contextlib.ExitStack() as stack:
                libraries = [OURS, CAPTURED, *self.torch]
                self.processes = {x: stack.enter_context(self._process(x)) for x in libraries}
                self._machine()
                self._roofline()
                for section in ("layers", "bandwidth", "tiles", "steps"):
                    if section in self.args.only:
                        self._tiles() if section == "tiles" else self._section(section)

    def _prove(self):
        """All proofs, for they explain one another; WrongKernel at the end if kernels are."""
        with self._process(OURS) as p:
            lines, checks, right = proofs.kernels(p, self._each)
            self._keep(checks=checks)
            if right:
                self._print("\n".join([*lines, ""]))
            if "gradients" in self.args.only:
                self._proof("gradients", *proofs.gradients(p, self._each))
        if "sanitizer" in self.args.only:
            self._proof("sanitizer", *proofs.sanitized(self.place, self._each))
        if not right:
            raise WrongKernel("\n".join(lines))

    def _proof(self, name, lines, report, right):
        self._print("\n".join([*lines, ""]))
        self._keep(**{name: report})
        self.wrong |= not right

    def _process(self, library):
        return Process(library, self.args.quick, self.args.threads, self.place)

    def _print(self, text):
        tqdm.write(text, file=sys.stdout)
        sys.stdout.flush()

    def _keep(self, **more):
        """Write the report so far: what comes next may fail, and time on a GPU is dear."""
        self.report |= more
        if self.args.json:
            Path(self.args.json).write_text(json.dumps(self.report, indent=1) + "\n", encoding="utf-8")

    def _each(self, what, things):
        """The things, one after another, on the progress bar."""
        self.bar.reset(total=len(things))
        for thing in things:
            self.bar.set_description(f"{what} {thing if isinstance(thing, str) else thing.name}")
            yield thing
            self.bar.update()

    def _machine(self):
        """Name the machine and the libraries; one that does not even start is left out."""
        described = []
        for library, process in list(self.processes.items()):
            try:
                described.append(process.ask("describe"))
            except Failed as error:
                if library == OURS:
                    raise
                del self.processes[library]
                self._print(f"{library}: failed: {error.line}")
        machine = self.processes[OURS].ask("machine")
        machine["versions"] = ", ".join([*dict.fromkeys(described), f"Python {platform.python_version()}"])
        machine["date"] = datetime.date.today().isoformat()
        self._print("{gpu}, {system}\n{versions}, {date}\n".format(**machine))
        self._keep(machine=machine)

    def _roofline(self):
        results, lines = [], []
        for case in self._each("measuring", self.sizes.cases("roofline")):
            libraries = [OURS, *(x for x in self.processes if case.kind == "matmul" and x == TORCH[0])]
            figures, failures = self._race(case, libraries)
            results.append((case, figures))
            lines += [f"  {library}, {case.name}: failed: {error.line}\n" for library, error in failures.items()]
        self.peak = roofline(results, self.sizes)
        self._print(roofline_table(results, self.peak))
        for line in lines:
            self._print(line)
        self._keep(roofline=self.peak)

    def _section(self, section):
        results, libraries = [], self._libraries(section)
        for case in self._each("timing", self.sizes.cases(section)):
            if case.precision in (None, *rounding.KNOWN):
                results.append(judged(case, *self._race(case, libraries), self.peak, self.sizes))
        self._print(table(section, results, libraries, self.sizes, judging=not self.args.quick))
        self._keep(results=self.report["results"] + results)

    def _tiles(self):
        cases = tiles.cases(self.sizes)
        found = tiles.rows([(case, self._race(case, [CAPTURED])[0]) for case in self._each("timing", cases)])
        self._print(tiles.table(found, self.sizes))
        self._keep(tiles=found)

    def _libraries(self, section):
        """All for steps; torch.compile adds nothing to a single kernel."""
        return [x for x in self.processes if section == "steps" or x != "torch compiled"]

    def _race(self, case, libraries):
        """(figures, failures): a library that fails leaves the others their figures."""
        failures, burst = {}, BURST / 100 if self.args.quick else BURST
        figures = race([self.processes[x] for x in libraries], case, self.rounds, burst, failures, FIRST)
        return figures, failures
