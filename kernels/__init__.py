"""minigan.kernels: convolution, transposed convolution, matrix product and batch norm on plain arrays.

Arrays in, arrays out, nothing about gradients:

    from minigan import kernels
    y = kernels.conv2d(x, w, stride=2, padding=1)        # x (N, H, W, C), w (kh, kw, C, K)

Each name exists once for every backend, with one meaning: `reference` (NumPy: the definition), `cpu` (Numba) and `cuda`
(CUDA C++). This file checks the arguments and picks the backend: cuda for CuPy arrays, for NumPy arrays what
$MINIGAN_KERNELS says: cpu (the default), reference, or emulator, which runs the CUDA kernels without a GPU, slowly.

Stands on shapes.py. Read reference.py next.
"""

import functools
import importlib
import os

import numpy as np

from . import gpu, reference, rounding, shapes
from .rounding import precision

__all__ = [
    "adam", "add", "batch_norm", "batch_norm_backward", "batch_norm_moments", "batch_norm_running", "conv2d",
    "conv2d_weight", "conv_transpose2d", "leaky_relu", "leaky_relu_backward", "linear", "linear_backward", "matmul",
    "precision", "rmsprop", "sgd",
]  # fmt: skip

_FAST = (np.dtype(np.float32), np.dtype(np.float64))
_choice = os.environ.get("MINIGAN_KERNELS", "cpu")
if _choice not in ("cpu", "reference", "emulator"):
    raise ValueError(f"MINIGAN_KERNELS: got {_choice!r}; know 'cpu', 'reference' and 'emulator'")


def _backend(kernel, *arrays, reals=()):
    """The module whose kernels take these arrays; TypeError if they do not belong together.

    reals  of the dtype that the others are computed in: float32, where these are bfloat16
    """
    first = arrays[0]
    wanted = [first.dtype] * len(arrays) + [rounding.real(first.dtype)] * len(reals)
    for array, dtype in zip((*arrays, *reals), wanted):
        if not isinstance(array, np.ndarray) and not gpu.is_cupy(array):
            what = f"{type(array).__module__}.{type(array).__name__}"
            raise TypeError(f"{kernel}: wants NumPy or CuPy arrays, got {what}")
        if array.dtype != dtype:
            got = ", ".join(str(a.dtype) for a in (*arrays, *reals))
            raise TypeError(f"{kernel}: arrays of one dtype, please, got {got}")
        if type(array) is not type(first) and gpu.is_cupy(array) != gpu.is_cupy(first):
            raise TypeError(f"{kernel}: arrays on one device, please; move with cupy.asarray(x) or cupy.asnumpy(x)")
    if gpu.is_cupy(first):
        if first.dtype not in _FAST and not rounding.is_bfloat16(first.dtype):
            raise TypeError(f"{kernel}: CUDA kernels take float32, float64 and bfloat16, got {first.dtype}")
        return _named("cuda")
    if rounding.is_bfloat16(first.dtype):
        if _choice != "emulator":
            raise TypeError(f"{kernel}: bfloat16 is for CUDA kernels, on a GPU or under MINIGAN_KERNELS=emulator")
        return _named("cuda")
    if _choice == "reference" or first.dtype not in _FAST:
        return reference
    return _named("cpu" if _choice == "cpu" else "cuda")


def activations(array):
    """The dtype in which what a network makes of an array shall lie: bfloat16 for float32 under precision("bf16")."""
    halves = array.dtype == _FAST[0] and on_cuda(array) and precision() == "bf16"
    return rounding.bfloat16() if halves else array.dtype


def on_cuda(array):
    """Whether CUDA kernels work on an array: on a GPU, or in the emulator."""
    return gpu.is_cupy(array) or _choice == "emulator"


@functools.cache
def _named(backend):
    return importlib.import_module(f".{backend}", __name__)  # Numba takes a third of a second to import: not before


def conv2d(x, w, *, stride=1, padding=0):
    """2-D convolution: x (N, H, W, C), w (kh, kw, C, K) → (N, H', W', K), H' = (H + 2·padding - kh) // stride + 1."""
    stride, padding, _ = shapes.conv2d(x.shape, w.shape, stride, padding)
    return _backend("conv2d", x, w).conv2d(x, w, stride=stride, padding=padding)


def conv_transpose2d(x, w, *, stride=1, padding=0, output_padding=0):
    """The transpose of conv2d: x (N, H, W, K), w (kh, kw, C, K) → (N, H', W', C).

    H' = (H - 1)·stride - 2·padding + kh + output_padding.
    """
    stride, padding, size = shapes.conv_transpose2d(x.shape, w.shape, stride, padding, output_padding)
    return _backend("conv_transpose2d", x, w).conv_transpose2d(x, w, stride=stride, padding=padding, size=size)


def conv2d_weight(x, g, *, kernel_size, stride=1, padding=0):
    """The weight gradient of conv2d: x (N, H, W, C), g (N, H', W', K) → (kh, kw, C, K)."""
    kernel_size, stride, padding = shapes.conv2d_weight(x.shape, g.shape, kernel_size, stride, padding)
    run = _backend("conv2d_weight", x, g).conv2d_weight
    return run(x, g, kernel_size=kernel_size, stride=stride, padding=padding)


def matmul(a, b):
    """Matrix product (..., M, K) · (..., K, N) → (..., M, N), batch axes broadcast."""
    shapes.matmul(a.shape, b.shape)
    return _backend("matmul", a, b).matmul(a, b)


