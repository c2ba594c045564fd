"""The kernels as their formulas say, in NumPy: the definition that the fast ones are held against.

Slow and obvious. Every function here has twins of the same name and signature in cpu/ (Numba); read a kernel here
first, then its twin. Layouts: images (N, H, W, C), weights (kh, kw, C, K).

Stands on NumPy. Read cpu/conv.py next.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def conv2d(x, w, *, stride, padding):
    """y[n,i,j,k] = Σ_{r,t,c} x[n, i·s+r-p, j·s+t-p, c] · w[r,t,c,k]"""
    return np.einsum("nijcrt,rtck->nijk", _windows(x, w.shape[:2], stride, padding), w)


def conv2d_weight(x, g, *, kernel_size, stride, padding):
    """y[r,t,c,k] = Σ_{n,i,j} x[n, i·s+r-p, j·s+t-p, c] · g[n,i,j,k]"""
    return np.einsum("nijcrt,nijk->rtck", _windows(x, kernel_size, stride, padding), g)


def conv_transpose2d(x, w, *, stride, padding, size):
    """y[n, i·s+r-p, j·s+t-p, c] += x[n,i,j,k] · w[r,t,c,k] for every i, j, r, t that lands inside `size`"""
    (sh, sw), (ph, pw), (height, width) = stride, padding, size
    n, rows, columns, _ = x.shape
    y = np.zeros((n, height + 2 * ph + sh, width + 2 * pw + sw, w.shape[2]), x.dtype)
    for r in range(w.shape[0]):
        for t in range(w.shape[1]):
            y[:, r : r + rows * sh : sh, t : t + columns * sw : sw] += np.einsum("nijk,ck->nijc", x, w[r, t])
    return y[:, ph : ph + height, pw : pw + width]


def _windows(x, kernel_size, stride, padding):
    """(N, H', W', C, kh, kw): the window under every output pixel, as a view of the padded images"""
    x = np.pad(x, ((0, 0), (padding[0],) * 2, (padding[1],) * 2, (0, 0)))
    return sliding_window_view(x, kernel_size, axis=(1, 2))[:, :: stride[0], :: stride[1]]


def matmul(a, b):
    """y[..,m,n] = Σ_k a[..,m,k] · b[..,k,n]"""
    return np.einsum("...mk,...kn->...mn", a, b)


def linear(x, w, b, *, slope):
    """leaky_relu(x · w + b)"""
    return leaky_relu(matmul(x, w) + b, slope=slope)


def linear_backward(gy, y, x, w, *, slope, needs):
    """(gx, gw, gb), where h = gy behind the activation (y > 0 exactly where its input was, for slope ≥ 0):

    gx = h · wᵀ,   gw = xᵀ · h,   gb = Σ h over the rows
    """
    h = leaky_relu_backward(gy, y, slope=slope)
    return matmul(h, w.T) if needs[0] else None, matmul(x.T, h) if needs[1] else None, h.sum(0)


def add(a, b):
    """a + b, broadcast"""
    return np.add(a, b)


def leaky_relu(x, *, slope):
    """x where x > 0, else slope · x"""
    return np.where(x > 0, x, x.dtype.type(slope) * x)


def leaky_relu_backward(gy, x, *, slope):
    """gy where x > 0, else slope · gy"""
    return np.where(x > 0, gy, gy.dtype.type(slope) * gy)


def batch_norm_moments(x):
    """(2, C): μ = mean of x and σ² = mean of (x - μ)², over all axes but the last"""
    axes = tuple(range(x.ndim - 1))
    return np.stack([x.mean(axes), x.var(axes)])


def batch_norm(x, gamma, beta, *, eps, slope, moments):
    """leaky_relu(γ · x̂ + β),  x̂ = (x - μ) / sqrt(σ² + ε)"""
    mu, var = moments
    return leaky_relu(gamma * (x - mu) / np.sqrt(var + x.dtype.type(eps)) + beta, slope=slope)


def batch_norm_backward(gy, x, gamma, beta, *, eps, slope, moments, needs_x=True):
    """(gx, gγ, gβ), where g = gy behind the activation, M values per channel:

    gβ = Σ g,   gγ = Σ g·x̂,   gx = γ / sqrt(σ² + ε) · (g - gβ/M - x̂ · gγ/M)
    """
    axes = tuple(range(x.ndim - 1))
    mu, var = moments
    inverse = 1 / np.sqrt(var + x.dtype.type(eps))
    normal = (x - mu) * inverse
    g = leaky_relu_backward(gy, gamma * normal + beta, slope=slope)
    g_beta, g_gamma = g.sum(axes), (g * normal).sum(axes)
    count = x.dtype.type(x.size // x.shape[-1])
    gx = gamma * inverse * (g - g_beta / count - normal * (g_gamma / count)) if needs_x else None
    return gx, g_gamma, g_beta


def batch_norm_running(moments, mean, var, *, momentum, count):
    """mean ← (1-m)·mean + m·μ,  var ← (1-m)·var + m·σ²·M/(M-1).  In place; M, count: how many values a channel had."""
    mean[...] = (1 - momentum) * mean + momentum * moments[0]
    var[...] = (1 - momentum) * var + momentum * (moments[1] * (count / (count - 1)))


def sgd(params, grads, momentum, *, lr, momentum_rate):
    """b ← μb + g,  p ← p - lr · b.  In place, for each parameter."""
    for p, g, b in zip(params, grads, momentum):
        b[...] = momentum_rate * b + g
        p -= lr * b


def rmsprop(params, grads, squares, *, lr, alpha, eps):
    """v ← αv + (1-α)g²,  p ← p - lr · g / (sqrt(v) + ε).  In place, for each parameter."""
    for p, g, v in zip(params, grads, squares):
        v[...] = alpha * v + (1 - alpha) * g * g
        p -= lr * g / (np.sqrt(v) + eps)


def adam(params, grads, ms, vs, *, lr, beta1, beta2, eps, step):
    """m ← β₁m + (1-β₁)g,  v ← β₂v + (1-β₂)g²,  p ← p - lr · m̂ / (sqrt(v̂) + ε),  m̂ = m/(1-β₁ᵗ), v̂ = v/(1-β₂ᵗ)

    In place, for each parameter.
    """
    for p, g, m, v in zip(params, grads, ms, vs):
        m[...] = beta1 * m + (1 - beta1) * g
        v[...] = beta2 * v + (1 - beta2) * g * g
        p -= (lr / (1 - beta1**step)) * m / (np.sqrt(v) / np.sqrt(1 - beta2**step) + eps)
