"""Ops that move numbers without changing them: reshape, transpose, indexing, joining, padding, broadcasting.

Each is linear, and its VJP is its transpose: what was copied is summed, what was picked is put back, what was joined is
cut apart. They come in pairs, each one the other's VJP (broadcast_to ↔ sum_to, getitem ↔ put, pad ↔ crop).

Stands on autograd.py. Read elementwise.py next.
"""

import numpy as np

from .. import device as devices
from ..autograd import as_tensor, op
from ..device import array_module
from ..kernels.rounding import real


@op
def reshape(x, *, shape):
    """The same numbers in another shape; one entry may be -1."""
    return x.reshape(shape)


@op
def transpose(x, *, axes=None):
    """Axes in another order; reversed by default."""
    return x.transpose(axes)


reshape.defvjp(x=lambda gy, y, x, shape: reshape(gy, shape=x.shape))
transpose.defvjp(
    x=lambda gy, y, x, axes: transpose(gy, axes=None if axes is None else tuple(np.argsort([a % x.ndim for a in axes])))
)


def swapaxes(x, axis1, axis2):
    """Two axes exchanged."""
    axes = list(range(x.ndim))
    axes[axis1], axes[axis2] = axes[axis2], axes[axis1]
    return transpose(x, axes=tuple(axes))


@op
def broadcast_to(x, *, shape):
    """x repeated along new or length-1 axes, as NumPy broadcasts."""
    return array_module(x).broadcast_to(x, shape)


@op
def sum_to(x, *, shape):
    """x summed over the axes along which `shape` would be broadcast: the transpose of broadcast_to."""
    new = x.ndim - len(shape)
    axes = tuple(range(new)) + tuple(new + i for i, n in enumerate(shape) if n == 1 and x.shape[new + i] != 1)
    return x.sum(axes, keepdims=True, dtype=real(x.dtype)).astype(x.dtype, copy=False).reshape(shape)


broadcast_to.defvjp(x=lambda gy, y, x, shape: sum_to(gy, shape=x.shape))
sum_to.defvjp(x=lambda gy, y, x, shape: broadcast_to(gy, shape=x.shape))


def unbroadcast(gy, x):
    """gy summed to the shape of x, which broadcasting had stretched to gy's; gy itself if it had not."""
    if gy.data.shape == x.data.shape:
        return gy
    return sum_to(gy, shape=x.data.shape)


@op
def getitem(x, *, index):
    """x[index]: integers, slices, None, ..., boolean masks or integer arrays, as in NumPy."""
    return x[index]


@op
def put(x, *, index, shape):
    """Zeros of `shape` with x added at `index`, repeated positions summed: the transpose of getitem."""
    xp = array_module(x)
    y = xp.zeros(shape, x.dtype)
    if _is_basic(index):
        y[index] = x
    else:
        xp.add.at(y, index, x)
    return y


getitem.defvjp(x=lambda gy, y, x, index: put(gy, index=index, shape=x.shape))
put.defvjp(x=lambda gy, y, x, index, shape: getitem(gy, index=index))


def _is_basic(index):
    parts = index if isinstance(index, tuple) else (index,)
    return all(p is None or p is Ellipsis or isinstance(p, int | np.integer | slice) for p in parts)


def take(x, indices, axis=0):
    """Slices of x along an axis at integer positions: an embedding look-up when x is a table (rows, features)."""
    x = as_tensor(x)
    indices = getattr(indices, "data", indices) if not isinstance(indices, np.ndarray) else indices
    indices = array_module(x.data).asarray(indices)
    if indices.dtype.kind not in "iu":
        raise TypeError(f"take: indices must be integers, got {indices.dtype}")
    return getitem(x, index=(slice(None),) * (axis % x.ndim) + (indices,))


@op
def join(*xs, axis):
    """Arrays one after another along an axis."""
    return array_module(xs[0]).concatenate(xs, axis=axis)


def _piece(gy, y, *xs, index, axis):
    start = sum(x.shape[axis] for x in xs[:index])
    cut = [slice(None)] * gy.ndim
    cut[axis] = slice(start, start + xs[index].shape[axis])
    return getitem(gy, index=tuple(cut))


join.defvjp(xs=_piece)


def concatenate(tensors, axis=0):
    """Tensors one after another along an axis; the other lengths must agree."""
    tensors = list(tensors)
    if not tensors:
        raise ValueError("concatenate: wants at least one tensor")
    return join(*tensors, axis=axis)


def stack(tensors, axis=0):
    """Tensors of one shape along a new axis."""
    tensors = [as_tensor(x) for x in tensors]
    axis = axis % (tensors[0].ndim + 1)
    return concatenate([reshape(x, shape=(*x.shape[:axis], 1, *x.shape[axis:])) for x in tensors], axis)


def _widths(x, width):
    widths = [width] * x.ndim if isinstance(width, int) else width
    return tuple((w, w) if isinstance(w, int) else tuple(w) for w in widths)


def pad(x, width, mode="constant"):
    """Margins around x: zeros (mode "constant") or the mirrored inside without its edge (mode "reflect").

    width: an int, or one int or (before, after) pair for each axis.
    """
    x = as_tensor(x)
    widths = _widths(x, width)
    if mode == "constant":
        return pad_constant(x, widths=widths)
    if mode != "reflect":
        raise ValueError(f"pad: mode {mode!r} is not known; know 'constant' and 'reflect'")
    for axis, (before, after) in enumerate(widths):
        n = x.shape[axis]
        if max(before, after) >= n:
            got = f"{before} and {after}"
            raise ValueError(f"pad: reflecting axis {axis} of length {n} allows margins up to {n - 1}, got {got}")
        if before or after:  # mirrored positions are a look-up; its VJP sums what was copied
            x = take(x, np.abs((np.arange(-before, n + after) + n - 1) % (2 * n - 2) - (n - 1)) if n > 1 else [0], axis)
    return x


@op
def pad_constant(x, *, widths):
    """x with margins of zeros; widths: a (before, after) pair for each axis."""
    return array_module(x).pad(x, widths)


def _inside(x, widths):
    return tuple(slice(before, before + n) for n, (before, _) in zip(x.shape, widths))


pad_constant.defvjp(x=lambda gy, y, x, widths: getitem(gy, index=_inside(x, widths)))


@op
def copy_to(x, *, device=None, dtype=None):
    """x on another device or in another dtype; the gradient comes back to where and what x is."""
    if dtype is not None:
        x = x.astype(dtype)
    return x if device is None else devices.move(x, device)


copy_to.defvjp(x=lambda gy, y, x, device, dtype: copy_to(gy, device=x.device, dtype=x.dtype))


def in_dtype(x, dtype):
    """x in a dtype: itself, if that is its own. With bf16, what must be exact beside it is computed in float32."""
    return x if x.dtype == dtype else copy_to(x, dtype=dtype)