def linear(x, w, b, *, slope=1.0):
    """leaky_relu(x · w + b): x (N, K), w (K, M), b (M,) → (N, M); slope 1: no activation, 0: ReLU."""
    shapes.linear(x.shape, w.shape, b.shape)
    return _backend("linear", x, w, reals=[b]).linear(x, w, b, slope=slope)


def linear_backward(gy, y, x, w, *, slope=1.0, needs=(True, True)):
    """(gx, gw, gb) of linear for the incoming gradient gy; gx and gw are None where not needed. slope ≥ 0."""
    shapes.linear(x.shape, w.shape, w.shape[1:])
    wanted = (x.shape[0], w.shape[1])
    shapes.like("linear_backward", "gy", gy.shape, "x · w", wanted)
    shapes.like("linear_backward", "y", y.shape, "x · w", wanted)
    return _backend("linear_backward", gy, y, x, w).linear_backward(gy, y, x, w, slope=slope, needs=needs)


def add(a, b):
    """a + b, broadcast."""
    return _backend("add", a, b).add(a, b) if a.shape == b.shape != () else a + b


def leaky_relu(x, *, slope=0.2):
    """x where x > 0, else slope·x."""
    backend = _backend("leaky_relu", x) if x.ndim else reference
    return backend.leaky_relu(x, slope=slope)


def leaky_relu_backward(gy, x, *, slope=0.2):
    """gy where x > 0, else slope·gy."""
    shapes.like("leaky_relu_backward", "gy", gy.shape, "x", x.shape)
    backend = _backend("leaky_relu_backward", gy, x) if x.ndim else reference
    return backend.leaky_relu_backward(gy, x, slope=slope)


def batch_norm_moments(x):
    """(2, C): the mean and the biased variance of x (N, ..., C) over all axes but the last."""
    shapes.moments(x.shape)
    return _backend("batch_norm_moments", x).batch_norm_moments(x)


def batch_norm(x, gamma, beta, *, eps=1e-5, slope=1.0, moments=None):
    """γ (x - μ) / sqrt(σ² + ε) + β, then leaky ReLU of `slope` (1: none). x (N, ..., C); gamma, beta (C,)."""
    shapes.batch_norm(x.shape, gamma.shape, beta.shape)
    backend = _backend("batch_norm", x, reals=[gamma, beta])
    if moments is None:
        moments = backend.batch_norm_moments(x)
    return backend.batch_norm(x, gamma, beta, eps=eps, slope=slope, moments=moments)


def batch_norm_backward(gy, x, gamma, beta, *, eps=1e-5, slope=1.0, moments=None, needs_x=True):
    """(gx, ggamma, gbeta) of batch_norm for the incoming gradient gy; gx is None without needs_x."""
    shapes.batch_norm(x.shape, gamma.shape, beta.shape)
    shapes.like("batch_norm_backward", "gy", gy.shape, "x", x.shape)
    backend = _backend("batch_norm_backward", gy, x, reals=[gamma, beta])
    if moments is None:
        moments = backend.batch_norm_moments(x)
    run = backend.batch_norm_backward
    return run(gy, x, gamma, beta, eps=eps, slope=slope, moments=moments, needs_x=needs_x)


def batch_norm_running(moments, mean, var, *, momentum, count):
    """One step of the running mean and variance (C,), in place, to the moments (2, C) of a batch of `count` values.

    The variance becomes the unbiased one: σ²·count/(count - 1).
    """
    for name, array in (("mean", mean), ("var", var)):
        shapes.like("batch_norm_running", name, array.shape, "one of the moments", moments.shape[1:])
    run = _backend("batch_norm_running", moments, mean, var).batch_norm_running
    run(moments, mean, var, momentum=momentum, count=count)


def _in_place(kernel, params, grads, *states):
    """The backend for an optimiser's lists; ValueError if they do not match, or cannot be written where they lie."""
    if any(len(group) != len(params) for group in (grads, *states)):
        counts = ", ".join(str(len(group)) for group in (params, grads, *states))
        raise ValueError(f"{kernel}: wants lists of one length (parameters, gradients, states), got {counts}")
    for p, g, *others in zip(params, grads, *states):
        for name, array in (("a gradient", g), *(("a state", state) for state in others)):
            shapes.like(kernel, name, array.shape, "its parameter", p.shape)
        if not all(array.flags.c_contiguous for array in (p, *others)):
            raise ValueError(f"{kernel}: changes parameters and states in place and wants them C-contiguous")
    return _backend(kernel, *params, *grads, *(array for state in states for array in state))


def sgd(params, grads, momentum, *, lr, momentum_rate):
    """One step of gradient descent with momentum, in place; lists of arrays, one for each parameter."""
    run = _in_place("sgd", params, grads, momentum).sgd
    run(params, grads, momentum, lr=lr, momentum_rate=momentum_rate)


def rmsprop(params, grads, squares, *, lr, alpha, eps):
    """One RMSprop step, in place; lists of arrays, one for each parameter."""
    _in_place("rmsprop", params, grads, squares).rmsprop(params, grads, squares, lr=lr, alpha=alpha, eps=eps)


def adam(params, grads, ms, vs, *, lr, beta1, beta2, eps, step):
    """One Adam step, in place; lists of arrays, one for each parameter; `step` counts from 1."""
    run = _in_place("adam", params, grads, ms, vs).adam
    run(params, grads, ms, vs, lr=lr, beta1=beta1, beta2=beta2, eps=eps, step=step)
