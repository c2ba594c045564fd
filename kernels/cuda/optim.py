"""Optimiser steps on a GPU: one launch for all parameters.

Twins: ../reference.py, the same names.  Stands on backends.py. Read optim.cu next.
"""

import functools

import numpy as np

from .backends import backend_of, blocks


def sgd(params, grads, momentum, *, lr, momentum_rate):
    """b ← μb + g,  p ← p - lr · b"""
    _step("sgd", (lr, momentum_rate), params, grads, momentum)


def rmsprop(params, grads, squares, *, lr, alpha, eps):
    """v ← αv + (1-α)g²,  p ← p - lr · g / (sqrt(v) + ε)"""
    _step("rmsprop", (lr, alpha, 1 - alpha, eps), params, grads, squares)


def adam(params, grads, ms, vs, *, lr, beta1, beta2, eps, step):
    """m ← β₁m + (1-β₁)g,  v ← β₂v + (1-β₂)g²,  p ← p - lr · m̂ / (sqrt(v̂) + ε),  m̂ = m/(1-β₁ᵗ), v̂ = v/(1-β₂ᵗ)

    step  t, an int; or an int64 array of one number on the device, which tick() counts there
    """
    if isinstance(step, int):
        step = backend_of(*params).xp.full(1, step, np.int64)
    real = params[0].dtype.type
    numbers = step, np.float64(lr), np.float64(beta1), np.float64(beta2), real(1 - beta1), real(1 - beta2), real(eps)
    _step("adam", numbers, params, grads, ms, vs)


def tick(step):
    """step += 1, on the device: part of a captured CUDA graph."""
    backend_of(step).run("optim", "tick", (1,), (1,), [step], np.dtype(np.float32))


def _step(kernel, numbers, params, grads, *states):
    backend = backend_of(*params, *grads, *(array for state in states for array in state))
    grads = [backend.xp.ascontiguousarray(g) for g in grads]
    rows = tuple((*map(backend.address, arrays), arrays[0].size) for arrays in zip(params, grads, *states))
    dtype = params[0].dtype
    numbers = [dtype.type(n) if type(n) is float else n for n in numbers]
    grid = min(blocks(max(p.size for p in params), 4 * 256), 8 * backend.processors), len(params)
    backend.run("optim", kernel, grid, (256,), [_table(backend, rows), *numbers], dtype)


@functools.lru_cache(maxsize=64)
def _table(backend, rows):
    """The rows, where the kernel reads them: the same arrays, as a captured CUDA graph has them, are sent once."""
    return backend.xp.asarray(np.array(rows, np.uint64))
