"""Elementwise kernels: leaky ReLU and its gradient, a linear layer's bias and activation, the sum of two gradients.

Results that are images come with a margin of zeros (memory.py), so that the convolution behind them copies nothing.

Twins: ../reference.py, the same names.  Stands on jit.py and memory.py.
"""

import numpy as np

from . import memory
from .jit import SMALL, Kernel, shares
from .matmul import matmul
from .norm import result
from .tile import peek, poke, read, scalar, unpack


@Kernel
def leaky_rows(zero, table, task):
    """y = g where x > 0, else slope·g; rows of x and g dense, rows of y anywhere."""
    g, x, y, rows, length, height, y_image, y_row, numbers, size, parts = unpack(table, 11)
    slope, one = scalar(zero, numbers, 0), scalar(zero, numbers, 1)
    for r in range(rows * task // parts, rows * (task + 1) // parts):
        g_row, x_row = g + size * r * length, x + size * r * length
        target = y + size * (r // height * y_image + r % height * y_row)
        for k in range(length):
            poke(target, k, read(zero, g_row, k) * (one if read(zero, x_row, k) > zero else slope))
    return 0


@Kernel
def shift_rows(zero, table, task):
    """y = leaky(y + b), in place; rows of y dense."""
    y, rows, length, b, numbers, size, parts = unpack(table, 7)
    slope, one = scalar(zero, numbers, 0), scalar(zero, numbers, 1)
    for r in range(rows * task // parts, rows * (task + 1) // parts):
        row = y + size * r * length
        for k in range(length):
            v = peek(zero, row, k) + read(zero, b, k)
            poke(row, k, v * (one if v > zero else slope))
    return 0


@Kernel
def mask_rows(zero, table, task):
    """h = g where y > 0, else slope·g, and the sum of its rows; one task, rows dense."""
    g, y, h, rows, length, total, numbers, size = unpack(table, 8)
    slope, one = scalar(zero, numbers, 0), scalar(zero, numbers, 1)
    for k in range(length):
        poke(total, k, zero)
    for r in range(rows):
        g_row, y_row, h_row = g + size * r * length, y + size * r * length, h + size * r * length
        for k in range(length):
            v = read(zero, g_row, k) * (one if read(zero, y_row, k) > zero else slope)
            poke(h_row, k, v)
            poke(total, k, peek(zero, total, k) + v)
    return 0


@Kernel
def add_all(zero, table, task):
    """y = a + b over this task's share of contiguous arrays."""
    a, b, y, count, parts = unpack(table, 5)
    for k in range(count * task // parts, count * (task + 1) // parts):
        poke(y, k, read(zero, a, k) + read(zero, b, k))
    return 0


def linear(x, w, b, *, slope):
    """leaky_relu(x · w + b)"""
    y, b = matmul(x, w), np.ascontiguousarray(b)
    tasks = shares(y.size)
    numbers = np.array([slope, 1.0])
    shift_rows(
        y.dtype, tasks, memory.address(y), *y.shape, memory.address(b), memory.address(numbers), y.itemsize, tasks
    )
    return y


def linear_backward(gy, y, x, w, *, slope, needs):
    """(gx, gw, gb): see ../reference.py:linear_backward"""
    gy, y = np.ascontiguousarray(gy), np.ascontiguousarray(y)
    h, g_b = memory.empty_like(gy), np.empty(gy.shape[1], gy.dtype)
    numbers = np.array([slope, 1.0])
    mask_rows(
        y.dtype, 1, memory.address(gy), memory.address(y), memory.address(h), *y.shape, memory.address(g_b),
        memory.address(numbers), y.itemsize,
    )  # fmt: skip
    return matmul(h, w.T) if needs[0] else None, matmul(x.T, h) if needs[1] else None, g_b


def leaky_relu(x, *, slope):
    """x where x > 0, else slope · x"""
    return leaky_relu_backward(x, x, slope=slope)


def leaky_relu_backward(gy, x, *, slope):
    """gy where x > 0, else slope · gy"""
    gy, x = np.ascontiguousarray(gy), np.ascontiguousarray(x)
    y, y_image, y_row = result(x)
    if not x.size:
        return y
    length, height = (x.shape[2] * x.shape[3], x.shape[1]) if x.ndim == 4 else (x.size, 1)
    rows = x.size // length
    if x.ndim != 4:
        y_image = length
        if x.size >= SMALL and x.ndim > 1:
            rows, length = x.shape[0], x.size // x.shape[0]
            y_image = length
    tasks = shares(x.size)
    numbers = np.array([slope, 1.0])
    leaky_rows(
        x.dtype, tasks, memory.address(gy), memory.address(x), memory.address(y), rows, length, height, y_image, y_row,
        memory.address(numbers), x.itemsize, tasks,
    )  # fmt: skip
    return y


def add(a, b):
    """a + b, of one shape"""
    a, b = np.ascontiguousarray(a), np.ascontiguousarray(b)
    y = memory.empty_like(a)
    tasks = shares(a.size)
    add_all(a.dtype, tasks, memory.address(a), memory.address(b), memory.address(y), a.size, tasks)
    return y
