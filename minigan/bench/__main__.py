"""python -m minigan.bench: check every kernel, then time minigan beside PyTorch.

    python -m minigan.bench                                  all, some minutes
    python -m minigan.bench --only steps,ring --rounds 11
    python -m minigan.bench --json bench.json                all raw figures
    python -m minigan.bench --quick --no-torch               seconds: only shows that it runs
    python -m minigan.bench --device cuda                    the CUDA kernels, on a GPU: gpu/

The ratio is ours / theirs, theirs being the better of PyTorch's two layouts: below 1 is faster, or smaller, than it.

Stands on race.py and table.py; for a GPU, on gpu/run.py.
"""

import argparse
import contextlib
import importlib.util
import json
import statistics
import sys
from pathlib import Path

from tqdm import tqdm

from .gpu.sizes import PARTS
from .race import BURST, OURS, Process, compare, race, weigh
from .sizes import FULL, QUICK, SECTIONS
from .table import cores, machine, table

MEMORY_ROUNDS = 3
WITHOUT_TORCH = "Our figures only: PyTorch is {why}.  For the comparison: {how}"


def main(argv=None):
    """Check, time, print; returns the exit status, 1 if a kernel is wrong."""
    args = _arguments(argv)
    if args.device == "cuda":
        from .gpu import run

        return run.main(args)
    torch = [] if args.no_torch or not importlib.util.find_spec("torch") else ["torch NCHW", "torch channels_last"]
    libraries = [OURS, *torch]
    bench = Bench(args, libraries)
    try:
        results = bench.run()
    except WrongKernel as error:
        print(f"minigan.bench: {error}\nNothing was timed.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if not torch:
        print(_without_torch(args.no_torch))
    if args.quick:
        print("A quick run: sizes are tiny, and its figures say nothing.")
    if args.json:
        report = {"machine": bench.machine, "sizes": bench.sizes._asdict(), "rounds": bench.rounds, "results": results}
        Path(args.json).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0


class WrongKernel(Exception):
    """A check failed; the message says which, and by how much."""


class Bench:
    """One run of the benchmark: the arguments, the processes, the progress bar."""

    def __init__(self, args, libraries):
        self.args, self.libraries = args, libraries
        self.sizes = QUICK if args.quick else FULL
        self.rounds = args.rounds or (1 if args.quick else 7)
        self.cases = {section: self.sizes.cases(section) for section in args.only}
        self.machine = None

    def run(self):
        """Check all, then time all; prints a table after each section and returns the results."""
        everything = [case for cases in self.cases.values() for case in cases]
        with tqdm(total=2 * len(everything), unit="case", leave=False, disable=None, file=sys.stderr) as bar:
            self.bar = bar
            with self._process(OURS) as p:  # leaves what it compiled in the cache, and nothing else
                checks = {case.name: self._check(p, case) for case in everything}
            with contextlib.ExitStack() as stack:
                processes = [stack.enter_context(self._process(library)) for library in self.libraries]
                self._introduce([p.ask("describe") for p in processes])
                timed = [s for s in self.cases if s != "memory"]
                results = [r for s in timed for r in self._section(s, checks, lambda c: self._time(processes, c))]
            if "memory" in self.cases:  # the other processes are gone
                results += self._section("memory", checks, self._weigh)
        return results

    def _process(self, library):
        return Process(library, self.args.quick, self.args.threads)

    def _introduce(self, described):
        self.machine = machine(self.args.threads, described)
        self._print("{processor}, cores {cores}, {system}\n{versions}, {date}\n".format(**self.machine))

    def _print(self, text):
        tqdm.write(text, file=sys.stdout)
        sys.stdout.flush()

    def _check(self, process, case):
        self.bar.set_description(f"checking {case.name}")
        found = process.ask("check", case.name)
        for what, ratio in found:
            if not ratio <= 1:  # NaN is wrong too
                raise WrongKernel(f"{case.name}: {what} is wrong: its largest error is {ratio:.3g} times the bound")
        self.bar.update()
        return found

    def _section(self, section, checks, measure):
        results = []
        for case in self.cases[section]:
            self.bar.set_description(f"{'weighing' if section == 'memory' else 'timing'} {case.name}")
            results.append(self._result(case, checks[case.name], *measure(case)))
            self.bar.update()
        self._print(table(section, results, self.sizes))
        return results

    def _time(self, processes, case):
        layouts = case.section in ("layers", "steps")  # elsewhere there are no images, so the two do not differ
        chosen = processes if layouts else processes[:2]
        return (race(chosen, case, self.rounds, BURST / 100 if self.args.quick else BURST),)

    def _weigh(self, case):
        rounds = 1 if self.args.quick else MEMORY_ROUNDS
        return weigh(self.libraries, case, rounds, self.args.quick, self.args.threads, self.sizes.memory_steps)

    def _result(self, case, checks, figures, imported=None):
        ratio = compare(figures)
        judged = ratio and case.target and not self.args.quick
        ours = statistics.median(figures[OURS])
        result = {
            "section": case.section, "kind": case.kind, "label": case.label, "unit": case.unit, "checks": checks,
            "figures": figures, "gflops": case.flops / ours * case.scale / 1e9 if case.flops else None, "ratio": ratio,
            "target": case.target, "passed": bool(ratio["median"] <= case.target) if judged else None,
        }  # fmt: skip
        return result | ({"imported": imported} if imported else {})


def _without_torch(asked):
    how = "leave out --no-torch." if asked else "pip install 'minigan[bench]'"
    return WITHOUT_TORCH.format(why="left out" if asked else "not installed", how=how)


def _arguments(argv):
    parser = argparse.ArgumentParser(
        prog="python -m minigan.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--device", choices=["cpu", "cuda"], default="cpu", help="cuda: a GPU; where there is none, see gpu/")
    known = {"cpu": SECTIONS, "cuda": PARTS}
    add("--only", help="sections, of " + "; ".join(f"{','.join(names)} ({device})" for device, names in known.items()))
    add("--rounds", type=_positive, help="turns that each library gets (default 7)")
    add("--threads", type=_positive, default=cores(), help="of each library (default: all cores)")
    add("--json", metavar="PATH", help="write all raw figures here")
    add("--no-torch", action="store_true", help="our figures only")
    add("--no-compile", action="store_true", help="with --device cuda: without torch.compile, which takes minutes")
    add("--quick", action="store_true", help="tiny sizes, one round: only shows that it runs")
    args = parser.parse_args(argv)
    chosen = args.only.split(",") if args.only else known[args.device]
    for name in chosen:
        if name not in known[args.device]:
            parser.error(f"argument --only: got {name!r}; know {', '.join(known[args.device])}")
    args.only = [name for name in known[args.device] if name in chosen]
    return args


def _positive(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"wants a whole number of at least 1, got {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
