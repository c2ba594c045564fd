"""How large an error rounding explains; what is larger is a wrong kernel.

    bound = 4 ε √q · s        q the length of the reduction, s the root of the sum of its squared terms

so that a ratio of 1 is suspicious and a forgotten tap of a window gives a ratio of hundreds. Products whose factors are
rounded to fewer bits first, as a GPU's tensor cores do with unit roundoff u, may be off by

    4 √2 u · s        more: two factors, each rounded independently of all others

The definition is too slow for DCGAN's layers, but one output channel of it is not. A convolution y of operands a, b is
linear in b, so with random signs v over the output channels y·v must be the convolution of a and b·v: each number of y
takes part, and a wrong one shows whatever its sign. Source: Freivalds 1977, Probabilistic machines can use less
running time.

Stands on kernels/reference.py. Read checks.py next.
"""

from typing import NamedTuple

import numpy as np

from minigan.kernels import reference
from minigan.kernels.rounding import real


class Rounding(NamedTuple):
    """What a kernel computes in: the arrays' dtype, and the unit roundoff of factors that lose bits."""

    name: str
    dtype: type
    factors: float = 0.0


SINGLE = Rounding("fp32", np.float32)


class Bilinear:
    """y·v by the definition, for random signs v, where y is bilinear in a and b.  axis: of b, y's last."""

    def __init__(self, kernel, a, b, axis, terms, **options):
        define = getattr(reference, kernel)
        a, b = a.astype(np.float64), b.astype(np.float64)
        self.signs = np.random.default_rng(1).choice([-1.0, 1.0], b.shape[axis])
        along = self.signs.reshape([-1 if i == axis else 1 for i in range(b.ndim)])
        self.terms, self.options = terms, options
        self.exact = define(a, (b * along).sum(axis, keepdims=True), **options)[..., 0]
        self.scale = np.sqrt(define(a * a, (b * b).sum(axis, keepdims=True), **options)[..., 0])

    def error(self, y, rounding=SINGLE):
        """That of y, in units of its bound."""
        return ratio((y * self.signs).sum(-1), self.exact, self.terms, self.scale, rounding)


def ratio(found, exact, terms, scale, rounding=SINGLE):
    """The largest of |found - exact| / (4 (√2 u + ε √terms) · scale): ε of the dtype, u of the factors."""
    share = np.sqrt(2) * rounding.factors + np.finfo(real(np.dtype(rounding.dtype))).eps * np.sqrt(terms)
    return np.max(abs(found - exact) / (4 * share * scale + np.finfo(np.float64).tiny))
