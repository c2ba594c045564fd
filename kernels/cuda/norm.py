"""Batch norm on a GPU, and its gradient.

Twins: ../reference.py, the same names.  Stands on backends.py. Read batch_norm.cu next.
"""

from typing import NamedTuple

import numpy as np

from ..rounding import real
from .backends import backend_of, blocks, int32

THREADS, LANES, LINES = 256, 32, 32  # as in batch_norm.cu
EACH = 4  # rows that a thread takes at least, if there are so many


def batch_norm_moments(x):
    """(2, C): μ = mean of x and σ² = mean of (x - μ)², over all axes but the last"""
    backend = backend_of(x)
    x, rows, channels = _rows(backend, x)
    sizes = int32("batch_norm_moments", rows, channels)
    layout = _layout(backend, rows, channels, x)
    parts, y = (backend.empty((*few, 2, channels), real(x.dtype)) for few in ((layout.shares,), ()))
    layout.run(backend, "batch_norm_sums", [x, parts, *sizes, layout.wide])
    _add_up(backend, "batch_norm_moments", [x, parts, np.int32(len(parts)), y, *sizes], x)
    return y


def batch_norm(x, gamma, beta, *, eps, slope, moments):
    """leaky_relu(γ · x̂ + β),  x̂ = (x - μ) / sqrt(σ² + ε)"""
    backend = backend_of(x, gamma, beta, moments)
    x, rows, channels = _rows(backend, x)
    y = backend.empty(x.shape, x.dtype)
    norm = _norm(backend, x, gamma, beta, moments, rows, channels, eps, slope)
    layout = _layout(backend, rows, channels, x, y)
    layout.run(backend, "batch_norm", [x, y, layout.wide, *norm])
    return y


def batch_norm_backward(gy, x, gamma, beta, *, eps, slope, moments, needs_x=True):
    """(gx, gγ, gβ): see ../reference.py:batch_norm_backward"""
    backend = backend_of(gy, x, gamma, beta, moments)
    x, rows, channels = _rows(backend, x)
    gy = backend.xp.ascontiguousarray(gy)
    norm = _norm(backend, x, gamma, beta, moments, rows, channels, eps, slope)
    layout = _layout(backend, rows, channels, x, gy)
    parts, gradients = (backend.empty((*few, 2, channels), real(x.dtype)) for few in ((layout.shares,), ()))
    layout.run(backend, "batch_norm_gradient_sums", [gy, x, parts, layout.wide, *norm])
    _add_up(backend, "batch_norm_gradients", [parts, np.int32(len(parts)), gradients, *norm], x)
    gx = None
    if needs_x:
        gx = backend.empty(x.shape, x.dtype)
        layout.run(backend, "batch_norm_backward", [gy, x, gradients, gx, layout.wide, *norm])
    return gx, gradients[0], gradients[1]


def batch_norm_running(moments, mean, var, *, momentum, count):
    """mean ← (1-m)·mean + m·μ,  var ← (1-m)·var + m·σ²·M/(M-1): one launch"""
    backend, number = backend_of(moments, mean, var), mean.dtype.type
    numbers = number(1 - momentum), number(momentum), number(count / (count - 1))
    args = [moments, mean, var, *int32("batch_norm_running", mean.size), *numbers]
    backend.run("batch_norm", "batch_norm_running", (blocks(mean.size, 256),), (256,), args, mean.dtype)


class Layout(NamedTuple):
    """How the rows and channels of an array are dealt out: how many shares of the rows, and whether by 16 bytes."""

    grid: tuple[int, int]
    block: tuple[int, int]
    wide: np.int32

    @property
    def shares(self):
        return self.grid[1]

    def run(self, backend, kernel, args):
        backend.run("batch_norm", kernel, self.grid, self.block, args, args[0].dtype)


def _layout(backend, rows, channels, *arrays):
    """As many threads along the channels as there are runs of them, the other threads down the rows."""
    itemsize = arrays[0].itemsize
    run = 16 // real(arrays[0].dtype).itemsize
    wide = channels % run == 0 and all(backend.address(array) % (run * itemsize) == 0 for array in arrays)
    runs = channels // run if wide else channels
    lanes = min(LANES, 1 << (runs - 1).bit_length())
    across, lines = blocks(runs, lanes), THREADS // lanes
    shares = max(1, min(blocks(rows, EACH * lines), blocks(4 * backend.processors, across), 1024))
    return Layout((across, shares), (lanes, lines), np.int32(wide))


def _add_up(backend, kernel, args, x):
    """Run a kernel that adds up shares: a block for every LANES channels."""
    backend.run("batch_norm", kernel, (blocks(x.shape[-1], LANES),), (LANES, LINES), args, x.dtype)


def _rows(backend, x):
    x = backend.xp.ascontiguousarray(x)
    return x, x.size // x.shape[-1], x.shape[-1]


def _norm(backend, x, gamma, beta, moments, rows, channels, eps, slope):
    """The arguments that batch_norm.cu calls NORM."""
    dtype = real(x.dtype)
    arrays = [backend.xp.ascontiguousarray(array, dtype) for array in (gamma, beta, moments)]
    return [*arrays, *int32("batch_norm", rows, channels), dtype.type(eps), dtype.type(slope)]
