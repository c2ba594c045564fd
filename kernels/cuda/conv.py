"""The conv triangle on a GPU: three launchers, one plan.

Twins: ../reference.py, the same names.  Stands on product.py.  Read conv2d.cu next.
"""

from .backends import backend_of, blocks, int32
from .matmul import matmul
from .product import Product, choose, factors, multiply

FEW = 4  # channels of an image, as in conv_transpose2d.cu


def conv2d(x, w, *, stride, padding, version=None):
    """y[n,i,j,k] = Σ_{r,t,c} x[n, i·s+r-p, j·s+t-p, c] · w[r,t,c,k]"""
    backend = backend_of(x, w)
    (n, height, width, channels), (kh, kw, _, filters) = x.shape, w.shape
    rows, columns = ((size + 2 * p - k) // s + 1 for size, p, k, s in zip((height, width), padding, (kh, kw), stride))
    y = backend.empty((n, rows, columns, filters), x.dtype)
    shape = n, height, width, channels, rows, columns, filters, kh, kw, *stride, *padding
    product = Product(n * rows * columns, filters, kh * kw * channels)
    return _run(backend, "conv2d", (x, w), shape, y, product, version)


def conv2d_weight(x, g, *, kernel_size, stride, padding, version=None):
    """y[r,t,c,k] = Σ_{n,i,j} x[n, i·s+r-p, j·s+t-p, c] · g[n,i,j,k]"""
    backend = backend_of(x, g)
    (n, height, width, channels), (_, rows, columns, filters) = x.shape, g.shape
    y = backend.empty((*kernel_size, channels, filters), x.dtype)
    shape = n, height, width, channels, rows, columns, filters, *kernel_size, *stride, *padding
    taps = kernel_size[0] * kernel_size[1] * channels
    product = Product(taps, filters, n * rows * columns, along=(False, False))
    return _run(backend, "conv2d_weight", (x, g), shape, y, product, version)


def conv_transpose2d(x, w, *, stride, padding, size, version=None):
    """y[n, i·s+r-p, j·s+t-p, c] = Σ x[n,i,j,k] · w[r,t,c,k] over all i, j, r, t that land there"""
    backend = backend_of(x, w)
    (n, rows, columns, filters), (kh, kw, channels, _) = x.shape, w.shape
    y = backend.empty((n, *size, channels), x.dtype)
    shape = n, *size, channels, rows, columns, filters, kh, kw, *stride, *padding
    if version == "gather" or (version is None and _gathers(x, w)):
        return _gather(backend, x, w, shape, y)
    down, across = (min(s, pixels) for s, pixels in zip(stride, size))  # phases
    pixels = n * -(-size[0] // stride[0]) * -(-size[1] // stride[1])
    depth = -(-kh // stride[0]) * -(-kw // stride[1]) * filters
    product = Product(pixels, channels, depth, down * across, along=(True, True))
    return _run(backend, "conv_transpose2d", (x, w), shape, y, product, version)


def _gathers(x, w):
    """Whether the taps of an image are few enough to be multiplied with every pixel at once."""
    (n, rows, columns, filters), (kh, kw, channels, _) = x.shape, w.shape
    return channels <= FEW and kh * kw * channels <= 2 * filters and n * rows * columns * kh * kw * channels < 2**31


def _gather(backend, x, w, shape, y):
    """One product of all pixels and all taps; then every pixel of y adds up what lands on it."""
    n, height, width, channels = y.shape
    if channels > FEW:
        raise ValueError(f"version: gather is for at most {FEW} channels, got {channels}")
    parts = matmul(x.reshape(-1, x.shape[-1]), w.reshape(-1, w.shape[-1]).T, exact=True)
    grid = (blocks(n * height * width, 256),)
    numbers = int32("conv_transpose2d_gather", *shape, y.dtype == parts.dtype)
    backend.run("conv_transpose2d", "conv_transpose2d_gather", grid, (256,), [parts, y, *numbers], y.dtype)
    return y


def _run(backend, name, arrays, shape, y, product, version):
    version = choose(backend, y.dtype, version)
    arrays = [backend.xp.ascontiguousarray(array) for array in factors(version, *arrays)]
    return multiply(backend, name, name, arrays, shape, y, product, version)
