"""Matrix products on a GPU: batches and transposes by strides.

Twin: ../reference.py:matmul.  Stands on product.py.  Read gemm.cu next.
"""

import numpy as np

from ..rounding import real
from .backends import backend_of
from .product import Product, choose, factors, multiply

LAYOUTS = {(True, False): "nn", (True, True): "nt", (False, False): "tn"}  # as gemm.cu names them


def matmul(a, b, *, version=None, exact=False):
    """y[..,m,n] = Σ_k a[..,m,k] · b[..,k,n]; exact: that of bf16 is float32"""
    backend = backend_of(a, b)
    xp, version = backend.xp, choose(backend, a.dtype, version)
    dtype = real(a.dtype) if exact else a.dtype
    a, b = factors(version, a, b)
    m, k, n = *a.shape[-2:], b.shape[-1]
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    y = backend.empty((*batch, m, n), dtype)
    if not y.size or not k:
        y[...] = 0
        return y
    (a, a_along), (b, b_along) = _matrices(xp, a, batch, sum_axis=2), _matrices(xp, b, batch, sum_axis=1)
    if (a_along, b_along) not in LAYOUTS:
        a, a_along = xp.ascontiguousarray(a), True
    (a_batch, a_row, a_column), (b_batch, b_row, b_column) = _steps(a), _steps(b)
    sizes = m, n, k, a_row, a_column, b_row, b_column, len(a), a_batch, b_batch
    name = f"gemm_{LAYOUTS[a_along, b_along]}" if version.startswith("tensor") else "gemm"
    product = Product(m, n, k, len(a), (a_along, b_along), narrow=False)
    return multiply(backend, "gemm", name, (a, b), sizes, y, product, version)


def _matrices(xp, a, batch, sum_axis):
    """(count, rows, columns), all batch axes in one; and whether neighbours lie along the axis that is summed over."""
    a = xp.broadcast_to(a, (*batch, *a.shape[-2:])).reshape(-1, *a.shape[-2:])
    if not (_unit(a, 1) or _unit(a, 2)):
        a = xp.ascontiguousarray(a)
    return a, _unit(a, sum_axis)


def _unit(a, axis):
    """Whether neighbours along the axis are neighbours in memory."""
    return a.strides[axis] == a.itemsize or a.shape[axis] == 1


def _steps(a):
    return [step // a.itemsize if size > 1 else 0 for step, size in zip(a.strides, a.shape)]
