"""Shapes: what the arguments of a kernel must be, said once for every backend.

Each function checks one kernel's arguments and returns the numbers that the kernel works with; a wrong argument gets
one sentence that names the kernel, the argument, what came and what is wanted.

Stands on nothing. Read reference.py next.
"""

import functools
import operator


def remembered(check):
    """The same check, made once for each set of arguments: a training step asks the same at every turn."""
    known = functools.lru_cache(maxsize=4096, typed=True)(check)

    @functools.wraps(check)
    def ask(*arguments, **options):
        try:
            hash((arguments, *options.values()))
        except TypeError:  # a list
            return check(*arguments, **options)
        return known(*arguments, **options)

    return ask


def pair(value, name="size", low=0):
    """(v, v) for an int, (a, b) for a pair; ValueError below `low`, TypeError for what is not an integer."""
    try:
        both = (value, value) if not isinstance(value, tuple | list) else tuple(value)
        a, b = (operator.index(v) for v in both)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: wants an int or a pair of ints, got {value!r}") from None
    if a < low or b < low:
        raise ValueError(f"{name}: must be at least {low}, got {value!r}")
    return a, b


def _images(kernel, name, shape, letters):
    if len(shape) != 4:
        raise ValueError(f"{kernel}: {name} wants 4 axes {letters}, got shape {shape}")
    if 0 in shape:
        raise ValueError(f"{kernel}: {name} is empty, shape {shape}; wants at least one of each of {letters}")


def _options(kernel, stride, padding):
    return pair(stride, f"{kernel}: stride", low=1), pair(padding, f"{kernel}: padding")


def _windows(kernel, size, window, stride, padding):
    """How many windows fit along each axis."""
    fits = tuple((n + 2 * p - k) // s + 1 for n, k, s, p in zip(size, window, stride, padding))
    if min(fits) < 1:
        raise ValueError(f"{kernel}: a {window} window does not fit into {size} pixels with padding {padding}")
    return fits


@remembered
def conv2d(x, w, stride, padding):
    """(stride, padding, (H', W')) of a conv2d of shapes x and w."""
    _images("conv2d", "x", x, "(N, H, W, C)")
    _images("conv2d", "w", w, "(kh, kw, C, K)")
    if x[3] != w[2]:
        raise ValueError(
            f"conv2d: w has {w[2]} input channels (shape {w}) but x has {x[3]} (shape {x}).\n"
            "x is (N, H, W, C) and w is (kh, kw, C, K)."
        )
    stride, padding = _options("conv2d", stride, padding)
    return stride, padding, _windows("conv2d", x[1:3], w[:2], stride, padding)


@remembered
def conv_transpose2d(x, w, stride, padding, output_padding):
    """(stride, padding, (H', W')) of a conv_transpose2d of shapes x and w."""
    kernel = "conv_transpose2d"
    _images(kernel, "x", x, "(N, H, W, K)")
    _images(kernel, "w", w, "(kh, kw, C, K)")
    if x[3] != w[3]:
        raise ValueError(
            f"{kernel}: w takes {w[3]} channels (shape {w}) but x has {x[3]} (shape {x}).\n"
            "x is (N, H, W, K) and w is (kh, kw, C, K), the weight of the conv2d whose transpose this is."
        )
    stride, padding = _options(kernel, stride, padding)
    rest = pair(output_padding, f"{kernel}: output_padding")
    if any(r >= s for r, s in zip(rest, stride)):
        raise ValueError(f"{kernel}: output_padding {rest} must be smaller than stride {stride}")
    size = tuple((n - 1) * s - 2 * p + k + r for n, s, p, k, r in zip(x[1:3], stride, padding, w[:2], rest))
    if min(size) < 1:
        raise ValueError(f"{kernel}: padding {padding} leaves {size} pixels of x {x} and w {w}")
    return stride, padding, size


@remembered
def conv2d_weight(x, g, kernel_size, stride, padding):
    """(kernel_size, stride, padding) of a conv2d_weight of shapes x and g."""
    kernel = "conv2d_weight"
    _images(kernel, "x", x, "(N, H, W, C)")
    _images(kernel, "g", g, "(N, H', W', K)")
    window = pair(kernel_size, f"{kernel}: kernel_size", low=1)
    stride, padding = _options(kernel, stride, padding)
    fits = _windows(kernel, x[1:3], window, stride, padding)
    if x[0] != g[0] or fits != tuple(g[1:3]):
        raise ValueError(
            f"{kernel}: g must be what conv2d puts out for x {x}, ({x[0]}, {fits[0]}, {fits[1]}, K), got {g}"
        )
    return window, stride, padding


def matmul(a, b):
    """The batch shape and (M, K, N) of a product of shapes a and b."""
    if len(a) < 2 or len(b) < 2 or a[-1] != b[-2]:
        raise ValueError(f"matmul: shapes {a} and {b} do not fit; wants (..., M, K) and (..., K, N)")
    return a[-2], a[-1], b[-1]


@remembered
def linear(x, w, b):
    """Check a linear layer of shapes x (N, K), w (K, M) and b (M,)."""
    if len(x) != 2 or len(w) != 2 or x[1] != w[0] or b != (w[1],):
        raise ValueError(f"linear: wants x (N, K), w (K, M) and b (M,), got {x}, {w} and {b}")


def like(kernel, name, shape, other, wanted):
    """Check that one argument of a kernel has the shape that another asks for."""
    if shape != wanted:
        raise ValueError(f"{kernel}: {name} must have shape {wanted} as {other} asks, got {shape}")


@remembered
def batch_norm(x, gamma, beta):
    """The number of values per channel of a batch norm of shape x."""
    channels = x[-1] if len(x) > 1 else 0
    for name, shape in (("gamma", gamma), ("beta", beta)):
        if shape != (channels,):
            raise ValueError(f"batch_norm: {name} must have shape ({channels},) for x of shape {x}, got {shape}")
    return moments(x)


@remembered
def moments(x):
    """The number of values per channel behind the statistics of a batch norm of shape x."""
    if len(x) < 2:
        raise ValueError(f"batch_norm: x wants at least 2 axes (N, ..., C), got shape {x}")
    count = 1
    for n in x[:-1]:
        count *= n
    if count < 2:
        raise ValueError(f"batch_norm: x of shape {x} has {count} value(s) per channel; a variance wants at least 2")
    return count
