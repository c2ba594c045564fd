"""Batch norm on a GPU, and its gradient.

Twins: ../reference.py, the same names.  Stands on backends.py. Read batch_norm.cu next.
"""

from .backends import backend_of, blocks, int32

LANES, LINES = 32, 8  # threads of a block: along the channels, down the rows
ROWS = 64  # that a block takes at least


def batch_norm_moments(x):
    """(2, C): μ = mean of x and σ² = mean of (x - μ)², over all axes but the last"""
    backend = backend_of(x)
    x, rows, channels = _rows(backend, x)
    parts = _sums(backend, "batch_norm_sums", (x,), x.dtype, rows, channels)
    y = backend.empty((2, channels), x.dtype)
    args = [x, parts, *int32("batch_norm_moments", len(parts)), y, *int32("batch_norm_moments", rows, channels)]
    backend.run("batch_norm", "batch_norm_moments", (blocks(channels, 256),), (256,), args, x.dtype)
    return y


def batch_norm(x, gamma, beta, *, eps, slope, moments):
    """leaky_relu(γ · x̂ + β),  x̂ = (x - μ) / sqrt(σ² + ε)"""
    backend = backend_of(x, gamma, beta, moments)
    x, rows, channels = _rows(backend, x)
    y = backend.empty(x.shape, x.dtype)
    norm = _norm(backend, x, gamma, beta, moments, rows, channels, eps, slope)
    grid = columns_grid(backend, rows, channels)
    backend.run("batch_norm", "batch_norm", grid, (LANES, LINES), [x, y, *norm], x.dtype)
    return y


def batch_norm_backward(gy, x, gamma, beta, *, eps, slope, moments, needs_x=True):
    """(gx, gγ, gβ): see ../reference.py:batch_norm_backward"""
    backend = backend_of(gy, x, gamma, beta, moments)
    x, rows, channels = _rows(backend, x)
    gy = backend.xp.ascontiguousarray(gy)
    norm = _norm(backend, x, gamma, beta, moments, rows, channels, eps, slope)
    parts = _sums(backend, "batch_norm_gradient_sums", (gy, x), x.dtype, rows, channels, norm)
    gradients = backend.empty((2, channels), x.dtype)
    args = [parts, *int32("batch_norm_backward", len(parts)), gradients, *norm]
    backend.run("batch_norm", "batch_norm_gradients", (blocks(channels, 256),), (256,), args, x.dtype)
    gx = None
    if needs_x:
        gx = backend.empty(x.shape, x.dtype)
        args = [gy, x, gradients, gx, *norm]
        grid = columns_grid(backend, rows, channels)
        backend.run("batch_norm", "batch_norm_backward", grid, (LANES, LINES), args, x.dtype)
    return gx, gradients[0], gradients[1]


def batch_norm_running(moments, mean, var, *, momentum, count):
    """mean ← (1-m)·mean + m·μ,  var ← (1-m)·var + m·σ²·M/(M-1): one launch"""
    backend, real = backend_of(moments, mean, var), mean.dtype.type
    numbers = real(1 - momentum), real(momentum), real(count / (count - 1))
    args = [moments, mean, var, *int32("batch_norm_running", mean.size), *numbers]
    backend.run("batch_norm", "batch_norm_running", (blocks(mean.size, 256),), (256,), args, mean.dtype)


def columns_grid(backend, rows, columns):
    """(blocks across the columns, shares of the rows) for blocks of LANES x LINES threads."""
    across = blocks(columns, LANES)
    return across, max(1, min(blocks(rows, ROWS), blocks(8 * backend.processors, across), 1024))


def _rows(backend, x):
    x = backend.xp.ascontiguousarray(x)
    return x, x.size // x.shape[-1], x.shape[-1]


def _norm(backend, x, gamma, beta, moments, rows, channels, eps, slope):
    """The arguments that batch_norm.cu calls NORM."""
    arrays = [backend.xp.ascontiguousarray(array, x.dtype) for array in (gamma, beta, moments)]
    return [*arrays, *int32("batch_norm", rows, channels), x.dtype.type(eps), x.dtype.type(slope)]


def _sums(backend, kernel, arrays, dtype, rows, channels, norm=()):
    """(shares, 2, C): what the blocks of a summing kernel leave."""
    grid = columns_grid(backend, rows, channels)
    parts = backend.empty((grid[1], 2, channels), dtype)
    rest = norm or int32(kernel, rows, channels)
    backend.run("batch_norm", kernel, grid, (LANES, LINES), [*arrays, parts, *rest], dtype)
    return parts
