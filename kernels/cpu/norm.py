"""Batch norm and the leaky ReLU behind it: two passes over memory forward, two backward.

    forward    1. moments        μ, σ² of every channel
               2. normalise      y = leaky((x - μ)·a + β),  a = γ / sqrt(σ² + ε)
    backward   1. sums           gβ = Σ h,  gγ = Σ h·x̂,  h = gy behind the activation, x̂ = (x - μ) / sqrt(σ² + ε)
               2. differentiate  gx = a·(h - gβ/M - x̂·gγ/M) = a·h + b·(x - μ) + c

An image row of W pixels and C channels is one stretch of W·C numbers; the channels' coefficients are repeated to that
length, so that every inner loop runs over contiguous memory. Sums are taken around the first pixel's values, in a fixed
number of parts that are added up in float64: nothing cancels, and the result does not depend on the threads.

Twins: ../reference.py, the same names.  Stands on jit.py and memory.py.
"""

import numpy as np

from . import memory
from .jit import SMALL, Kernel, shares
from .tile import peek, poke, read, scalar, unpack

PARTS = 16  # of a reduction over an array too large for one task


@Kernel
def add_up(zero, table, task):
    """sums[task] = per column: (Σ v, Σ v²), v = x - origin, over this task's rows; `work` holds float sums."""
    x, rows, length, origin, work, size, parts = unpack(table, 7)
    first = work + size * 2 * length * task
    second = first + size * length
    for k in range(2 * length):
        poke(first, k, zero)
    for r in range(rows * task // parts, rows * (task + 1) // parts):
        row = x + size * r * length
        for k in range(length):
            v = read(zero, row, k) - read(zero, origin, k)
            poke(first, k, peek(zero, first, k) + v)
            poke(second, k, peek(zero, second, k) + v * v)
    return 0


@Kernel
def normalise(zero, table, task):
    """y = leaky((x - μ)·a + β), rows of x dense, rows of y anywhere."""
    x, y, rows, length, height, y_image, y_row, mu, a, beta, numbers, size, parts = unpack(table, 13)
    slope = scalar(zero, numbers, 0)
    for r in range(rows * task // parts, rows * (task + 1) // parts):
        source = x + size * r * length
        target = y + size * (r // height * y_image + r % height * y_row)
        for k in range(length):
            v = (read(zero, source, k) - read(zero, mu, k)) * read(zero, a, k) + read(zero, beta, k)
            poke(target, k, v if v > zero else v * slope)
    return 0


@Kernel
def add_up_gradient(zero, table, task):
    """work[task] = per column: (Σ h, Σ h·(x - μ)) over this task's rows."""
    g, x, rows, length, mu, a, beta, numbers, work, size, parts = unpack(table, 11)
    slope, one = scalar(zero, numbers, 0), scalar(zero, numbers, 1)
    first = work + size * 2 * length * task
    second = first + size * length
    for k in range(2 * length):
        poke(first, k, zero)
    for r in range(rows * task // parts, rows * (task + 1) // parts):
        g_row, x_row = g + size * r * length, x + size * r * length
        for k in range(length):
            v = read(zero, x_row, k) - read(zero, mu, k)
            h = read(zero, g_row, k) * (one if v * read(zero, a, k) + read(zero, beta, k) > zero else slope)
            poke(first, k, peek(zero, first, k) + h)
            poke(second, k, peek(zero, second, k) + h * v)
    return 0


@Kernel
def differentiate(zero, table, task):
    """gx = a·h + b·(x - μ) + c, rows of g and x dense, rows of gx anywhere."""
    g, x, y, rows, length, height, y_image, y_row, mu, a, beta, b, c, numbers, size, parts = unpack(table, 16)
    slope, one = scalar(zero, numbers, 0), scalar(zero, numbers, 1)
    for r in range(rows * task // parts, rows * (task + 1) // parts):
        g_row, x_row = g + size * r * length, x + size * r * length
        target = y + size * (r // height * y_image + r % height * y_row)
        for k in range(length):
            v, scale = read(zero, x_row, k) - read(zero, mu, k), read(zero, a, k)
            h = read(zero, g_row, k) * (one if v * scale + read(zero, beta, k) > zero else slope)
            poke(target, k, scale * h + read(zero, b, k) * v + read(zero, c, k))
    return 0


def batch_norm_moments(x):
    """(2, C): μ = mean of x and σ² = mean of (x - μ)², over all axes but the last"""
    x, (rows, length, _), parts = _rows(x)
    channels = x.shape[-1]
    origin = x.reshape(-1, channels)[0]
    first, second = _reduced(add_up, x, rows, length, parts, _repeat(length, origin), channels)
    count = x.size // channels
    shift = first / count
    return np.stack([origin + shift, np.maximum(second / count - shift * shift, 0)]).astype(x.dtype)


def batch_norm(x, gamma, beta, *, eps, slope, moments):
    """leaky_relu(γ · x̂ + β),  x̂ = (x - μ) / sqrt(σ² + ε)"""
    x, (rows, length, height), _ = _rows(x)
    y, y_image, y_row = result(x)
    mu, a, _ = _coefficients(x, gamma, eps, moments)
    tables = _repeat(length, mu, a, beta)
    numbers = np.array([slope])
    tasks = shares(x.size)
    normalise(
        x.dtype, tasks, memory.address(x), memory.address(y), rows, length, height, y_image, y_row,
        *map(memory.address, tables), memory.address(numbers), x.itemsize, tasks,
    )  # fmt: skip
    return y


def batch_norm_backward(gy, x, gamma, beta, *, eps, slope, moments, needs_x=True):
    """(gx, gγ, gβ): see ../reference.py:batch_norm_backward"""
    x, (rows, length, height), parts = _rows(x)
    gy = np.ascontiguousarray(gy)
    mu, a, inverse = _coefficients(x, gamma, eps, moments)
    tables = _repeat(length, mu, a, beta)
    numbers = np.array([slope, 1.0])
    channels = x.shape[-1]
    g_beta, centred = _reduced(
        add_up_gradient, gy, rows, length, parts, (*tables, numbers), channels, also=(memory.address(x),)
    )
    g_gamma = centred * inverse
    gx = None
    if needs_x:
        count = x.size // channels
        gx, y_image, y_row = result(x)
        more = _repeat(length, (-a * inverse * g_gamma / count).astype(x.dtype), (-a * g_beta / count).astype(x.dtype))
        tasks = shares(x.size)
        differentiate(
            x.dtype, tasks, memory.address(gy), memory.address(x), memory.address(gx), rows, length, height, y_image,
            y_row, *map(memory.address, (*tables, *more, numbers)), x.itemsize, tasks,
        )  # fmt: skip
    return gx, g_gamma.astype(x.dtype), g_beta.astype(x.dtype)


def _rows(x):
    """x contiguous; (rows, numbers in a row, rows in an image); parts of a reduction over it."""
    x = np.ascontiguousarray(x)
    channels = x.shape[-1]
    length, height = (x.shape[2] * channels, x.shape[1]) if x.ndim == 4 else (channels, 1)
    return x, (x.size // length, length, height), 1 if x.size < SMALL else PARTS


def result(x):
    """(y, image stride, row stride) for a result of x's shape: images get a margin for the convolution that follows."""
    if x.ndim == 4 and x.nbytes >= memory.SMALL:
        y = memory.with_margin(x.shape, x.dtype)
        return y, y.strides[0] // y.itemsize, y.strides[1] // y.itemsize
    y = memory.empty_like(x)
    row = x.shape[2] * x.shape[3] if x.ndim == 4 else x.shape[-1]
    return y, row * (x.shape[1] if x.ndim == 4 else 1), row


def _coefficients(x, gamma, eps, moments):
    inverse = 1 / np.sqrt(moments[1].astype(np.float64) + eps)
    return moments[0].astype(x.dtype), (gamma * inverse).astype(x.dtype), inverse


def _repeat(length, *coefficients):
    """Each coefficient of the channels repeated for every pixel of a row."""
    repeated = []
    for c in coefficients:
        row = np.empty((length // c.size, c.size), c.dtype)  # five times as fast as np.tile
        row[:] = c
        repeated.append(row)
    return repeated


def _reduced(kernel, x, rows, length, parts, inputs, channels, also=()):
    """The two sums of a reducing kernel, (channels,) each, in float64."""
    work = np.empty((parts, 2, length // channels, channels), x.dtype)
    addresses = [memory.address(v) for v in inputs]
    kernel(
        x.dtype, parts, memory.address(x), *also, rows, length, *addresses, memory.address(work), x.itemsize, parts
    )
    return work.sum(axis=(0, 2), dtype=np.float64)
