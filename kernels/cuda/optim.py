"""Optimiser steps on a GPU: one launch for all parameters.

Twins: ../reference.py, the same names.  Stands on backends.py. Read optim.cu next.
"""

import numpy as np

from .backends import backend_of, blocks

WORDS = 32  # that one launch of write_words takes


def sgd(params, grads, momentum, *, lr, momentum_rate):
    """b ← μb + g,  p ← p - lr · b"""
    _step("sgd", (lr, momentum_rate), params, grads, momentum)


def rmsprop(params, grads, squares, *, lr, alpha, eps):
    """v ← αv + (1-α)g²,  p ← p - lr · g / (sqrt(v) + ε)"""
    _step("rmsprop", (lr, alpha, 1 - alpha, eps), params, grads, squares)


def adam(params, grads, ms, vs, *, lr, beta1, beta2, eps, step):
    """m ← β₁m + (1-β₁)g,  v ← β₂v + (1-β₂)g²,  p ← p - lr · m̂ / (sqrt(v̂) + ε),  m̂ = m/(1-β₁ᵗ), v̂ = v/(1-β₂ᵗ)

    step  t, an int; or an int64 array () on the device
    """
    backend, dtype = backend_of(*params), params[0].dtype
    if isinstance(step, int):
        step = backend.xp.full((), step, np.int64)
    rates = backend.empty(2, dtype)
    args = [step, np.float64(lr), np.float64(beta1), np.float64(beta2), rates]
    backend.run("optim", "adam_rates", (1,), (1,), args, dtype)
    _step("adam", (rates, beta1, beta2, 1 - beta1, 1 - beta2, eps), params, grads, ms, vs)


def _step(kernel, numbers, params, grads, *states):
    backend = backend_of(*params, *grads, *(array for state in states for array in state))
    grads = [backend.xp.ascontiguousarray(g) for g in grads]
    dtype = params[0].dtype
    rows = [(*map(backend.address, arrays), arrays[0].size) for arrays in zip(params, grads, *states)]
    numbers = [dtype.type(n) if type(n) is float else n for n in numbers]
    grid = min(blocks(max(p.size for p in params), 4 * 256), 8 * backend.processors), len(params)
    backend.run("optim", kernel, grid, (256,), [_table(backend, rows, dtype), *numbers], dtype)


def _table(backend, rows, dtype):
    """The rows in the device's memory. A kernel writes them there, for a copy from the host could not be captured."""
    words = np.array(rows, np.uint64).ravel()
    table = backend.xp.empty(words.size, np.uint64)
    for first in range(0, words.size, WORDS):
        some = words[first : first + WORDS]
        numbers = [np.int32(first), np.int32(some.size), *some, *[np.uint64(0)] * (WORDS - some.size)]
        backend.run("optim", "write_words", (1,), (1,), [table, *numbers], dtype)
    return table
