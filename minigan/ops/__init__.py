"""The differentiable ops, and the operators of Tensor that stand for them.

    shape.py        reshape, transpose, indexing, joining, padding
    elementwise.py  arithmetic, exp, log, activations, dropout
    reduce.py       sum, mean, max, logsumexp, softmax
    matmul.py       matrix products
    conv.py         conv2d, conv_transpose2d, conv2d_weight
    norm.py         batch, layer and instance norm
    pool.py         average pooling, nearest upsampling
    table.py        every op with sample inputs: what the tests, the checker and the benchmark walk

To add an op: write it in the room that fits, export it here, give it a row in table.py. The tests do the rest.
"""

import math

from ..autograd import as_tensor
from ..tensor import Tensor
from .conv import conv2d, conv2d_weight, conv_transpose2d
from .elementwise import (
    abs,
    add,
    clip,
    divide,
    dropout,
    exp,
    leaky_relu,
    log,
    maximum,
    minimum,
    multiply,
    negative,
    power,
    relu,
    sigmoid,
    softplus,
    sqrt,
    subtract,
    tanh,
    where,
)
from .matmul import linear, matmul
from .norm import batch_norm, instance_norm, layer_norm
from .pool import avg_pool2d, upsample_nearest2d
from .reduce import log_softmax, logsumexp, max, mean, softmax, sum
from .shape import (
    broadcast_to,
    concatenate,
    copy_to,
    getitem,
    pad,
    reshape,
    stack,
    sum_to,
    swapaxes,
    take,
    transpose,
)

__all__ = [
    "abs", "add", "avg_pool2d", "batch_norm", "broadcast_to", "clip", "concatenate", "conv2d", "conv2d_weight",
    "conv_transpose2d", "copy_to", "divide", "dropout", "exp", "getitem", "instance_norm", "layer_norm", "leaky_relu",
    "linear", "log", "log_softmax", "logsumexp", "matmul", "max", "maximum", "mean", "minimum", "multiply", "negative",
    "pad", "power", "relu", "reshape", "sigmoid", "softmax", "softplus", "sqrt", "stack", "subtract", "sum", "sum_to",
    "swapaxes", "take", "tanh", "transpose", "upsample_nearest2d", "where",
]  # fmt: skip


def _power(x, exponent):
    if isinstance(exponent, Tensor):
        return exp(multiply(log(x), exponent))
    return power(x, exponent=exponent)


def _shape_of(arguments):
    return tuple(arguments[0]) if len(arguments) == 1 and not isinstance(arguments[0], int) else arguments


def _to(x, device=None, dtype=None):
    if x.op is None or (device in (None, x.device) and dtype in (None, x.dtype)):
        return _to_leaf(x, device, dtype)
    return copy_to(x, device=device, dtype=dtype)


_to_leaf = Tensor.to
_to.__doc__ = "The same numbers on another device or in another dtype; a leaf stays a leaf."

Tensor.__add__ = lambda a, b: add(a, b)
Tensor.__radd__ = lambda a, b: add(b, a)
Tensor.__sub__ = lambda a, b: subtract(a, b)
Tensor.__rsub__ = lambda a, b: subtract(b, a)
Tensor.__mul__ = lambda a, b: multiply(a, b)
Tensor.__rmul__ = lambda a, b: multiply(b, a)
Tensor.__truediv__ = lambda a, b: divide(a, b)
Tensor.__rtruediv__ = lambda a, b: divide(b, a)
Tensor.__matmul__ = lambda a, b: matmul(a, as_tensor(b, like=a))
Tensor.__rmatmul__ = lambda a, b: matmul(as_tensor(b, like=a), a)
Tensor.__neg__ = lambda a: negative(a)
Tensor.__abs__ = lambda a: abs(a)
Tensor.__pow__ = _power
Tensor.__rpow__ = lambda x, base: exp(multiply(x, math.log(base)))
Tensor.__getitem__ = lambda x, index: getitem(x, index=_plain_index(index))
Tensor.__gt__ = lambda a, b: Tensor(a.data > as_tensor(b, like=a).data)
Tensor.__lt__ = lambda a, b: Tensor(a.data < as_tensor(b, like=a).data)
Tensor.__ge__ = lambda a, b: Tensor(a.data >= as_tensor(b, like=a).data)
Tensor.__le__ = lambda a, b: Tensor(a.data <= as_tensor(b, like=a).data)
Tensor.to = _to
Tensor.T = property(lambda x: transpose(x))
Tensor.reshape = lambda x, *shape: reshape(x, shape=_shape_of(shape))
Tensor.transpose = lambda x, *axes: transpose(x, axes=_shape_of(axes) or None)
Tensor.sum = lambda x, axis=None, keepdims=False: sum(x, axis=axis, keepdims=keepdims)
Tensor.mean = lambda x, axis=None, keepdims=False: mean(x, axis=axis, keepdims=keepdims)
Tensor.max = lambda x, axis=None, keepdims=False: max(x, axis=axis, keepdims=keepdims)


def _plain_index(index):
    if isinstance(index, tuple):
        return tuple(i.data if isinstance(i, Tensor) else i for i in index)
    return index.data if isinstance(index, Tensor) else index
