"""Elementwise ops: arithmetic with broadcasting, exponentials, and the activations of GANs.

Every rule is the derivative from a table, times the incoming gradient gy. Where NumPy broadcast an input, its VJP sums
over the axes that were stretched (`unbroadcast`), because the transpose of copying is summing.

Stands on autograd.py and NumPy's own loops; the activations of large images have a kernel. Read reduce.py next.
"""

import numpy as np

from .. import kernels
from ..autograd import op
from ..device import array_module
from ..tensor import Tensor
from .shape import broadcast_to, unbroadcast

LARGE = 1 << 14  # from here on an addition is worth a kernel: the two halves of D's weight gradients


@op
def add(a, b):
    """a + b, broadcast."""
    return a + b if a.size < LARGE else kernels.add(a, b)


@op
def subtract(a, b):
    """a - b, broadcast."""
    return a - b


@op
def multiply(a, b):
    """a · b, broadcast."""
    return a * b


@op
def divide(a, b):
    """a / b, broadcast."""
    return a / b


@op
def negative(x):
    """-x."""
    return -x


add.defvjp(a=lambda gy, y, a, b: unbroadcast(gy, a), b=lambda gy, y, a, b: unbroadcast(gy, b))
subtract.defvjp(a=lambda gy, y, a, b: unbroadcast(gy, a), b=lambda gy, y, a, b: unbroadcast(negative(gy), b))
multiply.defvjp(
    a=lambda gy, y, a, b: unbroadcast(multiply(gy, b), a), b=lambda gy, y, a, b: unbroadcast(multiply(gy, a), b)
)
divide.defvjp(
    a=lambda gy, y, a, b: unbroadcast(divide(gy, b), a),
    b=lambda gy, y, a, b: unbroadcast(negative(multiply(gy, divide(y, b))), b),
)
negative.defvjp(x=lambda gy, y, x: negative(gy))


@op
def power(x, *, exponent):
    """x ** exponent for a constant exponent. A negative base wants an integer exponent."""
    return x**exponent


@op
def exp(x):
    """e ** x."""
    return array_module(x).exp(x)


@op
def log(x):
    """Natural logarithm."""
    return array_module(x).log(x)


@op
def sqrt(x):
    """Square root. Its derivative is infinite at 0: add a small eps inside where 0 can occur."""
    return array_module(x).sqrt(x)


def _power_vjp(gy, y, x, exponent):
    if exponent == 0:  # x ** -1 would be infinite at 0
        return multiply(gy, 0.0)
    return multiply(gy, multiply(power(x, exponent=exponent - 1), exponent))


power.defvjp(x=_power_vjp)
exp.defvjp(x=lambda gy, y, x: multiply(gy, y))
log.defvjp(x=lambda gy, y, x: divide(gy, x))
sqrt.defvjp(x=lambda gy, y, x: divide(multiply(gy, 0.5), y))


def _constant(array, like):
    """A piecewise constant factor (a mask, a sign): its own derivative is 0 wherever it exists."""
    return Tensor(array.astype(like.dtype))


@op
def abs(x):
    """|x|. At the kink the gradient is 0."""
    return array_module(x).abs(x)


@op
def clip(x, *, low, high):
    """x limited to [low, high]; the gradient is 0 where it is cut off."""
    return array_module(x).clip(x, low, high)


@op
def maximum(a, b):
    """The larger of a and b, broadcast. Where they are equal each gets half of the gradient."""
    return array_module(a).maximum(a, b)


@op
def minimum(a, b):
    """The smaller of a and b, broadcast. Where they are equal each gets half of the gradient."""
    return array_module(a).minimum(a, b)


@op
def where(condition, a, b):
    """a where condition holds, else b, broadcast. condition: a boolean tensor or array, not differentiated."""
    return array_module(condition).where(condition, a, b)


def _share(x, other):
    """The part of the gradient that goes to x when x > other wins: 1, 0, or one half in a tie."""
    return _constant((x.data > other.data) + 0.5 * (x.data == other.data), x)


abs.defvjp(x=lambda gy, y, x: multiply(gy, _constant(array_module(x.data).sign(x.data), x)))
clip.defvjp(x=lambda gy, y, x, low, high: multiply(gy, _constant((x.data >= low) & (x.data <= high), x)))
maximum.defvjp(
    a=lambda gy, y, a, b: unbroadcast(multiply(gy, _share(a, b)), a),
    b=lambda gy, y, a, b: unbroadcast(multiply(gy, _share(b, a)), b),
)
minimum.defvjp(
    a=lambda gy, y, a, b: unbroadcast(multiply(gy, _share(b, a)), a),
    b=lambda gy, y, a, b: unbroadcast(multiply(gy, _share(a, b)), b),
)
where.defvjp(
    a=lambda gy, y, condition, a, b: unbroadcast(where(condition, gy, 0.0), a),
    b=lambda gy, y, condition, a, b: unbroadcast(where(condition, 0.0, gy), b),
)


@op
def tanh(x):
    """Hyperbolic tangent."""
    return array_module(x).tanh(x)


@op
def sigmoid(x):
    """σ(x) = 1 / (1 + e^-x), without overflow, and with all digits where it is next to 0: e^x / (1 + e^x) for x < 0.

    (½ + ½ tanh(x/2) would do it in one call, and be exactly 0 from -17 on: the slope that a sure D leaves to G.)
    """
    xp = array_module(x)
    e = xp.exp(-xp.abs(x))
    return xp.maximum(x >= 0, e) / (1 + e)


@op
def softplus(x):
    """log(1 + e^x), without overflow. softplus(-l) = -log σ(l): the cross-entropy of a logit."""
    return array_module(x).logaddexp(x, x.dtype.type(0))


@op
def leaky_relu(x, *, slope=0.2):
    """x where x > 0, else slope·x."""
    return kernels.leaky_relu(x, slope=slope)


@op
def leaky_relu_gradient(gy, x, *, slope):
    """gy where x > 0, else slope·gy: linear in gy, piecewise constant in x."""
    return kernels.leaky_relu_backward(gy, x, slope=slope)


def relu(x):
    """max(x, 0): the leaky ReLU of slope 0."""
    return leaky_relu(x, slope=0.0)


tanh.defvjp(x=lambda gy, y, x: multiply(gy, subtract(1.0, multiply(y, y))))
sigmoid.defvjp(x=lambda gy, y, x: multiply(gy, multiply(y, sigmoid(negative(x)))))  # 1 - y would lose its digits
softplus.defvjp(x=lambda gy, y, x: multiply(gy, sigmoid(x)))
# x only says where, which is piecewise constant: cut from the graph, or a second derivative would carry zeros back
# through every layer below.
leaky_relu.defvjp(x=lambda gy, y, x, slope: leaky_relu_gradient(gy, x.detach(), slope=slope))
leaky_relu_gradient.defvjp(
    gy=lambda g, y, gy, x, slope: leaky_relu_gradient(g, x, slope=slope),
    x=lambda g, y, gy, x, slope: broadcast_to(multiply(_zero(x), 0.0), shape=x.shape),
)


def _zero(x):
    return Tensor(array_module(x.data).zeros((), x.dtype))


def dropout(x, *, rate, rng):
    """x with each element dropped with probability `rate`, the others scaled by 1 / (1 - rate).

    rng: the numpy.random.Generator that draws the mask.  Source: Srivastava et al. 2014.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"dropout: rate must be in [0, 1), got {rate}")
    kept = rng.random(x.shape, dtype=np.float32) >= rate
    xp = array_module(x.data)
    return multiply(x, Tensor(xp.asarray(kept).astype(x.dtype) / x.dtype.type(1 - rate)))
