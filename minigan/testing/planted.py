"""The faults: wrong VJPs as people write them, each with the sentence that says what is wrong.

`planted(name, op, row, argument=rule)` puts a wrong rule into an op of the library and checks a row of ops/table.py
with it; `own(name, function, draw)` is a function that is wrong by itself. A rule is (gy, y, *inputs, **options).

Stands on faults.py.
"""

import numpy as np

from .. import ops
from ..autograd import Op
from ..ops import conv2d, conv2d_weight, conv_transpose2d, elementwise, multiply, reduce, shape, table
from ..ops.matmul import linear_fused, matrix_product
from ..ops.norm import batch_norm_fused, normalise
from ..ops.shape import broadcast_to, unbroadcast
from ..tensor import Tensor
from .faults import Fault, attribute, forgetful_engine, rules

ROWS = {str(row): row for row in table.rows}
FAULTS = []


def planted(name, op, row, order=1, **vjps):
    """A wrong rule in an op of the library."""
    row = ROWS.get(row) or row
    FAULTS.append(Fault(name, order, row.function, row.draw, lambda: rules(op, **vjps)))


def own(name, function, draw, order=1, plant=None):
    """A function that is wrong by itself, or under `plant`."""
    FAULTS.append(Fault(name, order, function, draw, *([plant] if plant else [])))


def row(function, *shapes):
    """A row that the table does not have."""
    return table.Row("", "", function, table.normal(*shapes))


def op_of(function, **vjps):
    """An op of its own, from an array function and its wrong rules."""
    return Op(function).defvjp(**vjps)


def raw(x):
    """A tensor cut from its graph: right numbers, no derivative."""
    return Tensor(x.data)


# --------------------------------------------------------------------------------------- elementwise, broadcasting

planted("7 times too large", ops.tanh, "tanh", x=lambda g, y, x: g * (1 - y * y) * 7)
planted("1.0001 times too large", ops.sigmoid, "sigmoid", x=lambda g, y, x: g * y * (1 - y) * 1.0001)
planted("zero everywhere", ops.exp, "exp", x=lambda g, y, x: g * 0)
planted("the sign of a subtraction", ops.subtract, "subtract", b=lambda g, y, a, b: unbroadcast(g, b))
planted("the sign of a quotient", ops.divide, "divide", b=lambda g, y, a, b: g * y / b)
planted("a quotient's denominator not squared", ops.divide, "divide", b=lambda g, y, a, b: -g * a / b)
planted("missing unbroadcast", ops.add, "add-broadcast", b=lambda g, y, a, b: g)
planted("mean instead of sum in unbroadcast", ops.add, "add-broadcast", b=lambda g, y, a, b: unbroadcast(g, b) / 6)
planted("first slice instead of the sum", ops.add, "add-broadcast", b=lambda g, y, a, b: g[0, :, :1])
planted("sum over the wrong axis", ops.add, row(ops.add, (3, 3), (1, 3)), b=lambda g, y, a, b: g.sum(1).reshape(1, 3))
planted("swapped arguments", ops.multiply, "multiply", a=lambda g, y, a, b: g * a, b=lambda g, y, a, b: g * b)
planted("a product without its other factor", ops.multiply, "multiply", a=lambda g, y, a, b: g)
planted("exponent forgotten", ops.power, "power-exponent 3", x=lambda g, y, x, exponent: g * x**2)
planted("exponent not lowered", ops.power, "power-exponent 3", x=lambda g, y, x, exponent: g * 3 * x**3)
planted("logarithm of base 2", ops.log, "log", x=lambda g, y, x: g / (x * np.log(2)))
planted("log' as x", ops.log, "log", x=lambda g, y, x: g * x)
planted("square root without its 1/2", ops.sqrt, "sqrt", x=lambda g, y, x: g / y)
planted("tanh' of x instead of y", ops.tanh, "tanh", x=lambda g, y, x: g * (1 - x * x))
planted("sigmoid' without 1 - y", ops.sigmoid, "sigmoid", x=lambda g, y, x: g * y)
planted("softplus' at -x", ops.softplus, "softplus", x=lambda g, y, x: g * ops.sigmoid(-x))
planted("exp' of x instead of y", ops.exp, "exp", x=lambda g, y, x: g * x)
planted("a mask taken from the output", ops.abs, "abs", x=lambda g, y, x: g * Tensor(np.sign(y.data)))
planted("a mask taken from the incoming gradient", ops.leaky_relu, "relu", x=lambda g, y, x, slope: ops.relu(g))
planted("leaky slope ignored", ops.leaky_relu, "leaky_relu", x=lambda g, y, x, slope: g * Tensor(x.data > 0))
planted("leaky slope as its inverse", ops.leaky_relu, "leaky_relu",
        x=lambda g, y, x, slope: elementwise.leaky_relu_gradient(g, x, slope=1 / slope))  # fmt: skip
