"""gradcheck: hold the derivatives of a function against finite differences, to any order.

For y = f(x) and random v and d, two numbers must agree:

    <vjp(v), d>    what reverse mode says
    <v, (f(x + εd) - f(x - εd)) / 2ε>    what f itself says, in float64

v is random, never ones: with ones the gradient of a batch norm is about 0, and a wrong rule passes. Order 2 is the
same check on the function (v, x) → vjp(v), order 3 the same once more: v is an argument like the others there.

Stands on autograd.py alone. Read ops/table.py for sample inputs of every op.
"""

import inspect
from pathlib import Path

import numpy as np

from ..autograd import Op, grad
from ..ops import concatenate, reshape
from ..tensor import Tensor

ROUNDING = 64 * np.finfo(np.float64).eps  # of f's values, relative: differences divide it by ε
SHRINK = (1, 0.1, 0.01)  # a kink nearer than ε looks like a wrong gradient; a shorter step tells them apart
ELEMENTS = 1000  # how many elements of an argument are searched for the worst one


class GradientError(AssertionError):
    """A derivative that finite differences contradict. Its parts are attributes: argument, index, order, ..."""

    def __init__(self, function, argument, index, order, analytic, numeric, error, tolerance, seed):
        self.function, self.argument, self.index, self.order = function, argument, index, order
        self.analytic, self.numeric, self.error, self.tolerance, self.seed = analytic, numeric, error, tolerance, seed
        place = f"{argument}[{', '.join(map(str, index))}]" if index else argument
        super().__init__(
            f"{function}: wrong derivative of order {order} with respect to {place}: reverse mode says {analytic:.9g}, "
            f"finite differences {numeric:.9g}; error {error:.2g}, tolerance {tolerance:.2g} (float64, seed {seed})"
        )


def gradcheck(f, inputs, *, order=1, eps=1e-5, atol=1e-9, rtol=1e-7, seed=0):
    """Check the derivatives of f, up to `order`, against central differences along random directions.

    f        a function of tensors that returns one tensor: an op, a layer, a loss
    inputs   a list of its arguments: arrays or tensors. Floating ones are copied to float64 and differentiated;
             integers and booleans are held fixed
    order    1 checks gradients, 2 the gradients of gradients too, 3 theirs
    eps      step of the differences; where that fails, eps/10 and eps/100 may pass: a kink was nearer than eps
    atol, rtol   the error may be atol + rtol·Σ|terms|, plus what rounding f's values costs at that step
    seed     of the directions and incoming gradients
    → True
    Errors: GradientError with the worst element; TypeError or ValueError for an f that cannot be checked.
    """
    xs = [_promoted(x) for x in ([inputs] if isinstance(inputs, Tensor | np.ndarray) else inputs)]
    label, names = _names(f, len(xs))
    if not any(x.requires_grad for x in xs):
        kinds = ", ".join(str(x.dtype) for x in xs) or "none"
        raise ValueError(f"gradcheck: {label} has no floating input to differentiate by, got {kinds}")
    if not isinstance(order, int) or order < 1:
        raise ValueError(f"gradcheck: order must be 1 or more, got {order!r}")
    _checkable(f, xs, label)
    rng = np.random.default_rng(seed)
    function = lambda xs, record: f(*xs)
    for level in range(1, order + 1):
        _check(function, xs, names, rng, (label, level, seed), (eps, atol, rtol))
        if level < order:
            gy = _random(function(xs, False), rng)
            function, xs, names = _derivative(function), [_promoted(gy), *xs], ["g" * level + "y", *names]
    return True


def _promoted(x):
    x = x.data if isinstance(x, Tensor) else np.asarray(x)
    x = np.array(x, np.float64 if x.dtype.kind == "f" else x.dtype)
    return Tensor(x, requires_grad=x.dtype.kind == "f")


def _random(like, rng):
    return np.asarray(rng.normal(size=like.shape))  # an array also for shape ()


