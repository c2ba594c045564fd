"""Random numbers where they are wanted: `mg.generator(seed, device)` makes what draws them.

On the CPU that is NumPy's generator. On a GPU it is a counter in the device's memory, with methods of the same names:
no number comes from the host, and a step that was captured as a CUDA graph draws new ones at every replay. The two do
not draw the same numbers.

Stands on kernels/cuda/random.py. Read cuda_graph.py next.
"""

import math

import numpy as np

from . import device as devices


def generator(seed, device="cpu"):
    """What draws random numbers on a device, 'cpu', 'cuda' or 'auto': a numpy.random.Generator or a DeviceGenerator.

    seed   a whole number from 0 to 2⁶⁴ - 1; the same seed gives the same numbers on the same kind of device
    """
    return np.random.default_rng(seed) if devices.resolve(device) == "cpu" else DeviceGenerator(seed)


class DeviceGenerator:
    """Draws CuPy arrays; a part of checkpoints by its state_dict.  Source: kernels/cuda/random.cu (Philox 4x32-10)."""

    def __init__(self, seed):
        if not 0 <= seed < 2**64:
            raise ValueError(f"generator: seed must be in 0 ... 2⁶⁴ - 1, got {seed}")
        from .kernels.cuda import random
        from .kernels.gpu import cupy_or_error

        self._draw, xp = random, cupy_or_error("a generator on device 'cuda'")
        self._state = random.generator(seed, like=xp.empty(0, np.float32))

    def standard_normal(self, size=(), dtype=np.float64):
        """Numbers of mean 0 and variance 1."""
        return self._draw.normal(self._state, _shape(size), dtype)

    def random(self, size=(), dtype=np.float64):
        """Numbers uniform in [0, 1)."""
        return self._draw.uniform(self._state, _shape(size), dtype)

    def integers(self, low, high=None, size=()):
        """Whole numbers uniform in low ... high - 1, or in 0 ... low - 1 without high; int64."""
        low, high = (0, low) if high is None else (low, high)
        if not 1 <= high - low <= 2**53:
            raise ValueError(f"integers: wants 1 to 2⁵³ numbers to choose from, got {low} ... {high} - 1")
        return (self.random(size) * (high - low)).astype(np.int64) + low

    def state_dict(self):
        """{"state": the key and the counter}."""
        return {"state": devices.move(self._state, "cpu")}

    def load_state_dict(self, state):
        """Go on where `state` was taken."""
        self._state[...] = devices.move(np.asarray(state["state"], np.uint64), "cuda")


def _shape(size):
    shape = (size,) if isinstance(size, int | np.integer) else tuple(size)
    if math.prod(shape) >= 2**40:
        raise ValueError(f"generator: {shape} is too much to draw at once")
    return shape