planted("clip lets gradients through outside", ops.clip, "clip", x=lambda g, y, x, low, high: g)
planted("both of a maximum get the gradient", ops.maximum, "maximum", a=lambda g, y, a, b: g, b=lambda g, y, a, b: g)
planted("the loser of a minimum gets the gradient", ops.minimum, "minimum",
        a=lambda g, y, a, b: g * Tensor((a.data > b.data) * 1.0))  # fmt: skip
planted("where's branches exchanged", ops.where, "where", a=lambda g, y, c, a, b: ops.where(c, 0.0, g))
planted("NaN", ops.exp, "exp", x=lambda g, y, x: g * y * np.nan)
planted("NaN in one element", ops.exp, "exp", x=lambda g, y, x: g * y * Tensor(np.array([[1, 1, 1], [1, np.nan, 1]])))
planted("wrong dtype", ops.exp, "exp", x=lambda g, y, x: (g * y).to(dtype=np.float32))
planted("rounded to float16", ops.exp, "exp", x=lambda g, y, x: (g * y).to(dtype=np.float16).to(dtype=np.float64))
planted("gradient clipped", ops.exp, "exp", x=lambda g, y, x: ops.clip(g * y, low=-0.1, high=0.1))
planted("gy squared", ops.negative, "negative", x=lambda g, y, x: -g * g)


def _in_place(g, y, x):
    g.data *= y.data
    return g


planted("gy overwritten in place", ops.exp, "exp", x=_in_place)

# ------------------------------------------------------------------------------------------ reductions and shapes

planted("a sum's gradient as a mean's", ops.sum, "sum",
        x=lambda g, y, x, axis, keepdims: broadcast_to(g / x.size, shape=x.shape))  # fmt: skip
planted("mean without 1/n", ops.mean, "mean", x=lambda g, y, x, axis, keepdims: broadcast_to(g, shape=x.shape))
planted("mean divided by the batch alone", ops.mean, "mean",
        x=lambda g, y, x, axis, keepdims: broadcast_to(g / len(x), shape=x.shape))  # fmt: skip
planted("max sends the gradient everywhere", ops.max, "max-axis 1",
        x=lambda g, y, x, axis, keepdims: broadcast_to(reduce._keep(g, x, axis), shape=x.shape))  # fmt: skip
planted("sum_to divides", ops.sum_to, "sum_to", x=lambda g, y, x, shape: broadcast_to(g, shape=x.shape) / 6)
planted("broadcast_to keeps the first copy", ops.broadcast_to, "broadcast_to", x=lambda g, y, x, shape: g[0, :, :1])
planted("upsampling keeps the top left pixel", ops.broadcast_to, "upsample_nearest2d",
        x=lambda g, y, x, shape: g[:, :, :1, :, :1])  # fmt: skip
planted("reshape in the other memory order", ops.reshape, "reshape",
        x=lambda g, y, x, shape: ops.transpose(ops.transpose(g).reshape(x.shape[::-1])))  # fmt: skip
