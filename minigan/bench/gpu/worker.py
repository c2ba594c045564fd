"""A process with one library in it, on a GPU or in a rehearsal of one.

The commands of ../worker.py, and for minigan alone

    machine             {what: text}
    checks              the names of all checks of kernels;  check NAME    runs one
    rows                [[op, row], ...] of the op table;    gradient I    what is wrong with row I, or ""

Stands on ../worker.py, and on ours.py or pytorch.py. Read run.py next.
"""

import functools
import math

from ..worker import Worker
from .sizes import FULL, QUICK, TIMED

OURS, CAPTURED = "minigan", "minigan captured"
KERNELS = ("layers", "bandwidth", "tiles")  # the sections of single kernels
EAGER = ("torch NCHW", "torch channels_last")
TORCH = (*EAGER, "torch compiled", "torch CUDA graph")


class GpuWorker(Worker):
    """The commands, one method each."""

    def __init__(self, library, quick, threads, place):
        self.sizes = QUICK if quick else FULL
        cases = [case for section in TIMED for case in self.sizes.cases(section)]
        if library in (OURS, CAPTURED):
            from . import tiles

            cases += tiles.cases(self.sizes)
        self.start(_load(library, self.sizes, threads, place), cases)

    def build(self, case):
        """The function to be timed, and how many of the case's calls it makes.

        A captured library replays several calls as one CUDA graph: what the kernels alone take, while the others show
        what a call from Python does. Steps are captured by the library itself, one at a time.
        """
        self.library.choose(case.precision)
        function = super().build(case)
        if not self.library.captured or case.section not in KERNELS:
            return function, 1
        calls = math.ceil(self.sizes.calls / case.copies) * case.copies

        def several():
            for _ in range(calls):
                function()

        return self.library.capture(several), calls

    def run(self, reps, name):
        if name not in self.built:
            with self.library.place.building():
                self.built[name] = self.build(self.cases[name])
        function, calls = self.built[name]
        return [seconds / calls for seconds in self.library.place.seconds(function, int(reps))]

    def forget(self):
        super().forget()
        self.library.place.release()

    def machine(self):
        return self.library.place.machine()

    @functools.cached_property
    def _checks(self):
        from .checks import every_check

        return every_check(self.sizes, self.library.place)

    def checks(self):
        return list(self._checks)

    def check(self, name):
        return [(what, float(error)) for what, error in self._checks[name]()]

    def rows(self):
        from . import gradients

        return gradients.names()

    def gradient(self, index):
        from . import gradients

        return gradients.wrong(int(index), self.library.place)


def _load(library, sizes, threads, place):
    if library in (OURS, CAPTURED):
        from ..place import PLACES
        from .ours import GpuMinigan

        return GpuMinigan(sizes, PLACES[place](), captured=library == CAPTURED)
    from .pytorch import GpuPytorch

    return GpuPytorch(sizes, library.removeprefix("torch "), threads, place)
