"""The table of ops: every op of the library with inputs at which its derivatives exist.

A row is a name, a function of tensors with its options fixed, and `draw`, which makes float64 inputs that stay away
from kinks (abs, max, relu) and inside the domain (log, sqrt). The tests walk it to order 3 and fail when an op has no
row, so an op without a test cannot exist; the gradient checker and the benchmark walk the same rows.

    for row in table.rows: gradcheck(row.function, row.draw(rng), order=3)

Stands on all of ops/. To add an op: write it, export it, give it a row here for every option that changes its code.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .. import ops
from ..autograd import identity
from ..kernels import shapes
from . import elementwise, norm, shape
from .matmul import linear_fused, matrix_product


class Row(NamedTuple):
    """One op with its options fixed.  name: the op's own; note: what is special about this row."""

    name: str
    note: str
    function: Callable[..., Any]
    draw: Callable[[np.random.Generator], list]

    def __str__(self):
        return f"{self.name}-{self.note}" if self.note else self.name


# ------------------------------------------------------------------------------------------------- sample inputs


def normal(*shapes):
    """Standard normal numbers, one array for each shape."""
    return lambda rng: [rng.normal(size=s) for s in shapes]


def positive(*shapes):
    """Numbers in [0.5, 2]: inside the domain of log and sqrt, away from 0."""
    return lambda rng: [rng.uniform(0.5, 2, s) for s in shapes]


def away_from_zero(*shapes):
    """Numbers of both signs with 0.2 <= |x| <= 2."""
    return lambda rng: [rng.uniform(0.2, 2, s) * _dealt(rng, [-1, 1], s) for s in shapes]


def _dealt(rng, values, shape):
    """Each value equally often, in random order: no seed leaves one side of a kink out."""
    return rng.permutation(np.resize(values, int(np.prod(shape)))).reshape(shape)


def apart(*shapes):
    """Numbers all at least 0.1 from one another, across all arrays: nothing is nearly a tie."""

    def draw(rng):
        sizes = [int(np.prod(s)) for s in shapes]
        total = sum(sizes)
        values = rng.permutation(total) * 0.3 - 0.15 * total + rng.uniform(-0.1, 0.1, total)
        return [part.reshape(s) for part, s in zip(np.split(values, np.cumsum(sizes)[:-1]), shapes)]

    return draw


def both(*draws):
    """The arrays of several draws, one after another."""
    return lambda rng: [x for draw in draws for x in draw(rng)]


def booleans(shape):
    """A random mask."""
    return lambda rng: [rng.random(shape) < 0.5]


def norm_inputs(*x_shape):
    """x, gamma, beta of a norm, whose outputs lie away from 0, on both sides of the activation's kink."""

    def draw(rng):
        channels = x_shape[-1]
        shift = rng.uniform(2, 3, channels) * (-1) ** np.arange(channels)
        return [rng.normal(size=x_shape), rng.uniform(0.3, 0.6, channels), shift]

    return draw


def linear_inputs(x_shape, features=2):
    """x, w, b of a linear layer, whose outputs lie away from 0, on both sides of the activation's kink."""

    def draw(rng):
        shift = rng.uniform(2, 3, features) * (-1) ** np.arange(features)
        return [rng.uniform(-1, 1, x_shape), rng.uniform(-0.5, 0.5, (x_shape[-1], features)), shift]

    return draw


# ---------------------------------------------------------------------------------------------------- the rows

rows = []


def add(name, function, draw, note=""):
    """Append a row; a second row of one name says in `note` how it differs."""
    if getattr(function, "__name__", "") == "<lambda>":
        function.__name__ = name
    rows.append(Row(name, note, function, draw))