planted("transpose not inverted", ops.transpose, row(lambda x: x.transpose(1, 2, 0), (3, 3, 3)),
        x=lambda g, y, x, axes: ops.transpose(g, axes=axes))  # fmt: skip
planted("transpose forgotten", ops.transpose, row(ops.transpose, (3, 3)), x=lambda g, y, x, axes: g)


def _overwritten(g, y, x, index):
    put = np.zeros(x.shape)
    put[index] = g.data
    return Tensor(put)


planted("getitem overwrites duplicates", ops.getitem, "getitem-repeated", x=_overwritten)
planted("getitem one row off", ops.getitem, "getitem-integer",
        x=lambda g, y, x, index: shape.put(g, index=index + 1, shape=x.shape))  # fmt: skip
planted("put spreads the gradient", shape.put, "put-integer", x=lambda g, y, x, index, shape: g[0])
_joined = lambda a, b: shape.join(a, b, axis=0)
planted("every piece of a concatenation is the first", shape.join, row(_joined, (2, 3), (2, 3)),
        xs=lambda g, y, *xs, index, axis: g[:2])  # fmt: skip
planted("concatenation cut along the wrong axis", shape.join, row(_joined, (2, 4), (2, 4)),
        xs=lambda g, y, *xs, index, axis: g.reshape(2, 8)[:, 4 * index : 4 * index + 4])  # fmt: skip
planted("pad shifted by one", shape.pad_constant, "pad", x=lambda g, y, x, widths: g[:-2, :-2])
planted("pad's margins exchanged", shape.pad_constant, "pad_constant", x=lambda g, y, x, widths: g[:, 2:5, :1])

# ----------------------------------------------------------------------------------- matrix products, convolutions

_square = row(ops.matmul, (3, 3), (3, 3))
planted("matmul without the transpose", matrix_product, _square, a=lambda g, y, a, b: g @ b)
planted("matmul's factors exchanged", matrix_product, _square, b=lambda g, y, a, b: g @ a.T)
planted("matmul's gradient transposed", matrix_product, _square, a=lambda g, y, a, b: b @ g.T)
planted("matmul without the sum over the batch", matrix_product, "matmul-batch broadcast",
        a=lambda g, y, a, b: g @ ops.swapaxes(b, -1, -2))  # fmt: skip

_last_row_first = lambda x: ops.concatenate([x[:, -1:], x[:, :-1]], axis=1)
_down = row(lambda x, w: conv2d(x, w, stride=2, padding=1), (2, 4, 4, 1), (4, 4, 1, 2))
_up = row(lambda x, w: conv_transpose2d(x, w, stride=2, padding=1), (1, 2, 2, 2), (4, 4, 1, 2))
planted("kernel not flipped", conv2d, _down,
        x=lambda g, y, x, w, **o: conv_transpose2d(g, w[::-1, ::-1], **o))  # fmt: skip
planted("kernel flipped along one axis", conv2d, _down,
        x=lambda g, y, x, w, **o: conv_transpose2d(g, w[:, ::-1], **o))  # fmt: skip
planted("padding off by one", conv2d, _down,
        x=lambda g, y, x, w, **o: conv_transpose2d(g, w, stride=2)[:, :4, :4])  # fmt: skip
planted("stride ignored", conv2d, _down,
        x=lambda g, y, x, w, **o: ops.pad(conv_transpose2d(g, w, padding=1), (0, (0, 1), (0, 1), 0)))  # fmt: skip
planted("rows left over come first", conv2d, "conv2d-rows left over",
        x=lambda g, y, x, w, **o: _last_row_first(conv_transpose2d(g, w, **o, output_padding=(1, 0))))  # fmt: skip
planted("weight gradient flipped", conv2d, _down,
        w=lambda g, y, x, w, **o: conv2d_weight(x, g, kernel_size=4, **o)[::-1, ::-1])  # fmt: skip
