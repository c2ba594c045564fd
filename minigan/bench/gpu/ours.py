"""The cases that a CPU has not: captured steps, and what measures the device.

Stands on ../ours.py. Read pytorch.py beside this.
"""

import functools

import numpy as np

from minigan import kernels
from minigan.kernels import cuda

from ..checks import OPTIMISERS
from ..ours import SEED, Minigan, adversarial_step, triangle
from ..sizes import ADAM
from .tiles import PLANNED

STEPS = 3  # after which a captured step must have led where the eager one led


class GpuMinigan(Minigan):
    """The cases on a device; `captured`: whether steps are CUDA graphs."""

    def __init__(self, sizes, place, captured):
        super().__init__(sizes, place)
        self.captured, self.capture = captured, place.capture

    def choose(self, precision):
        """The precision of all products from now on; None: whatever it is."""
        kernels.precision(precision)

    def copy(self):
        x, y = (self.place.put(np.full(self.sizes.copy // 4, i, np.float32)) for i in range(2))
        return lambda: self.place.copy(y, x)

    def matmul(self, n):
        a, b = (array.astype(kernels.activations(array)) for array in self._arrays(_normal, ((n, n), (n, n))))
        return lambda: kernels.matmul(a, b)

    def adam(self):
        params, grads = (self._arrays(_normal, tuple(self.sizes.parameters)) for _ in range(2))
        ms, vs = ([np.zeros_like(p) for p in params] for _ in range(2))
        (settings, _), step = OPTIMISERS["adam"], self.place.put(np.ones((), np.int64))
        return lambda: kernels.adam(params, grads, ms, vs, step=step, **settings)

    def tile(self, kernel, layer, version):
        """One convolution by one tile, or by the plan's."""
        x, w, g = self._arrays(triangle, layer)
        options = {"stride": (layer.stride,) * 2, "padding": (layer.padding,) * 2}
        if kernel == "conv2d_weight":
            options["kernel_size"] = (layer.window,) * 2
        if kernel == "conv_transpose2d":
            options["size"] = (layer.size,) * 2
        operands = {"conv2d": (x, w), "conv_transpose2d": (g, w), "conv2d_weight": (x, g)}[kernel]
        version = None if version == PLANNED else version
        return lambda: getattr(cuda, kernel)(*operands, version=version, **options)

    def _arrays(self, draw, case):
        """Drawn once for all copies."""
        return [self.place.put(array) for array in _drawn(draw, case)]

    def dcgan_step(self, size, channels):
        step, params = self._step(size, channels, self.captured)
        if self.captured:
            self._compare(step, params, *self._step(size, channels, False))
        return step

    def _step(self, size, channels, captured):
        """(a step, the parameters that it changes)"""
        G, D, real, noise = self.dcgan(size, channels, self.sizes.batch)
        step = adversarial_step(G, D, real, noise)
        return self.capture(step) if captured else step, [*G.parameters(), *D.parameters()]

    @staticmethod
    def _compare(step, params, eager, expected):
        """ValueError unless a few captured steps change the parameters as the eager ones do."""
        for _ in range(STEPS):
            step(), eager()
        away = max(float(abs(p.data - e.data).max()) for p, e in zip(params, expected))
        if not away <= STEPS * ADAM["lr"] * 1e-3:
            raise ValueError(f"{STEPS} captured steps end {away:.2g} away from {STEPS} eager ones")


@functools.lru_cache(maxsize=1)
def _drawn(draw, case):
    return draw(case)


def _normal(shapes):
    rng = np.random.default_rng(SEED)
    return [rng.standard_normal(shape, np.float32) for shape in shapes]