def _elementwise():
    for name in ("add", "subtract", "multiply"):
        add(name, getattr(ops, name), normal((2, 3), (2, 3)))
        add(name, getattr(ops, name), normal((2, 1, 3), (4, 1)), "broadcast")
        add(name, getattr(ops, name), normal((), (3,)), "scalar")
    add("multiply", lambda x: ops.multiply(x, x), normal((3,)), "by itself")
    add("divide", ops.divide, both(normal((2, 3)), away_from_zero((2, 3))))
    add("divide", ops.divide, both(normal((4, 1)), away_from_zero((2, 1, 3))), "broadcast")
    for name in ("negative", "exp", "tanh", "sigmoid", "softplus"):
        add(name, getattr(ops, name), normal((2, 3)))
    for name in ("log", "sqrt"):
        add(name, getattr(ops, name), positive((2, 3)))
    for exponent in (0, 1, 2, 3, -1):
        add("power", lambda x, e=exponent: ops.power(x, exponent=e), away_from_zero((2, 3)), f"exponent {exponent}")
    for exponent in (0.5, -1.5):
        add("power", lambda x, e=exponent: ops.power(x, exponent=e), positive((2, 3)), f"exponent {exponent}")
    for name in ("abs", "relu", "leaky_relu"):
        add(name, getattr(ops, name), away_from_zero((2, 3)))
    add("leaky_relu", lambda x: ops.leaky_relu(x, slope=0.0), away_from_zero((2, 3, 1, 2)), "slope 0")
    gradient = lambda gy, x: elementwise.leaky_relu_gradient(gy, x, slope=0.3)
    add("leaky_relu_gradient", gradient, both(normal((2, 3)), away_from_zero((2, 3))))
    for name in ("maximum", "minimum"):
        add(name, getattr(ops, name), apart((2, 3), (2, 3)))
        add(name, getattr(ops, name), apart((2, 1, 3), (4, 1)), "broadcast")
    add("clip", lambda x: ops.clip(x, low=-0.75, high=0.75), lambda rng: [_dealt(rng, [-1.5, -0.5, 0.5, 1.5], (4, 3))])
    add("where", ops.where, both(booleans((2, 3)), normal((2, 3), (2, 3))))
    add("where", ops.where, both(booleans((3,)), normal((2, 1), (2, 3))), "broadcast")
    add("where", lambda c, a: ops.where(c, a, 0.0), both(booleans((2, 3)), normal((2, 3))), "number")
    add("dropout", lambda x: ops.dropout(x, rate=0.4, rng=np.random.default_rng(0)), normal((4, 3)))
    add("identity", identity, normal((2, 3)))


def _reductions():
    shape_ = (2, 3, 4)
    for name in ("sum", "mean", "max", "logsumexp"):
        draw = apart(shape_) if name == "max" else normal(shape_)
        for options in ({}, {"axis": 1}, {"axis": (0, -1)}, {"axis": -1, "keepdims": True}, {"keepdims": True}):
            note = " ".join(f"{k} {v}" for k, v in options.items())
            add(name, lambda x, n=name, o=options: getattr(ops, n)(x, **o), draw, note)
    for name in ("softmax", "log_softmax"):
        add(name, getattr(ops, name), normal((2, 4)))
        add(name, lambda x, n=name: getattr(ops, n)(x, axis=0), normal((3, 2)), "axis 0")


def _shapes():
    add("reshape", lambda x: ops.reshape(x, shape=(-1, 2)), normal((2, 3)))
    add("transpose", ops.transpose, normal((2, 3, 4)))
    add("transpose", lambda x: ops.transpose(x, axes=(1, -1, 0)), normal((2, 3, 4)), "axes")
    add("swapaxes", lambda x: ops.swapaxes(x, 0, -1), normal((2, 3, 4)))
    add("broadcast_to", lambda x: ops.broadcast_to(x, shape=(2, 4, 3)), normal((4, 1)))
    add("sum_to", lambda x: ops.sum_to(x, shape=(4, 1)), normal((2, 4, 3)))
    add("sum_to", lambda x: ops.sum_to(x, shape=()), normal((2, 3)), "scalar")
    picks = {
        "integer": 1,
        "slices": (slice(None, None, -2), slice(1, 3)),
        "ellipsis and new axis": (..., None, 0),
        "repeated": np.array([[2, 0], [2, 2]]),
        "repeated beside a slice": (slice(None), np.array([1, 1, -1])),
        "pairs": (np.array([0, 2, 0]), np.array([1, 3, 1])),
        "boolean": np.arange(12).reshape(3, 4) % 3 == 1,
        "boolean axis": (slice(None), np.array([True, False, True, True])),
    }
    for note, index in picks.items():
        add("getitem", lambda x, i=index: ops.getitem(x, index=i), normal((3, 4)), note)
        picked = np.zeros((3, 4))[index].shape
        add("put", lambda x, i=index: shape.put(x, index=i, shape=(3, 4)), normal(picked), note)
    add("getitem", lambda x: ops.getitem(x, index=1), normal((3,)), "to a scalar")
    add("take", lambda x: ops.take(x, [[0, 2], [2, 2]]), normal((3, 2)))
    add("take", lambda x: ops.take(x, np.array([1, 0, 1]), axis=-1), normal((3, 2)), "last axis")
    add("join", lambda a, b: shape.join(a, b, axis=-1), normal((2, 3), (2, 1)))
    add("concatenate", lambda a, b, c: ops.concatenate([a, b, c]), normal((1, 3), (2, 3), (1, 3)))
    add("concatenate", lambda a: ops.concatenate([a, a], axis=1), normal((2, 3)), "with itself")
    add("stack", lambda a, b: ops.stack([a, b]), normal((2, 3), (2, 3)))
    add("stack", lambda a, b: ops.stack([a, b], axis=-1), normal((2, 3), (2, 3)), "last axis")
    widths = ((0, 0), (1, 2), (2, 0))
    add("pad_constant", lambda x: shape.pad_constant(x, widths=widths), normal((2, 3, 1)))
    add("pad", lambda x: ops.pad(x, 1), normal((2, 3)))
    add("pad", lambda x: ops.pad(x, (0, (2, 1), 1), mode="reflect"), normal((2, 3, 4)), "reflect")
    add("copy_to", lambda x: ops.copy_to(x, device="cpu", dtype=x.dtype), normal((2, 3)))
    add("avg_pool2d", ops.avg_pool2d, normal((2, 4, 2, 2)))
    add("avg_pool2d", lambda x: ops.avg_pool2d(x, size=(1, 3)), normal((1, 2, 6, 2)), "pair")
    add("upsample_nearest2d", ops.upsample_nearest2d, normal((2, 2, 3, 2)))
    add("upsample_nearest2d", lambda x: ops.upsample_nearest2d(x, factor=(1, 3)), normal((1, 2, 2, 1)), "pair")


