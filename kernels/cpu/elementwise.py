"""Elementwise kernels: leaky ReLU and its gradient on images that go into a convolution, and the sum of two gradients.

Results that are images come with a margin of zeros (memory.py), so that the convolution behind them copies nothing.

Twins: ../reference.py, the same names.  Stands on jit.py and memory.py.
"""

import numpy as np

from . import memory
from .jit import Kernel, threads
from .norm import SMALL, result
from .tile import peek, poke, scalar, unpack


@Kernel
def leaky_rows(zero, table, task):
    """y = g where x > 0, else slope·g; rows of x and g dense, rows of y anywhere."""
    g, x, y, rows, length, height, y_image, y_row, numbers, size, parts = unpack(table, 11)
    slope, one = scalar(zero, numbers, 0), scalar(zero, numbers, 1)
    for r in range(rows * task // parts, rows * (task + 1) // parts):
        base = size * r * length
        target = y + size * (r // height * y_image + r % height * y_row)
        for k in range(length):
            factor = one if peek(zero, x + base + size * k) > zero else slope
            poke(target + size * k, peek(zero, g + base + size * k) * factor)
    return 0


@Kernel
def add_all(zero, table, task):
    """y = a + b over this task's share of contiguous arrays."""
    a, b, y, count, size, parts = unpack(table, 6)
    for k in range(count * task // parts, count * (task + 1) // parts):
        poke(y + size * k, peek(zero, a + size * k) + peek(zero, b + size * k))
    return 0


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
    tasks = 1 if x.size < SMALL else threads()
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
    tasks = 1 if a.size < SMALL else threads()
    add_all(a.dtype, tasks, memory.address(a), memory.address(b), memory.address(y), a.size, a.itemsize, tasks)
    return y
