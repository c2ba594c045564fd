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

import math

import numpy as np
from numba.extending import register_jitable

from . import memory
from .jit import SMALL, Kernel, shares
from .tile import cast, peek, poke, read, scalar, unpack

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


@register_jitable
def add_parts(zero, work, parts, length, channels, totals, size):
    """totals = (Σ of the first, Σ of the second sums) of every channel over the parts and their pixels, in float64."""
    for c in range(2 * channels):
        poke(totals, c, 0.0)
    for row in range(2 * parts):
        total = totals + 8 * channels * (row % 2)
        for start in range(0, length, channels):
            source = work + size * (row * length + start)
            for c in range(channels):
                poke(total, c, peek(0.0, total, c) + read(zero, source, c))


@register_jitable
def repeat(zero, rows, count, length, channels):
    """The first `channels` numbers of each row, over and over to its end."""
    for row in range(count):
        for k in range(row * length + channels, (row + 1) * length):
            poke(rows, k, peek(zero, rows, k - channels))


@Kernel
def settle_moments(zero, table, task):
    """moments = (μ, σ²) from the sums around `origin`."""
    work, parts, length, channels, totals, count, origin, moments, size = unpack(table, 9)
    add_parts(zero, work, parts, length, channels, totals, size)
    for c in range(channels):
        shift = peek(0.0, totals, c) / count
        poke(moments, c, cast(zero, read(zero, origin, c) + shift))
        poke(moments, channels + c, cast(zero, max(peek(0.0, totals, channels + c) / count - shift * shift, 0.0)))
    return 0


@Kernel
def coefficients(zero, table, task):
    """rows = μ, a = γ / sqrt(σ² + ε) and β of the channels, each repeated for every pixel of a row."""
    moments, gamma, beta, numbers, rows, length, channels = unpack(table, 7)
    eps = scalar(0.0, numbers, 2)
    for c in range(channels):
        poke(rows, c, read(zero, moments, c))
        a = read(zero, gamma, c) / math.sqrt(read(zero, moments, channels + c) + eps)
        poke(rows, length + c, cast(zero, a))
        poke(rows, 2 * length + c, read(zero, beta, c))
    repeat(zero, rows, 3, length, channels)
    return 0


@Kernel
def settle_gradient(zero, table, task):
    """gγ and gβ from the sums, and rows = b, c: the coefficients of x - μ and of 1 in gx."""
    work, parts, length, channels, totals, count, moments, a, numbers, g_gamma, g_beta, rows, size = unpack(table, 13)
    eps = scalar(0.0, numbers, 2)
    add_parts(zero, work, parts, length, channels, totals, size)
    for c in range(channels):
        inverse = 1 / math.sqrt(read(zero, moments, channels + c) + eps)
        shift, scale = peek(0.0, totals, c), peek(0.0, totals, channels + c) * inverse
        poke(g_beta, c, cast(zero, shift))
        poke(g_gamma, c, cast(zero, scale))
        poke(rows, c, cast(zero, -read(zero, a, c) * inverse * scale / count))
        poke(rows, length + c, cast(zero, -read(zero, a, c) * shift / count))
    repeat(zero, rows, 2, length, channels)
    return 0


def batch_norm_moments(x):
    """(2, C): μ = mean of x and σ² = mean of (x - μ)², over all axes but the last"""
    x, (rows, length, _), parts = _rows(x)
    channels = x.shape[-1]
    origin = np.empty((length // channels, channels), x.dtype)
    origin[:] = x.reshape(-1, channels)[0]
    work, totals = _sums(x.dtype, parts, length, channels)
    add_up(
        x.dtype, parts, memory.address(x), rows, length, memory.address(origin), memory.address(work), x.itemsize, parts
    )
    moments = np.empty((2, channels), x.dtype)
    settle_moments(
        x.dtype, 1, memory.address(work), parts, length, channels, memory.address(totals), x.size // channels,
        memory.address(origin), memory.address(moments), x.itemsize,
    )  # fmt: skip
    return moments


def batch_norm(x, gamma, beta, *, eps, slope, moments):
    """leaky_relu(γ · x̂ + β),  x̂ = (x - μ) / sqrt(σ² + ε)"""
    x, (rows, length, height), _ = _rows(x)
    y, y_image, y_row = result(x)
    numbers = np.array([slope, 1.0, eps])
    mu_a_beta = _coefficients(x, length, gamma, beta, moments, numbers)
    tasks = shares(x.size)
    normalise(
        x.dtype, tasks, memory.address(x), memory.address(y), rows, length, height, y_image, y_row,
        *_addresses(mu_a_beta), memory.address(numbers), x.itemsize, tasks,
    )  # fmt: skip
    return y


def batch_norm_backward(gy, x, gamma, beta, *, eps, slope, moments, needs_x=True):
    """(gx, gγ, gβ): see ../reference.py:batch_norm_backward"""
    x, (rows, length, height), parts = _rows(x)
    gy, channels, moments = np.ascontiguousarray(gy), x.shape[-1], np.ascontiguousarray(moments)
    numbers = np.array([slope, 1.0, eps])
    mu_a_beta = _coefficients(x, length, gamma, beta, moments, numbers)
    tables = _addresses(mu_a_beta)
    work, totals = _sums(x.dtype, parts, length, channels)
    add_up_gradient(
        x.dtype, parts, memory.address(gy), memory.address(x), rows, length, *tables, memory.address(numbers),
        memory.address(work), x.itemsize, parts,
    )  # fmt: skip
    g_gamma, g_beta = np.empty(channels, x.dtype), np.empty(channels, x.dtype)
    b_c = np.empty((2, length), x.dtype)
    settle_gradient(
        x.dtype, 1, memory.address(work), parts, length, channels, memory.address(totals), x.size // channels,
        memory.address(moments), tables[1], memory.address(numbers), memory.address(g_gamma), memory.address(g_beta),
        memory.address(b_c), x.itemsize,
    )  # fmt: skip
    gx = None
    if needs_x:
        gx, y_image, y_row = result(x)
        tasks = shares(x.size)
        differentiate(
            x.dtype, tasks, memory.address(gy), memory.address(x), memory.address(gx), rows, length, height, y_image,
            y_row, *tables, *_addresses(b_c), memory.address(numbers), x.itemsize, tasks,
        )  # fmt: skip
    return gx, g_gamma, g_beta


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


def _sums(dtype, parts, length, channels):
    """Room for the two sums of every part, (parts, 2, length), and for their totals."""
    return np.empty((parts, 2, length), dtype), np.empty((2, channels))


def _coefficients(x, length, gamma, beta, moments, numbers):
    """μ, a and β as rows, (3, length)."""
    gamma, beta, moments = map(np.ascontiguousarray, (gamma, beta, moments))
    rows = np.empty((3, length), x.dtype)
    coefficients(
        x.dtype, 1, memory.address(moments), memory.address(gamma), memory.address(beta), memory.address(numbers),
        memory.address(rows), length, gamma.size,
    )  # fmt: skip
    return rows


def _addresses(rows):
    """The address of each row of a contiguous matrix."""
    start, step = memory.address(rows), rows.strides[0]
    return [start + step * i for i in range(len(rows))]
