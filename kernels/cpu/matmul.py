"""Matrix products on the tile of the convolutions, so that no BLAS thread ever wakes up beside ours.

A row-major A is a gather whose windows are its rows; a column-major A (the transpose that a VJP asks for) is a sum of
outer products over its columns. Neither is copied.

Twin: ../reference.py:matmul.  Stands on gemm.py.
"""

import numpy as np

from . import memory
from .gemm import packed_panels, run_gather, run_outer
from .images import strides


def matmul(a, b):
    """y[..,m,n] = Σ_k a[..,m,k] · b[..,k,n]"""
    if a.ndim == b.ndim == 2:
        y = memory.empty((a.shape[0], b.shape[1]), a.dtype)
        _into(y, a, b)
        return y
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    y = memory.empty((*batch, a.shape[-2], b.shape[-1]), a.dtype)
    a, b = np.broadcast_to(a, (*batch, *a.shape[-2:])), np.broadcast_to(b, (*batch, *b.shape[-2:]))
    for index in np.ndindex(*batch):
        _into(y[index], a[index], b[index])
    return y


def _into(y, a, b):
    m, k = a.shape
    n = b.shape[1]
    if not (m and k and n):
        y[...] = 0
        return
    (a_row, a_step), (b_row, b_step) = strides(a), strides(b)
    if a_step != 1 and a_row == 1 and m > 1:
        if b_step != 1 and n > 1:
            b = np.ascontiguousarray(b)
            b_row = n
        a, b, y = _addresses(a, b, y)
        return run_outer(y[1], a[0], b[0], y[0], (1, 1, k), (0, 0, a_step), (0, 0, b_row), np.arange(m), n)
    if a_step != 1 and k > 1:
        a = np.ascontiguousarray(a)
        a_row = k
    panels = packed_panels(b, [0], k, b_row, n, b_step)
    a, y = _addresses(a, y)
    return run_gather(y[1], a[0], panels, y[0], (m, 1, 1), (a_row, 0, 0), (n, 0, 0), 1, 0, k, n)


def _addresses(*arrays):
    return [(memory.address(x), x.dtype, x) for x in arrays]
