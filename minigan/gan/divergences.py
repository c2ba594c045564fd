"""f-divergences, one row each, as a game between two networks needs them.

    D_f(P ‖ Q) = ∫ q f(p/q) dx = sup over T of E_P[T(x)] - E_Q[f*(T(x))],    f*(t) = sup over u of u·t - f(u)

P is the data and Q the model. Any T gives a lower bound, and T = f'(p/q) the divergence itself: a network that raises
the bound measures the divergence, and its output compared with f'(1) tells real from generated. T must stay where f*
is finite, so the network's free output v passes through an activation g first: T = g(v).

Source: Nowozin, Cseke and Tomioka 2016 (f-GAN), equation 4 and tables 1, 2 and 6.
Stands on ops/. Read losses.py next, where each row is a game: game("f-gan:kl").
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from ..ops import abs, exp, log, softplus, tanh

LOG2 = math.log(2)


class Divergence(NamedTuple):
    """One f-divergence; each member maps a tensor to a tensor of its shape.

    f             the generator, of u = p/q > 0
    derivative    f'(u): the best T where the densities' ratio is u
    conjugate     f*(t), for t in the range of the activation
    activation    g(v): any number to where f* is finite
    conjugate_at  f*(g(v)), simplified: exact where g(v) has rounded to the edge of f*'s domain
    """

    f: Callable
    derivative: Callable
    conjugate: Callable
    activation: Callable
    conjugate_at: Callable


DIVERGENCES = {
    "kl": Divergence(  # KL(P ‖ Q)
        f=lambda u: u * log(u),
        derivative=lambda u: 1 + log(u),
        conjugate=lambda t: exp(t - 1),
        activation=lambda v: v,
        conjugate_at=lambda v: exp(v - 1),
    ),
    "reverse-kl": Divergence(  # KL(Q ‖ P)
        f=lambda u: -log(u),
        derivative=lambda u: -1 / u,
        conjugate=lambda t: -1 - log(-t),
        activation=lambda v: -exp(-v),
        conjugate_at=lambda v: v - 1,
    ),
    "pearson": Divergence(  # ∫ (p - q)² / q; f continued as a parabola to u < 0, so that f* has one formula for all t
        f=lambda u: (u - 1) ** 2,
        derivative=lambda u: 2 * (u - 1),
        conjugate=lambda t: t * t / 4 + t,
        activation=lambda v: v,
        conjugate_at=lambda v: v * v / 4 + v,
    ),
    "squared-hellinger": Divergence(  # ∫ (√p - √q)²
        f=lambda u: (u**0.5 - 1) ** 2,
        derivative=lambda u: 1 - u**-0.5,
        conjugate=lambda t: t / (1 - t),
        activation=lambda v: 1 - exp(-v),
        conjugate_at=lambda v: exp(v) - 1,
    ),
    "jensen-shannon": Divergence(  # KL(P ‖ M) + KL(Q ‖ M), M = (P + Q)/2: the paper's f gives twice the divergence
        f=lambda u: u * log(u) - (u + 1) * log((u + 1) / 2),
        derivative=lambda u: LOG2 - log(1 + 1 / u),
        conjugate=lambda t: -log(2 - exp(t)),
        activation=lambda v: LOG2 - softplus(-v),
        conjugate_at=lambda v: softplus(v) - LOG2,
    ),
    "gan": Divergence(  # the one above, less log 4: the value of Goodfellow's game, and v is D's logit
        f=lambda u: u * log(u) - (u + 1) * log(u + 1),
        derivative=lambda u: -log(1 + 1 / u),
        conjugate=lambda t: -log(1 - exp(t)),
        activation=lambda v: -softplus(-v),
        conjugate_at=lambda v: softplus(v),
    ),
    "total-variation": Divergence(  # ½ ∫ |p - q|; its best T jumps where p = q
        f=lambda u: abs(u - 1) / 2,
        derivative=lambda u: ((u > 1) * 1.0 - (u < 1) * 1.0) / 2,
        conjugate=lambda t: t,
        activation=lambda v: tanh(v) / 2,
        conjugate_at=lambda v: tanh(v) / 2,
    ),
}  # fmt: skip