def _names(f, count):
    """What to call f and its arguments in a message."""
    label = getattr(f, "__name__", type(f).__name__)
    if label == "<lambda>":
        label = f"lambda ({Path(f.__code__.co_filename).name}:{f.__code__.co_firstlineno})"
    if isinstance(f, Op):
        names = [f"{f.variadic}[{i}]" for i in range(count)] if f.variadic else list(f.arguments)
    else:
        try:
            parameters = inspect.signature(f).parameters.values()
            names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        except (TypeError, ValueError):
            names = []
    return label, names[:count] + [f"inputs[{i}]" for i in range(len(names), count)]


def _checkable(f, xs, label):
    y, again = f(*xs), f(*xs)
    if not isinstance(y, Tensor):
        raise TypeError(f"gradcheck: {label} must return one tensor, got {type(y).__name__}")
    if not y.requires_grad:
        raise ValueError(f"gradcheck: the result of {label} does not depend on any input (detach, no_grad, .data?)")
    if y.dtype != np.float64:
        raise TypeError(f"gradcheck: {label} must compute in float64, its result is {y.dtype}; are weights float32?")
    if not np.allclose(y.data, again.data, rtol=1e-9, equal_nan=True):
        raise ValueError(f"gradcheck: {label} gives other numbers when called again; fix its random draws (dropout?)")


def _derivative(function):
    """The function (gy, *xs) → the gradients of `function` with respect to all its floating xs, in one row."""

    def gradients(xs, record):
        gy, *xs = xs
        wanted = [x for x in xs if x.requires_grad]
        found = grad(function(xs, True), wanted, gy, create_graph=record)
        return concatenate([reshape(g, shape=(-1,)) for g in found])

    return gradients


def _check(function, xs, names, rng, what, limits):
    """One level: every argument along one random direction; the worst element of the first argument that fails."""
    y = function(xs, True)
    gy = _random(y, rng)
    wanted = [x for x in xs if x.requires_grad]
    found = iter(grad(y, wanted, Tensor(gy)))
    for i, x in enumerate(xs):
        if not x.requires_grad:
            continue
        gx = next(found).data
        measure = lambda d, i=i, gx=gx: _measure(function, xs, i, gy, gx, d, *limits)
        whole = measure(_random(x, rng))
        if not whole[2] <= whole[3]:
            index, worst = _worst_element(x.shape, measure, rng)
            if worst is None or worst[2] <= worst[3]:  # each element passes alone: report the direction
                index, worst = (), whole
            label, level, seed = what
            raise GradientError(label, names[i], index, level, *worst, seed)


def _measure(function, xs, i, gy, gx, direction, eps, atol, rtol):
    """(analytic, numeric, error, tolerance) of the derivative along a direction of argument i."""
    terms = gx * direction
    for step in (eps * s for s in SHRINK):
        ahead, behind = (_moved(function, xs, i, s * direction) for s in (step, -step))
        slopes = gy * (ahead - behind) / (2 * step)
        error = abs(terms.sum() - slopes.sum())
        scale = max(np.abs(terms).sum(), np.abs(slopes).sum())
        tolerance = atol + rtol * scale + ROUNDING / step * np.abs(gy * ahead).sum()
        if error <= tolerance:
            break
    return float(terms.sum()), float(slopes.sum()), float(error), float(tolerance)


def _moved(function, xs, i, by):
    xs = [*xs[:i], _promoted(xs[i].data + by), *xs[i + 1 :]]
    return function(xs, False).data


def _worst_element(shape, measure, rng):
    """The index whose own derivative is furthest off, and its measure; NaN counts as furthest."""
    worst, place = None, ()
    for flat in rng.permutation(int(np.prod(shape)))[:ELEMENTS]:
        index = np.unravel_index(flat, shape)
        direction = np.zeros(shape)
        direction[index] = 1
        found = measure(direction)
        if worst is None or not found[2] - found[3] <= worst[2] - worst[3]:
            worst, place = found, tuple(int(k) for k in index)
        if np.isnan(found[2]):
            break
    return place, worst