planted("weight gradient of the first image alone", conv2d, _down,
        w=lambda g, y, x, w, **o: conv2d_weight(x[:1], g[:1], kernel_size=4, **o))  # fmt: skip
planted("weight gradient averaged over the batch", conv2d, _down,
        w=lambda g, y, x, w, **o: conv2d_weight(x, g, kernel_size=4, **o) / len(x))  # fmt: skip
planted("x and gy exchanged in the weight gradient", conv2d, row(ops.conv2d, (2, 3, 3, 2), (1, 1, 2, 2)),
        w=lambda g, y, x, w, **o: conv2d_weight(g, x, kernel_size=1, **o))  # fmt: skip
planted("channels exchanged in the transposed convolution", conv2d, row(ops.conv2d, (1, 4, 4, 2), (3, 3, 2, 2)),
        x=lambda g, y, x, w, **o: conv_transpose2d(g, ops.swapaxes(w, 2, 3), **o))  # fmt: skip
planted("transposed convolution: kernel flipped once too often", conv_transpose2d, _up,
        x=lambda g, y, x, w, output_padding, **o: conv2d(g, w[::-1, ::-1], **o))  # fmt: skip
planted("conv2d_weight: padding forgotten", conv2d_weight, row(
        lambda x, g: conv2d_weight(x, g, kernel_size=3, padding=1), (2, 4, 4, 1), (2, 4, 4, 2)),
        g=lambda g, y, x, gy, **o: ops.pad(conv2d(x, g), (0, (0, 2), (0, 2), 0)))  # fmt: skip

# ------------------------------------------------------------------------------------------------------- the norms


