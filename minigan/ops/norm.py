"""Normalisation: batch, layer and instance norm, each written out as the formula that it is.

    y = γ · (x - μ) / sqrt(σ² + ε) + β,    μ and σ² (biased) the mean and variance over the norm's own axes

Batch norm also has a fused form, with the leaky ReLU that usually follows it, on hand-written kernels: forward in two
passes over memory, first derivative in two. Higher derivatives differentiate `normalise`, the composite.

Sources: Ioffe and Szegedy 2015 (batch), Ba et al. 2016 (layer), Ulyanov et al. 2016 (instance).
Stands on kernels/ (`batch_norm`, `batch_norm_backward`). Read kernels/reference.py next.
"""

from .. import kernels
from ..autograd import as_tensor, fused
from ..kernels.rounding import real
from .elementwise import leaky_relu, sqrt
from .reduce import mean
from .shape import in_dtype


def normalise(x, gamma, beta, *, axes, eps):
    """γ (x - μ) / sqrt(σ² + ε) + β with the statistics over `axes`: the definition of every norm here."""
    exact = in_dtype(x, real(x.dtype))
    centred = exact - mean(exact, axis=axes, keepdims=True)
    variance = mean(centred * centred, axis=axes, keepdims=True)
    return in_dtype(centred / sqrt(variance + eps) * gamma + beta, x.dtype)


def batch_norm_composite(x, gamma, beta, *, eps, slope, moments=None):
    """What `batch_norm_fused` computes, in ops that are differentiable to any order."""
    y = normalise(x, gamma, beta, axes=tuple(range(x.ndim - 1)), eps=eps)
    return y if slope == 1.0 else leaky_relu(y, slope=slope)


@fused(batch_norm_composite)
def batch_norm_fused(x, gamma, beta, *, eps, slope, moments):
    """Batch norm and leaky ReLU in one; `moments` (2, channels) are the mean and variance of x, found beforehand."""
    return kernels.batch_norm(x, gamma, beta, eps=eps, slope=slope, moments=moments)


def _backward(gy, y, x, gamma, beta, *, needs, eps, slope, moments):
    return kernels.batch_norm_backward(gy, x, gamma, beta, eps=eps, slope=slope, moments=moments, needs_x=needs[0])


batch_norm_fused.backward = _backward


def batch_norm(x, gamma, beta, *, eps=1e-5, slope=1.0):
    """Batch norm with training statistics over all axes but the last, and optionally the activation behind it.

    x            (N, ..., C)
    gamma, beta  (C,)   scale and shift
    slope        1: no activation; 0: ReLU; between: leaky ReLU of that slope
    Errors: ValueError when there is only one value per channel, whose variance says nothing.
    """
    x = as_tensor(x)
    gamma, beta = as_tensor(gamma, like=x), as_tensor(beta, like=x)
    return batch_norm_fused(x, gamma, beta, eps=eps, slope=slope, moments=kernels.batch_norm_moments(x.data))


def layer_norm(x, gamma, beta, *, eps=1e-5):
    """Layer norm: statistics over the last axis, one pair for each position. x (..., C); gamma, beta (C,)."""
    return normalise(as_tensor(x), gamma, beta, axes=-1, eps=eps)


def instance_norm(x, gamma, beta, *, eps=1e-5):
    """Instance norm: statistics over the pixels, one pair for each image and channel. x (N, ..., C); others (C,)."""
    x = as_tensor(x)
    return normalise(x, gamma, beta, axes=tuple(range(1, x.ndim - 1)), eps=eps)
