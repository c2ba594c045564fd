"""Elementwise kernels on a GPU, and the linear layer.

Twins: ../reference.py, the same names.  Stands on backends.py and matmul.py. Read elementwise.cu next.
"""

import numpy as np

from ..rounding import real
from .backends import add_parts, backend_of, blocks, int32
from .matmul import matmul

LANES, LINES = 32, 8  # threads of a block: along the columns, down the rows
ROWS = 64  # that a block takes at least


def add(a, b):
    """a + b, of one shape"""
    return _each("add", a, b)


def leaky_relu(x, *, slope):
    """x where x > 0, else slope · x"""
    return _each("leaky_relu", x, slope=slope)


def leaky_relu_backward(gy, x, *, slope):
    """gy where x > 0, else slope · gy"""
    return _each("leaky_relu_backward", gy, x, slope=slope)


def linear(x, w, b, *, slope):
    """leaky_relu(x · w + b)"""
    backend = backend_of(x, w, b)
    y = matmul(x, w)
    b = backend.xp.ascontiguousarray(b, real(y.dtype))
    args = [y, b, *int32("linear", *y.shape), b.dtype.type(slope)]
    backend.run("elementwise", "bias_leaky_relu", _grid(backend, *y.shape), (LANES, LINES), args, y.dtype)
    return y


def linear_backward(gy, y, x, w, *, slope, needs):
    """(gx, gw, gb): see ../reference.py:linear_backward"""
    h = leaky_relu_backward(gy, y, slope=slope)
    return matmul(h, w.T) if needs[0] else None, matmul(x.T, h) if needs[1] else None, column_sums(h)


def column_sums(x):
    """y[c] = Σ_m x[m, c]"""
    backend = backend_of(x)
    grid = _grid(backend, *x.shape)
    parts, y = (backend.empty((*few, x.shape[1]), real(x.dtype)) for few in ((grid[1],), ()))
    backend.run("reduce", "column_sums", grid, (LANES, LINES), [x, parts, *int32("column_sums", *x.shape)], x.dtype)
    add_parts(backend, parts, y)
    return y


def _grid(backend, rows, columns):
    """(blocks across the columns, shares of the rows) for blocks of LANES x LINES threads."""
    across = blocks(columns, LANES)
    return across, max(1, min(blocks(rows, ROWS), blocks(8 * backend.processors, across), 1024))


def _each(kernel, *arrays, **options):
    backend = backend_of(*arrays)
    arrays = [backend.xp.ascontiguousarray(array) for array in arrays]
    x = arrays[0]
    y = backend.empty(x.shape, x.dtype)
    if x.size:
        args = [*arrays, y, np.int64(x.size), *(real(x.dtype).type(value) for value in options.values())]
        grid = min(blocks(x.size * x.itemsize, 16 * 256), 32 * backend.processors)
        backend.run("elementwise", kernel, (grid,), (256,), args, x.dtype)
    return y