def _products():
    sides = {
        "": ((2, 3), (3, 4)),
        "vectors": ((3,), (3,)),
        "vector left": ((3,), (3, 2)),
        "vector right": ((2, 3), (3,)),
        "batched": ((2, 2, 3), (2, 3, 1)),
        "batch broadcast": ((2, 1, 2, 3), (4, 3, 2)),
    }
    for note, (a, b) in sides.items():
        add("matmul", ops.matmul, normal(a, b), note)
    add("matrix_product", matrix_product, normal((2, 3), (3, 2)))
    add("matrix_product", matrix_product, normal((3, 1, 1, 2), (2, 2, 2)), "batch broadcast")

    linear = {"": (1.0, (4, 3)), "leaky": (0.2, (4, 3)), "relu": (0.0, (4, 3)), "images": (0.2, (2, 2, 2, 3))}
    for note, (slope, x) in linear.items():
        add("linear", lambda x, w, b, s=slope: ops.linear(x, w, b, slope=s), linear_inputs(x), note)
    add("linear_fused", lambda x, w, b: linear_fused(x, w, b, slope=0.2), linear_inputs((4, 3)))


# note: x's height and width, kernel, stride, padding
CONVOLUTIONS = {
    "": ((4, 4), (3, 3), 1, 0),
    "dcgan": ((4, 4), (4, 4), 2, 1),
    "rows left over": ((6, 5), (2, 3), (3, 2), (0, 1)),
    "one pixel": ((1, 1), (1, 1), 1, 0),
    "window wider than x": ((2, 3), (4, 1), 1, (1, 0)),
    "padding wider than the window": ((2, 2), (1, 2), (2, 3), (2, 1)),
}


def _convolutions():
    channels, filters = 2, 3
    for note, (size, kernel, stride, padding) in CONVOLUTIONS.items():
        options = {"stride": stride, "padding": padding}
        x, w = (2, *size, channels), (*kernel, channels, filters)
        g = (2, *shapes.conv2d(x, w, stride, padding)[2], filters)
        add("conv2d", lambda x, w, o=options: ops.conv2d(x, w, **o), normal(x, w), note)
        weight = lambda x, g, k=kernel, o=options: ops.conv2d_weight(x, g, kernel_size=k, **o)
        add("conv2d_weight", weight, normal(x, g), note)
    transposed = {
        "": ((2, 3), (3, 3), 1, 0, 0),
        "dcgan": ((2, 2), (4, 4), 2, 1, 0),
        "output padding": ((2, 2), (3, 2), (2, 3), (1, 0), (1, 2)),
        "output padding past the window": ((1, 2), (1, 1), 3, 0, 2),
        "padding eats the border": ((3, 3), (2, 3), 1, (1, 2), 0),
    }
    for note, (size, kernel, stride, padding, rest) in transposed.items():
        options = {"stride": stride, "padding": padding, "output_padding": rest}
        draw = normal((2, *size, filters), (*kernel, channels, filters))
        add("conv_transpose2d", lambda x, w, o=options: ops.conv_transpose2d(x, w, **o), draw, note)


def _norms():
    for slope in (1.0, 0.2, 0.0):
        note = f"slope {slope}" if slope != 1 else ""
        add("batch_norm", lambda *xs, s=slope: ops.batch_norm(*xs, slope=s), norm_inputs(2, 2, 3, 2), note)
    add("batch_norm", lambda *xs: ops.batch_norm(*xs, eps=0.1), norm_inputs(5, 3), "rows")
    zero_gamma = lambda rng: [rng.normal(size=(6, 2)), np.array([0.0, 1.0]), rng.normal(size=2)]
    add("batch_norm", ops.batch_norm, zero_gamma, "gamma 0")
    add("batch_norm_fused", _fused, norm_inputs(6, 2))
    add("layer_norm", ops.layer_norm, norm_inputs(2, 3, 4))
    add("instance_norm", ops.instance_norm, norm_inputs(2, 2, 3, 2))


def _fused(x, gamma, beta):
    moments = np.stack([x.data.mean(0), x.data.var(0)])
    return norm.batch_norm_fused(x, gamma, beta, eps=1e-5, slope=0.2, moments=moments)


for section in (_elementwise, _reductions, _shapes, _products, _convolutions, _norms):
    section()
