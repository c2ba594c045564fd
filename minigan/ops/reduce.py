"""Reductions: sum, mean, max and the stable logsumexp and softmax that stand on them.

A sum's VJP broadcasts gy back over the axes that were summed; a maximum sends it to the element that won.

Stands on shape.py and elementwise.py. Read matmul.py next.
"""

from ..autograd import as_tensor, op
from ..device import array_module
from ..tensor import Tensor
from .elementwise import divide, exp, log, multiply, subtract
from .shape import broadcast_to, reshape


def _axes(x, axis):
    if axis is None:
        return tuple(range(x.ndim))
    return tuple(a % x.ndim for a in (axis if isinstance(axis, tuple | list) else (axis,)))


def _keep(gy, x, axis):
    """gy with the reduced axes put back as length 1, so that it broadcasts against x."""
    axes = _axes(x, axis)
    return reshape(gy, shape=tuple(1 if i in axes else n for i, n in enumerate(x.shape)))


@op
def sum(x, *, axis=None, keepdims=False):
    """Sum over all elements, an axis or a tuple of axes."""
    return array_module(x).asarray(x.sum(axis=axis, keepdims=keepdims))


@op
def mean(x, *, axis=None, keepdims=False):
    """Arithmetic mean over all elements, an axis or a tuple of axes."""
    return array_module(x).asarray(x.mean(axis=axis, keepdims=keepdims))


@op
def max(x, *, axis=None, keepdims=False):
    """Largest element; where several are equal they share the gradient."""
    return array_module(x).asarray(x.max(axis=axis, keepdims=keepdims))


def _count(x, axis):
    n = 1
    for a in _axes(x, axis):
        n *= x.shape[a]
    return n


def _winners(x, y, axis):
    """1/count at each largest element, else 0: piecewise constant in x."""
    won = x.data == y.data.reshape([1 if i in _axes(x, axis) else n for i, n in enumerate(x.shape)])
    return Tensor(won.astype(x.dtype) / won.sum(axis=_axes(x, axis), keepdims=True, dtype=x.dtype))


sum.defvjp(x=lambda gy, y, x, axis, keepdims: broadcast_to(_keep(gy, x, axis), shape=x.shape))
mean.defvjp(
    x=lambda gy, y, x, axis, keepdims: broadcast_to(multiply(_keep(gy, x, axis), 1 / _count(x, axis)), shape=x.shape)
)
max.defvjp(x=lambda gy, y, x, axis, keepdims: multiply(_keep(gy, x, axis), _winners(x, y, axis)))


def logsumexp(x, *, axis=None, keepdims=False):
    """log Σ e^x, without overflow: the largest element is taken out of the sum."""
    x = as_tensor(x)
    top = Tensor(x.data.max(axis=axis, keepdims=True))  # any constant gives the same value and the same gradient
    y = log(sum(exp(subtract(x, top)), axis=axis, keepdims=True)) + top
    return y if keepdims else reshape(y, shape=sum_shape(x, axis))


def sum_shape(x, axis):
    """The shape that is left when `axis` is reduced."""
    axes = _axes(x, axis)
    return tuple(n for i, n in enumerate(x.shape) if i not in axes)


def softmax(x, *, axis=-1):
    """e^x / Σ e^x along an axis, without overflow."""
    x = as_tensor(x)
    e = exp(subtract(x, Tensor(x.data.max(axis=axis, keepdims=True))))
    return divide(e, sum(e, axis=axis, keepdims=True))


def log_softmax(x, *, axis=-1):
    """x - logsumexp(x): the logarithm of softmax, which never rounds to log 0."""
    return subtract(x, logsumexp(x, axis=axis, keepdims=True))
