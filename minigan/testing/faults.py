"""Planted faults: does gradcheck find every wrong rule, and nothing wrong in the right ones?

A fault is a wrong VJP, put into an op of the library for as long as a check lasts, or an op of its own. Each is one
that somebody wrote once. `catch` checks one with one seed, `sweep` all of them with many, and then all right rows of
ops/table.py, in which nothing may be found:

    python -m minigan faults --seeds 50 --alarms 1000

Stands on gradcheck.py and ops/table.py. The faults themselves are in planted.py: read it next.
"""

import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .. import autograd
from ..ops import table
from .gradcheck import GradientError, gradcheck


class Fault(NamedTuple):
    """A wrong rule.  order: the first at which it is wrong; plant: a context in which it is so."""

    name: str
    order: int
    function: Callable[..., Any]
    draw: Callable[[np.random.Generator], list]
    plant: Callable[[], Any] = contextlib.nullcontext

    def __str__(self):
        return self.name


@contextlib.contextmanager
def rules(op, **vjps):
    """Other VJPs in an op, for a while."""
    before = dict(op.vjps)
    op.vjps.update(vjps)
    try:
        yield
    finally:
        op.vjps.clear()
        op.vjps.update(before)


@contextlib.contextmanager
def attribute(home, name, value):
    """Another attribute (a fused op's `backward`, an engine's method), for a while."""
    before = getattr(home, name)
    setattr(home, name, value)
    try:
        yield
    finally:
        setattr(home, name, before)


@contextlib.contextmanager
def forgetful_engine():
    """An engine that keeps only the last gradient of an input that an op was given twice."""
    right = autograd.Op.pullback
    with attribute(autograd.Op, "pullback", lambda *args: list(dict(right(*args)).items())):
        yield


def catch(fault, seed):
    """The GradientError that gradcheck raises for a fault, or None: it escaped."""
    with fault.plant(), np.errstate(all="ignore"):
        try:
            gradcheck(fault.function, fault.draw(np.random.default_rng(seed)), order=fault.order, seed=seed)
        except GradientError as error:
            return error
    return None


def alarm(row, seed, order=2):
    """What gradcheck raises for a right row of the table, or None."""
    try:
        gradcheck(row.function, row.draw(np.random.default_rng(seed)), order=order, seed=seed)
    except Exception as error:
        return error
    return None


class Score(NamedTuple):
    """What a sweep counted.  escaped: (fault, seed) pairs; alarms: (row, seed, error) triples."""

    faults: int
    seeds: int
    rows: int
    right_seeds: int
    escaped: list
    alarms: list

    def __str__(self):
        caught = self.faults - len({name for name, _ in self.escaped})
        return (
            f"caught {caught} of {self.faults} with each of {self.seeds:,} seeds; "
            f"false alarms {len(self.alarms)} of {self.rows * self.right_seeds:,} checks "
            f"({self.rows} right ops x {self.right_seeds:,} seeds)"
        )


def sweep(seeds=50, alarms=1000, first=0, progress=iter):
    """Check every fault with `seeds` seeds and every right row, to order 2, with `alarms` seeds.

    progress    wraps the list of what is to be done: tqdm, for instance
    """
    from .planted import FAULTS

    work = [(fault, seeds) for fault in FAULTS] + [(row, alarms) for row in table.rows]
    score = Score(len(FAULTS), seeds, len(table.rows), alarms, [], [])
    for what, count in progress(work):
        for seed in range(first, first + count):
            if isinstance(what, Fault):
                if catch(what, seed) is None:
                    score.escaped.append((what.name, seed))
            elif (error := alarm(what, seed)) is not None:
                score.alarms.append((str(what), seed, error))
    return score
