"""What holds a critic's slope: penalties on its gradient, clipped weights, spectral norms.

    loss_C = wasserstein_d(C(real), C(fake)) + 10 * gradient_penalty(C, real, fake, rng)

A penalty looks at ∇C, the gradient of the critic's value with respect to its own input, and is differentiated once more
with respect to the weights: create_graph=True, and the engine does the rest. One sweep gives ∇C at all points, as the
gradient of ΣC: that is why C must judge each point by itself, without batch norm.

The factor in front of a penalty (λ, γ/2) is the caller's, beside the loss, where the papers print it.

Stands on autograd.py, ops/ and nn/. Read algorithm1.py next.
"""

import numpy as np

from ..autograd import as_tensor, grad
from ..device import array_module
from ..nn import ConvTranspose2d, Module
from ..nn.init import buffer
from ..ops import matmul, mean, reshape, sqrt, sum, transpose
from ..tensor import Tensor

TINY = 1e-12  # far below what float32 can tell from the squares beside it


def gradient_penalty(C, real, fake, rng, *, target=1.0):
    """E[(‖∇C(x̂)‖ - 1)²], x̂ on straight lines between real and generated samples.

    C           function of a batch of points that gives one number for each
    real, fake  (N, ...) each; taken as data: no gradient flows into them
    rng         numpy.random.Generator that says where on its line each x̂ lies
    target      the slope that is wanted
    → the batch mean, to be multiplied by λ = 10.  A slope of exactly 0 (every ReLU off) has a finite derivative here.
    Source: Gulrajani et al. 2017 (WGAN-GP), equation 3.
    """
    squares = _squared_slopes("gradient_penalty", C, between(real, fake, rng))
    # sqrt' is infinite at 0. With TINY inside, it meets the factor ∇C = 0 as a large number and not as 0 · ∞.
    return mean((sqrt(squares + TINY) - target) ** 2)


def wasserstein_divergence_penalty(C, points, *, k=2.0, p=6.0):
    """k E[‖∇C(x̂)‖^p] over the given points: no slope is best, so that none need be named.

    C       function of a batch of points that gives one number for each
    points  (N, ...): where the slope is measured; PLACES has those that the paper compares
    p       2 or more: below, the derivative at a slope of 0 is infinite
    Source: Wu et al. 2018 (WGAN-div), equation 9; k = 2 and p = 6 are its choice.
    """
    if not p >= 2:
        raise ValueError(f"wasserstein_divergence_penalty: p, the power of the slope, wants 2 or more, got {p}")
    return k * mean(_squared_slopes("wasserstein_divergence_penalty", C, points) ** (p / 2))


def r1_penalty(D, real):
    """½ E[‖∇D(x)‖²] over real samples, to be multiplied by γ: D is flat on the data once G matches it.

    D     function of a batch of samples that gives one logit for each
    real  (N, ...)
    Source: Mescheder et al. 2018 (Which training methods for GANs do actually converge?), equation 9.
    """
    return 0.5 * mean(_squared_slopes("r1_penalty", D, real))


def _squared_slopes(who, C, points):
    """‖∇C‖² at each of the points (N, ...) → (N,), differentiable with respect to C's weights."""
    points = Tensor(as_tensor(points).data, requires_grad=True)
    values = C(points)
    if values.size != len(points):
        raise ValueError(f"{who}: the critic wants to give one number a point, got shape {values.shape} for "
                         f"{len(points)} points of shape {points.shape[1:]}")  # fmt: skip
    if not values.requires_grad:
        raise ValueError(f"{who}: the critic's graph was not recorded, so it has no slope; leave no_grad() or detach()")
    (slopes,) = grad(sum(values), [points], create_graph=True)
    return sum(slopes * slopes, axis=tuple(range(1, slopes.ndim)))


def between(a, b, rng):
    """ε a + (1 - ε) b: a point on the line between each pair of samples, ε uniform in [0, 1] and one number a pair."""
    a, b = as_tensor(a).data, as_tensor(b).data
    if a.shape != b.shape or not a.ndim:
        raise ValueError(f"between: wants two batches of one shape, got {a.shape} and {b.shape}")
    share = rng.random((len(a),) + (1,) * (a.ndim - 1), dtype=np.float32)
    share = array_module(a).asarray(share, dtype=a.dtype)
    return Tensor(share * a + (1 - share) * b)


