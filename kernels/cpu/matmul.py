"""Matrix products on the tile of the convolutions, so that no BLAS thread ever wakes up beside ours.

A row-major A is a gather whose windows are its rows; a column-major A (the transpose that a VJP asks for) is a sum of
outer products over its columns. Neither is copied.

Twin: ../reference.py:matmul.  Stands on gemm.py.
"""

import numpy as np

from . import memory
from .gemm import Job, packed_panels, run_gather, run_outer, run_product

OWN_PANELS = 1 << 18  # numbers of b up to which each task packs for itself


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
    (m, k), n = a.shape, b.shape[1]
    if not (m and k and n):
        y[...] = 0
    elif a.strides[1] == a.itemsize or k == 1:
        _rows_into(y, a, b)
    elif a.strides[0] == a.itemsize:
        if b.strides[1] != b.itemsize and n > 1:
            b = np.ascontiguousarray(b)
        steps = (0, 0, a.strides[1] // a.itemsize), (0, 0, b.strides[0] // b.itemsize)
        addresses = memory.address(a), memory.address(b), memory.address(y)
        run_outer(a.dtype, *addresses, (1, 1, k), *steps, np.arange(m), n)
    else:
        _rows_into(y, np.ascontiguousarray(a), b)


def _rows_into(y, a, b):
    (m, k), n = a.shape, b.shape[1]
    if n * k < OWN_PANELS:
        return run_product(a, b, y)
    panels = packed_panels(b, [0], k, b.strides[0] // b.itemsize, n, b.strides[1] // b.itemsize)
    steps = (a.strides[0] // a.itemsize, 0, 0), (n, 0, 0)
    return run_gather(panels, Job(memory.address(a), memory.address(y), 0, (m, 1, 1), *steps, 1, 0, k, n))
