"""Random numbers made on the device, from a counter that lives there.

    state = generator(seed, like=x)          # where x lies: NumPy or CuPy
    z = normal(state, (64, 100))             # and state has moved on

The same state gives the same numbers, however many threads draw them.  Stands on backends.py. Read random.cu next.
"""

import numpy as np

from .backends import backend_of, blocks


def generator(seed, *, like):
    """(3,) uint64: the key, and a counter of 128 bits; a checkpoint holds it as any array."""
    return backend_of(like).xp.asarray(np.array([seed, 0, 0], np.uint64))


def uniform(state, shape, dtype=np.float32):
    """Numbers in [0, 1)."""
    return _draw("uniform", state, shape, np.dtype(dtype))


def normal(state, shape, dtype=np.float32):
    """Standard normal numbers."""
    return _draw("normal", state, shape, np.dtype(dtype))


def bits(state, count):
    """`count` words of 32 random bits."""
    return _draw("bits", state, (count,), np.dtype(np.uint32))


def _draw(kernel, state, shape, dtype):
    backend = backend_of(state)
    y = backend.xp.empty(shape, dtype)
    variant = np.dtype(np.float32) if kernel == "bits" else dtype
    counters = blocks(y.size * y.itemsize, 16)  # of 128 bits each
    if y.size:
        backend.run("random", kernel, (blocks(counters, 256),), (256,), [state, y, np.int64(y.size)], variant)
    backend.run("random", "advance", (1,), (1,), [state, np.uint64(counters)], variant)
    return y