def norm_backward(*, mean_term=True, variance_term=True, ones=False, n_of=lambda n: n, beta_mean=False, eps_used=True):
    """Batch norm's fused derivative (Ioffe and Szegedy 2015, section 3) with parts left out."""

    def backward(gy, y, x, gamma, beta, *, needs, eps, slope, moments):
        axes = tuple(range(x.ndim - 1))
        root = np.sqrt(x.var(axes) + eps * eps_used)
        normal = (x - x.mean(axes)) / root
        h = np.ones_like(gy) if ones else gy
        n = n_of(x.size // x.shape[-1])
        gx = h - mean_term * h.mean(axes) - variance_term * normal * (h * normal).sum(axes) / n
        return gx * gamma / root, (gy * normal).sum(axes), (gy.mean if beta_mean else gy.sum)(axes)

    return backward


def fused_norm(name, backward, case="batch_norm"):
    """A wrong fused derivative of batch norm."""
    own(name, ROWS[case].function, ROWS[case].draw, 1, lambda: attribute(batch_norm_fused, "backward", backward))


fused_norm("batch norm without its mean term", norm_backward(mean_term=False))
fused_norm("batch norm without its variance term", norm_backward(variance_term=False))
fused_norm("batch norm with its statistics held fixed", norm_backward(mean_term=False, variance_term=False))
fused_norm("batch norm with ones for gy", norm_backward(ones=True))
fused_norm("unbiased variance in batch norm's derivative", norm_backward(n_of=lambda n: n - 1))
fused_norm("batch norm's beta averaged", norm_backward(beta_mean=True))
fused_norm("eps left out of batch norm's derivative", norm_backward(eps_used=False), "batch_norm-rows")


def _fixed_variance(x, gamma, beta, *, eps, slope, moments):
    centred = x - ops.mean(x, axis=(0, 1, 2), keepdims=True)
    return centred / raw(ops.sqrt(ops.mean(centred * centred, axis=(0, 1, 2)) + eps)) * gamma + beta


own("variance held fixed in batch norm's composite", ROWS["batch_norm"].function, ROWS["batch_norm"].draw, 1,
    lambda: attribute(batch_norm_fused, "composite", _fixed_variance))  # fmt: skip


def _linear(gy, y, x, w, b, *, needs, slope):
    h = gy * np.where(y > 0, 1, slope)
    return h @ w.T, x.T @ gy, h.sum(0)


own("activation left out of a weight's gradient", ROWS["linear-leaky"].function, ROWS["linear-leaky"].draw, 1,
    lambda: attribute(linear_fused, "backward", _linear))  # fmt: skip
own("a detached mean", lambda x: (x - raw(ops.mean(x, axis=-1, keepdims=True))) ** 2, table.normal((3, 4)))
own("a detached intermediate", lambda x: ops.tanh(x) * raw(ops.exp(x)), table.normal((4,)))
own("a tensor used twice counts once", lambda x: x * x, table.normal((3,)), plant=forgetful_engine)
own("layer norm that detaches its statistics", lambda x, c, b: normalise(raw(x), c, b, axes=-1, eps=1e-3) + 0 * x,
    table.normal((2, 4), (4,), (4,)))  # fmt: skip

# ------------------------------------------------------------------------------------------------- ops of their own


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def logsumexp(x):
    return np.log(np.exp(x).sum(-1))


def cross_entropy(x):
    return -np.log(softmax(x))[..., 0]


def rounded(x):
    return np.round(4 * x) / 4


def square(x):
    return x * x


def cube(x):
    return x**3


draw = table.normal((3, 4))
own("softmax without its coupling term", op_of(softmax, x=lambda g, y, x: g * y), draw)
own("softmax with the diagonal of its Jacobian alone", op_of(softmax, x=lambda g, y, x: g * y * (1 - y)), draw)
own("softmax by the rule zero", op_of(softmax, x=lambda g, y, x: g * 0.0), draw)
own("logsumexp without max subtraction",
    op_of(logsumexp, x=lambda g, y, x: g.reshape(-1, 1) * ops.exp(x - y.reshape(-1, 1))),
    lambda rng: [800 + rng.normal(size=(3, 4))])  # fmt: skip
own("cross-entropy without its label", op_of(cross_entropy, x=lambda g, y, x: g.reshape(-1, 1) * ops.softmax(x)), draw)
own("straight-through rounding", op_of(rounded, x=lambda g, y, x: g), lambda rng: [rng.integers(-4, 5, 6) / 4 + 0.03])
_mask = np.random.default_rng(0)
own("dropout's mask drawn again in the derivative", op_of(
    lambda x: x * (np.random.default_rng(1).random(x.shape) < 0.5),
    x=lambda g, y, x: g * Tensor((_mask.random(x.shape) < 0.5) * 1.0)), table.normal((8, 8)))  # fmt: skip

# ------------------------------------------------------------------- right at order 1: raw arrays inside a VJP

planted("raw y in tanh", ops.tanh, "tanh", 2, x=lambda g, y, x: g * raw(1 - y * y))
planted("raw x in log", ops.log, "log", 2, x=lambda g, y, x: g / raw(x))
planted("raw gy", ops.tanh, "tanh", 2, x=lambda g, y, x: raw(g) * (1 - y * y))
planted("raw factor in a product", ops.multiply, "multiply", 2, a=lambda g, y, a, b: g * raw(b))
planted("raw weights in a convolution", conv2d, _down, 2,
        x=lambda g, y, x, w, **o: conv_transpose2d(g, raw(w), **o))  # fmt: skip
planted("raw images in a weight gradient", conv2d, _down, 2,
        w=lambda g, y, x, w, **o: conv2d_weight(raw(x), g, kernel_size=4, **o))  # fmt: skip
planted("raw half of sigmoid's product", ops.sigmoid, "sigmoid", 2, x=lambda g, y, x: g * y * raw(1 - y))
planted("a wrong op inside a right VJP", multiply, row(ops.exp, (3,)), 2, a=lambda g, y, a, b: g * 2 * b)
own("raw array two derivatives down",
    op_of(cube, x=lambda g, y, x: g * op_of(square, x=lambda g, y, x: g * raw(2 * x))(x) * 3),
    table.normal((4,)), 3)  # fmt: skip
