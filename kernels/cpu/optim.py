"""Optimiser steps: one launch for all parameters, each number read and written once.

Every task takes its share of every parameter; a table holds the addresses.

Twins: ../reference.py, the same names.  Stands on jit.py.
"""

import math

import numpy as np

from . import memory
from .jit import Kernel, shares
from .tile import entry, peek, poke, read, scalar, unpack


@Kernel
def adam_all(zero, table, task):
    """p ← p - rate·m / (sqrt(v)·root + ε) with m ← β₁m + α₁g, v ← β₂v + α₂g²; rows of the table: p, g, m, v, count."""
    rows, tensors, numbers, parts = unpack(table, 4)
    rate, beta1, alpha1 = scalar(zero, numbers, 0), scalar(zero, numbers, 1), scalar(zero, numbers, 2)
    beta2, alpha2, root = scalar(zero, numbers, 3), scalar(zero, numbers, 4), scalar(zero, numbers, 5)
    eps = scalar(zero, numbers, 6)
    for t in range(tensors):
        p, g, m, v = entry(rows, 5 * t), entry(rows, 5 * t + 1), entry(rows, 5 * t + 2), entry(rows, 5 * t + 3)
        count = entry(rows, 5 * t + 4)
        for i in range(count * task // parts, count * (task + 1) // parts):
            gradient = read(zero, g, i)
            first = beta1 * peek(zero, m, i) + alpha1 * gradient
            second = beta2 * peek(zero, v, i) + alpha2 * gradient * gradient
            poke(m, i, first)
            poke(v, i, second)
            poke(p, i, peek(zero, p, i) - rate * first / (math.sqrt(second) * root + eps))
    return 0


@Kernel
def rmsprop_all(zero, table, task):
    """p ← p - rate·g / (sqrt(v) + ε) with v ← αv + (1-α)g²; rows of the table: p, g, v, count."""
    rows, tensors, numbers, parts = unpack(table, 4)
    rate, alpha, rest, eps = (
        scalar(zero, numbers, 0), scalar(zero, numbers, 1), scalar(zero, numbers, 2), scalar(zero, numbers, 3),
    )  # fmt: skip
    for t in range(tensors):
        p, g, v, count = entry(rows, 4 * t), entry(rows, 4 * t + 1), entry(rows, 4 * t + 2), entry(rows, 4 * t + 3)
        for i in range(count * task // parts, count * (task + 1) // parts):
            gradient = read(zero, g, i)
            second = alpha * peek(zero, v, i) + rest * gradient * gradient
            poke(v, i, second)
            poke(p, i, peek(zero, p, i) - rate * gradient / (math.sqrt(second) + eps))
    return 0


def adam(params, grads, ms, vs, *, lr, beta1, beta2, eps, step):
    """m ← β₁m + (1-β₁)g,  v ← β₂v + (1-β₂)g²,  p ← p - lr · m̂ / (sqrt(v̂) + ε),  m̂ = m/(1-β₁ᵗ), v̂ = v/(1-β₂ᵗ)"""
    numbers = [lr / (1 - beta1**step), beta1, 1 - beta1, beta2, 1 - beta2, 1 / math.sqrt(1 - beta2**step), eps]
    _launch(adam_all, numbers, params, grads, ms, vs)


def rmsprop(params, grads, squares, *, lr, alpha, eps):
    """v ← αv + (1-α)g²,  p ← p - lr · g / (sqrt(v) + ε)"""
    _launch(rmsprop_all, [lr, alpha, 1 - alpha, eps], params, grads, squares)


def _launch(kernel, numbers, params, grads, *states):
    grads = [np.ascontiguousarray(g) for g in grads]
    rows = []
    for arrays in zip(params, grads, *states):
        rows += [memory.address(x) for x in arrays] + [arrays[0].size]
    rows, numbers = np.array(rows, np.int64), np.array(numbers, np.float64)
    tasks = shares(sum(p.size for p in params))
    kernel(params[0].dtype, tasks, memory.address(rows), len(params), memory.address(numbers), tasks)
