"""Matrix products, batched: matmul and the rule that its two VJPs are matrix products again.

Stands on kernels/ (`kernels.matmul`, the register tile that also serves the convolutions). Read conv.py next.
"""

from .. import kernels
from ..autograd import op
from .shape import reshape, swapaxes, unbroadcast


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
