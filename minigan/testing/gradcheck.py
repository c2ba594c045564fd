"""gradcheck: hold the derivatives of a function against finite differences, to any order.

For y = f(x) and random v and d, two numbers must agree:

    <vjp(v), d>    what reverse mode says
    <v, (f(x + εd) - f(x - εd)) / 2ε>    what f itself says, in float64

v is random, never ones: with ones the gradient of a batch norm is about 0, and a wrong rule passes. Order 2 is the
same check on the function (v, x) → vjp(v), order 3 the same once more: v is an argument like the others there.

Stands on subject.py (what f is) and differences.py (the two numbers). Read diagnosis.py for what an error says, and
faults.py for the wrong rules that this must find.
"""

from typing import NamedTuple

import numpy as np

from ..autograd import grad
from ..ops import concatenate, reshape
from ..tensor import Tensor
from . import diagnosis
from .differences import Finding, KinkError, Slope, inspect_elements
from .subject import Subject, promoted

__all__ = ["Finding", "GradientError", "KinkError", "examine", "gradcheck"]

STREAM = 577215  # so that a seed draws no numbers that default_rng(seed) drew for the inputs: gy = x hides a swap


class GradientError(AssertionError):
    """A derivative that finite differences contradict. Its parts are attributes: argument, index, order, ...

    diagnosis   one sentence when the pattern of the errors is a known one, else ""
    """

    def __init__(self, function, finding, seed, order):
        self.function, self.seed, self.diagnosis = function, seed, finding.diagnosis
        self.argument, self.index, self.order = finding.argument, finding.index, finding.order
        self.analytic, self.numeric, self.error, self.tolerance = finding.slope
        place = f"{self.argument}[{', '.join(map(str, self.index))}]" if self.index else self.argument
        text = f"{function}: wrong derivative of order {self.order} with respect to {place}: " + (
            finding.refused
            or f"reverse mode says {self.analytic:.9g}, finite differences {self.numeric:.9g}; "
            f"error {self.error:.2g}, tolerance {self.tolerance:.2g} (float64, seed {seed})"
        )
        told = f"\nDiagnosis: {self.diagnosis}." if self.diagnosis else ""
        again = f"mg.gradcheck({_plain(function)}, inputs, order={order}, seed={seed})"
        super().__init__(f"{text}{told}\nTo repeat: {again}")


def gradcheck(f, inputs, *, order=1, eps=1e-5, atol=1e-9, rtol=1e-7, seed=0):
    """Check the derivatives of f, up to `order`, against central differences along random directions.

    f        a function of tensors that returns one tensor: an op, a loss; or a Module, whose parameters are checked too
    inputs   a list of its arguments: arrays or tensors. Floating ones (float32 as well) and a module's parameters are
             copied to float64 and differentiated; integers and booleans are held fixed
    order    1 checks gradients, 2 the gradients of gradients too, 3 theirs
    eps      step of the differences; where that fails, eps/100 may pass: a kink was nearer than eps
    atol, rtol   the error may be atol + rtol·√Σterms², plus what rounding f's values costs at that step
    seed     of the directions and incoming gradients
    → True
    Errors: GradientError with the worst element and, where the pattern is a known one, what is wrong; KinkError where
    f has a kink at the very inputs, and no derivative; TypeError or ValueError for an f that cannot be checked: it
    draws random numbers, changes its input, returns a tuple, does not depend on an input.
    """
    subject = Subject(f, inputs)
    for finding in examine(subject, order=order, eps=eps, atol=atol, rtol=rtol, seed=seed):
        if not finding.passed:
            raise GradientError(subject.label, finding, seed, order)
    return True


def examine(subject, *, order=1, eps=1e-5, atol=1e-9, rtol=1e-7, seed=0):
    """The findings of a check, one for each argument and order, right or wrong; ends with the first wrong order."""
    if not isinstance(order, int) or order < 1:
        raise ValueError(f"gradcheck: order must be 1 or more, got {order!r}")
    subject.check()
    rng = np.random.default_rng((seed, STREAM))
    function, xs, names = (lambda xs, record: subject(*xs)), subject.xs, subject.names
    for level in range(1, order + 1):
        passed = True
        for finding in _check(Level(subject.label, level, function, xs, names, (eps, atol, rtol)), rng):
            passed = passed and finding.passed
            yield finding
        if level == order or not passed:
            return
        gy = np.asarray(rng.normal(size=function(xs, False).shape))
        function, xs, names = _derivative(function), [promoted(gy), *xs], ["g" * level + "y", *names]


