"""float32 against float64, in every precision that CUDA kernels know: what rounding costs a layer's derivatives.

Differences check the float64 kernels (gradcheck.py). The others are other kernels, with tiles and tensor cores, and too
coarse for differences: they are held against the float64 ones.

    ‖ĝ - g‖ / ‖g‖ ≤ 4 √u        u = 2⁻²⁴ (fp32), ⅔·2⁻¹⁰ (tf32), 2⁻⁸ (bf16)

Without kinks the error is some u. At a kink a share u of all elements lies so near that rounding puts it on the other
side, and their part of the norm is √u; a wrong kernel is off by about 1.

Stands on subject.py, gradcheck.py and kernels/rounding.py.
"""

from typing import NamedTuple

import numpy as np

from ..autograd import grad
from ..kernels import rounding
from ..tensor import Tensor
from .gradcheck import STREAM

ROUNDOFF = {"fp32": 2.0**-24, "tf32": 2.0**-10 * 2 / 3, "bf16": 2.0**-8}


class Comparison(NamedTuple):
    """One result in one precision: the relative error of its norm, and the most that rounding explains."""

    precision: str
    what: str  # "y", or the argument whose gradient it is
    error: float
    bound: float

    @property
    def passed(self):
        return self.error <= self.bound  # a NaN is not


def against_float64(subject, seed=0):
    """Comparisons of y and of every gradient, for a random incoming one, in every precision; yields them."""
    names = ["y", *(name for name, x in zip(subject.names, subject.xs) if x.requires_grad)]
    gy = np.random.default_rng((seed, STREAM)).normal(size=subject(*subject.xs).shape)
    exact = _sweep(subject, gy, np.float64)
    for name in rounding.KNOWN:
        with rounding.using(name):
            rounded = _sweep(subject, gy, np.float32)
        for what, g, approximate in zip(names, exact, rounded):
            error = np.linalg.norm(approximate - g) / _scale(g, gy)
            yield Comparison(name, what, float(error), 4 * ROUNDOFF[name] ** 0.5)


def _scale(g, gy):
    """‖g‖; for a gradient that is 0 but for rounding, as of a bias before a batch norm, what gy would make of it."""
    norm, usual = np.linalg.norm(g), (g.size * np.mean(gy**2)) ** 0.5
    return norm if norm > 1e-9 * usual else usual or 1


def _sweep(subject, gy, dtype):
    """y and the gradients, computed in a dtype."""
    xs = [Tensor(x.data.astype(dtype), True) if x.requires_grad else x for x in subject.xs]
    y = subject(*xs, dtype=dtype)
    if y.dtype != dtype:
        inputs = np.dtype(dtype).name
        raise TypeError(f"{subject.label} makes {y.dtype} of {inputs} inputs; is there a constant of {y.dtype} in it?")
    return [y.data, *(g.data for g in grad(y, [x for x in xs if x.requires_grad], Tensor(gy.astype(dtype))))]
