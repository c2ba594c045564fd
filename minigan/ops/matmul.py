"""Matrix products, batched: matmul, whose two VJPs are matrix products again, and the linear layer made of one.

Stands on kernels/ (`kernels.matmul`, the register tile that also serves the convolutions). Read conv.py next.
"""

from .. import kernels
from ..autograd import as_tensor, fused, op
from .elementwise import leaky_relu, leaky_relu_gradient
from .shape import in_dtype, reshape, swapaxes, unbroadcast


@op
def matrix_product(a, b):
    """(..., M, K) · (..., K, N) → (..., M, N), batch axes broadcast."""
    return kernels.matmul(a, b)


matrix_product.defvjp(
    a=lambda gy, y, a, b: unbroadcast(matrix_product(gy, swapaxes(b, -1, -2)), a),
    b=lambda gy, y, a, b: unbroadcast(matrix_product(swapaxes(a, -1, -2), gy), b),
)


def matmul(a, b):
    """a @ b as in NumPy: matrices (..., M, K) · (..., K, N); a vector on either side is a row or a column."""
    if not a.ndim or not b.ndim:
        raise ValueError(f"matmul: wants at least one axis on each side, got {a.shape} and {b.shape}")
    left = a if a.ndim > 1 else reshape(a, shape=(1, a.shape[0]))
    right = b if b.ndim > 1 else reshape(b, shape=(b.shape[0], 1))
    y = matrix_product(left, right)
    if a.ndim == 1 or b.ndim == 1:
        rows = () if a.ndim == 1 else y.shape[-2:-1]
        y = reshape(y, shape=y.shape[:-2] + rows + (() if b.ndim == 1 else y.shape[-1:]))
    return y


def linear_composite(x, w, b, *, slope):
    """What `linear_fused` computes, in ops that are differentiable to any order."""
    y = matrix_product(x, w) + in_dtype(b, x.dtype)
    return y if slope == 1.0 else leaky_relu(y, slope=slope)


@fused(linear_composite)
def linear_fused(x, w, b, *, slope):
    """A linear layer and the leaky ReLU behind it, in one."""
    return kernels.linear(x, w, b, slope=slope)


def _linear_backward(gy, y, x, w, b, *, needs, slope):
    return kernels.linear_backward(gy, y, x, w, slope=slope, needs=needs)


def _before_activation(gy, y, slope):
    """What comes back to x · w + b: y has its sign, and like leaky_relu's x only says where."""
    return gy if slope == 1.0 else leaky_relu_gradient(gy, y.detach(), slope=slope)


linear_fused.backward = _linear_backward
linear_fused.defvjp(
    x=lambda gy, y, x, w, b, slope: matrix_product(_before_activation(gy, y, slope), swapaxes(w, 0, 1)),
    w=lambda gy, y, x, w, b, slope: matrix_product(swapaxes(x, 0, 1), _before_activation(gy, y, slope)),
    b=lambda gy, y, x, w, b, slope: unbroadcast(in_dtype(_before_activation(gy, y, slope), b.dtype), b),
)


def linear(x, w, b, *, slope=1.0):
    """A linear layer, and optionally the activation behind it: leaky_relu(x · w + b).

    x  (..., K);  w  (K, M);  b  (M,)  →  (..., M)
    slope  1: no activation; 0: ReLU; between: leaky ReLU of that slope
    """
    x = as_tensor(x)
    if not slope >= 0:
        raise ValueError(f"linear: slope must be 0 or more, got {slope}")
    if x.ndim == 2:
        return linear_fused(x, w, b, slope=slope)
    rows = reshape(x, shape=(-1, x.shape[-1]))
    return reshape(linear_fused(rows, w, b, slope=slope), shape=(*x.shape[:-1], w.shape[1]))