def _shuffled(a, rng):
    a = as_tensor(a).data
    return a[rng.permutation(len(a))]


def _half_of_each(real, fake, rng):
    """Real and generated samples, half a batch of each."""
    real, fake = as_tensor(real).data, as_tensor(fake).data
    half = len(real) // 2
    return Tensor(array_module(real).concatenate([real[:half], fake[half:]]))


# Where a penalty may look: functions of (real, fake, rng) that give a batch of points. After Wu et al. 2018, section 4
PLACES = {
    "between real and fake": between,
    "real and fake": _half_of_each,
    "real": lambda real, fake, rng: real,
    "fake": lambda real, fake, rng: fake,
    "between real": lambda real, fake, rng: between(real, _shuffled(real, rng), rng),
    "between fake": lambda real, fake, rng: between(fake, _shuffled(fake, rng), rng),
}


def clip_weights(module, bound):
    """Cut every parameter of the module off at ±bound, in place: WGAN's way, after each step of the critic.

    Source: Arjovsky et al. 2017 (WGAN), Algorithm 1; its bound is 0.01.
    """
    if not bound > 0:
        raise ValueError(f"clip_weights: bound must be above 0, got {bound}")
    for x in module.parameters():
        x.data.clip(-bound, bound, out=x.data)


def spectral_norm(module, rng, *, iterations=1):
    """The module with every weight matrix in it divided by its largest singular value.

    module      a layer with a weight of two axes or more, or anything made of such; layers inside are replaced in place
    rng         numpy.random.Generator of the first vectors
    iterations  of the power method, at each call in training
    → the module, or the SpectralNorm around it if it is a layer itself
    Source: Miyato et al. 2018 (spectral normalisation), equation 8 and Algorithm 1.
    """
    if isinstance(module, SpectralNorm):
        return module
    if isinstance(getattr(module, "weight", None), Tensor):
        return SpectralNorm(module, rng, iterations=iterations) if module.weight.ndim > 1 else module

    def inside(x):
        if isinstance(x, list | tuple):
            return type(x)(inside(item) for item in x)
        return spectral_norm(x, rng, iterations=iterations) if isinstance(x, Module) else x

    vars(module).update({name: inside(value) for name, value in vars(module).items()})
    return module


class SpectralNorm(Module):
    """A layer that computes with W / σ(W), σ = vᵀ W u the largest singular value of the weight as a matrix.

    A convolution's matrix has a column for each output channel. One step of the power method at each call in training
    keeps up with a weight that changes slowly; its vector u is a buffer, so a resumed run goes on with the same
    numbers. To the derivative u and v are constants: at the largest singular value ∂σ/∂W is exactly v uᵀ.
    """

    def __init__(self, layer, rng, *, iterations=1):
        if iterations < 1:
            raise ValueError(f"SpectralNorm: iterations must be at least 1, got {iterations}")
        self.layer, self.iterations = layer, iterations
        self.fuses_slope = getattr(layer, "fuses_slope", False)
        # Output channels last: as all weights have them, but for a transposed convolution's, (kh, kw, out, in).
        self.axes = (0, 1, 3, 2) if isinstance(layer, ConvTranspose2d) else tuple(range(layer.weight.ndim))
        self.u = buffer(_unit(rng.standard_normal(layer.weight.shape[self.axes[-1]])))

    def forward(self, x, **options):
        weight = self.layer.weight
        self.layer.weight = weight / (self.sigma() + TINY)
        try:
            return self.layer(x, **options)
        finally:
            self.layer.weight = weight

    def sigma(self):
        """The largest singular value, as a tensor that is differentiable with respect to the weight."""
        W = transpose(self.layer.weight, axes=self.axes)
        W = reshape(W, shape=(-1, W.shape[-1]))
        u, v = self.u.data, _unit(W.data @ self.u.data)
        if self.training:
            for _ in range(self.iterations):
                u = _unit(v @ W.data)
                v = _unit(W.data @ u)
            self.u.data = u
        return matmul(matmul(Tensor(v), W), Tensor(u))

    def describe(self):
        return f"iterations={self.iterations}"


def _unit(x):
    return x / ((x * x).sum() ** 0.5 + TINY)
