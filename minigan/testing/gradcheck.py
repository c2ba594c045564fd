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
    eps      step of the differences; where that fails, eps/10 and eps/100 may pass: a kink was nearer than eps
    atol, rtol   the error may be atol + rtol·Σ|terms|, plus what rounding f's values costs at that step
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
    with np.errstate(all="ignore"):  # what is not finite is reported with its place
        subject.check()
    rng = np.random.default_rng(seed)
    function, xs, names = (lambda xs, record: subject(*xs)), subject.xs, subject.names
    for level in range(1, order + 1):
        with np.errstate(all="ignore"):
            found = list(_check(Level(subject.label, level, function, xs, names, (eps, atol, rtol)), rng))
        yield from found
        if level == order or not all(finding.passed for finding in found):
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
        gradients, recorded = _gradients(level, y, gy, places)
    except Refused as error:
        argument, told, text = error.args
        yield Finding(argument, level.order, Slope(np.nan, np.nan, np.nan, 0.0), (), told, text)
        return
    reverse = lambda xs: _reverse(level, xs, gy)
    for i, gx, again in zip(places, gradients, recorded):
        direction = np.asarray(rng.normal(size=gx.shape))
        unlike = _unlike(level, i, gx, again)
        yield unlike or inspect_elements(level, i, gy, gx, direction, rng, gradients, reverse)


def _gradients(level, y, gy, places):
    """The gradients, swept without and with recording; a sweep that writes into its arguments is refused."""
    wanted = [level.xs[i] for i in places]
    before = [x.data.copy() for x in level.xs]
    incoming = Tensor(gy.copy())
    try:
        found = [[g.data for g in grad(y, wanted, incoming, create_graph=record)] for record in (False, True)]
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


def _unlike(level, i, gx, recorded):
    """A finding where a sweep that is recorded gives other numbers: a fused derivative beside another composite."""
    error = np.abs(gx - recorded)
    _, atol, rtol = level.limits
    tolerance = 10 * (atol + rtol * np.abs(gx).max(initial=0))
    if not gx.size or np.array_equal(gx, recorded, equal_nan=True) or error.max() <= tolerance:
        return None
    index = tuple(int(k) for k in np.unravel_index(np.argmax(error), gx.shape))
    slope = Slope(float(gx[index]), float(recorded[index]), float(error[index]), float(tolerance))
    text = f"it is {gx[index]:.9g} with create_graph=False but {recorded[index]:.9g} with create_graph=True"
    told = "a fused derivative and its composite disagree"
    return Finding(level.names[i], level.order, slope, index, told, text)


def _plain(label):
    return "f" if label.startswith("lambda") else label