class Level(NamedTuple):
    """One order's function of (xs, record), its arguments, and limits (eps, atol, rtol)."""

    label: str
    order: int
    function: object
    xs: list
    names: list
    limits: tuple


class Refused(Exception):
    """A gradient that cannot even be compared.  args: the argument, the diagnosis, what happened."""


def _derivative(function):
    """The function (gy, *xs) → the gradients of `function` with respect to all its floating xs, in one row."""

    def gradients(xs, record):
        gy, *xs = xs
        wanted = [x for x in xs if x.requires_grad]
        found = grad(function(xs, True), wanted, gy, create_graph=record)
        return concatenate([reshape(g, shape=(-1,)) for g in found])

    return gradients


def _check(level, rng):
    """A finding for each argument: along one random direction, or the worst element where that fails."""
    y = level.function(level.xs, True)
    gy = np.asarray(rng.normal(size=y.shape))
    places = [i for i, x in enumerate(level.xs) if x.requires_grad]
    try:
        gradients, recorded, doubled = _gradients(level, y, gy, places)
    except Refused as error:
        argument, told, text = error.args
        yield Finding(argument, level.order, Slope(np.nan, np.nan, np.nan, 0.0), (), told, text)
        return
    for i, gx, again, twice in zip(places, gradients, recorded, doubled):
        inspect = lambda g, gy=gy, i=i: inspect_elements(
            level, i, gy, g, rng, gradients, lambda xs: _reverse(level, xs, gy)
        )
        with np.errstate(all="ignore"):
            found = inspect(gx)
            if found.passed and not _same(gx, again, level.limits):
                found = _only(inspect(again), "the composite of a fused op (create_graph=True)")
            elif not found.passed and not _same(gx, again, level.limits) and inspect(again).passed:
                found = _only(found, "the hand-written derivative of a fused op (create_graph=False)")
            elif np.isfinite(gx).all() and not _same(-2 * gx, twice, level.limits):
                found = inspect(twice, -2 * gy) if found.passed else found
                found = found._replace(diagnosis="the VJP is not linear in gy: twice as much in, twice as much out")
        yield found


def _same(a, b, limits):
    """Do two sweeps agree? Finite differences say then which of them is wrong."""
    _, atol, rtol = limits
    room = 10 * (atol + rtol * np.abs(a).max(initial=0))
    return np.array_equal(a, b, equal_nan=True) or np.abs(a - b).max() <= room


def _only(finding, which):
    return finding._replace(diagnosis=f"only {which} is wrong; {finding.diagnosis}".removesuffix("; "))


@np.errstate(all="ignore")
def _gradients(level, y, gy, places):
    """The gradients, not recorded, recorded, and for -2·gy; a sweep that writes into its arguments is refused."""
    wanted = [level.xs[i] for i in places]
    before = [x.data.copy() for x in level.xs]
    incoming = Tensor(gy.copy())
    try:
        found = [[g.data for g in grad(y, wanted, incoming, create_graph=record)] for record in (False, True)]
        found.append([g.data for g in grad(y, wanted, Tensor(-2 * gy))])
    except (ValueError, TypeError) as error:
        argument, told = diagnosis.of_shape(error)
        if not told:
            raise
        raise Refused(argument, told, str(error)) from None
    changed = ["gy"] if not np.array_equal(incoming.data, gy) else []
    for name, x, old in zip(level.names, level.xs, before):
        if not np.array_equal(x.data, old, equal_nan=x.dtype.kind == "f"):
            changed.append(name)
    if changed:
        told = "it writes into an array that is not its own (+=, out=); let it make a new one"
        raise Refused(level.names[places[0]], told, f"a VJP changes {changed[0]} in place")
    return found


def _reverse(level, xs, gy):
    """All gradients at other arguments, None where these do not fit."""
    try:
        y = level.function(xs, True)
        return [g.data for g in grad(y, [x for x in xs if x.requires_grad], Tensor(gy))]
    except (ValueError, TypeError, IndexError):
        return None


def _plain(label):
    return "f" if label.startswith("lambda") else label
