"""Memory for results: blocks that are used again, and images that come with a margin of zeros.

A training step makes the same arrays every time. Fresh ones from the system cost a page fault for every 4 KiB; a block
whose last array is gone is handed out again instead. Nothing is freed by hand: a block is free when only the pool still
refers to it.

A convolution with padding reads a margin of zeros around each image. Kernels whose result often goes into one write it
inside a larger block whose margin is zero (`with_margin`); the convolution sees that (`margin`) and copies nothing.

Stands on NumPy. Read conv.py next.
"""

import ctypes
import sys
import threading

import numpy as np

SMALL = 1 << 17  # bytes up to which NumPy's own allocator is as good
KEEP = 1 << 28  # bytes of unused blocks that are kept at most
_ALIGN = 64

_lock = threading.Lock()
_blocks = {}  # bytes -> list of (block, its aligned part)
_margins = {}  # id of a block -> (address, shape, strides, margin) of the image array inside it


def _free(blocks):
    """The place of the first of these (block, its aligned part) that nobody else refers to; None if there is none."""
    for i, (block, _) in enumerate(blocks):
        if sys.getrefcount(block) <= _unused:
            return i
    return None


def _block(size):
    """A fresh block, and the `size` bytes of it that begin at a cache line."""
    block = np.empty(size + _ALIGN, np.uint8)
    start = -address(block) % _ALIGN
    return block, block[start : start + size]


def empty(shape, dtype):
    """An uninitialised C-contiguous array; a large one lies in a block that was used before where one is free."""
    dtype = np.dtype(dtype)
    count = 1
    for n in shape:
        count *= n
    size = count * dtype.itemsize
    if size <= SMALL:
        return np.empty(shape, dtype)
    block = _take(size)
    _margins.pop(id(block.base), None)
    return block.view(dtype)[:count].reshape(shape)


def empty_like(x):
    """An uninitialised C-contiguous array of x's shape and dtype."""
    return empty(x.shape, x.dtype)


def _take(size):
    """At least `size` bytes, aligned to a cache line, of a block that nobody uses."""
    size = (size + 4095) & ~4095
    with _lock:
        blocks = _blocks.setdefault(size, [])
        i = _free(blocks)
        if i is None:
            _trim(size)
            i = len(blocks)
            blocks.append(_block(size))
        return blocks[i][1][:]  # a new view: it is what keeps the block in use


def _trim(coming):
    """Give unused blocks of other sizes back to the system when they add up to too much."""
    free = [(size, i) for size, blocks in _blocks.items() for i in range(len(blocks)) if _free(blocks[i : i + 1]) == 0]
    excess = sum(size for size, _ in free) - KEEP
    for size, i in sorted(free, reverse=True):
        if excess <= 0 or size == coming:
            continue
        _margins.pop(id(_blocks[size][i][0]), None)
        del _blocks[size][i]
        excess -= size


def with_margin(shape, dtype, margin=1):
    """An uninitialised array of images (N, H, W, C) in the middle of a block whose margin is zero."""
    n, h, w, c = shape
    whole = (n, h + 2 * margin, w + 2 * margin, c)
    size = n * whole[1] * whole[2] * c * np.dtype(dtype).itemsize
    if size <= SMALL:
        return np.zeros(whole, dtype)[:, margin : margin + h, margin : margin + w]
    whole = _take(size)[:size].view(dtype).reshape(whole)
    inside = whole[:, margin : margin + h, margin : margin + w]
    description = (address(inside), inside.shape, inside.strides, margin)
    if _margins.get(id(whole.base)) != description:  # else the zeros of its last use are still there
        whole[:, :margin] = whole[:, -margin:] = 0
        whole[:, :, :margin] = whole[:, :, -margin:] = 0
        _margins[id(whole.base)] = description
    return inside


def margin(x):
    """How many rows and columns of zeros are known to lie around the images x, in memory that is theirs."""
    known = _margins.get(id(x.base))
    return known[3] if known is not None and known[:3] == (address(x), x.shape, x.strides) else 0


def _slow_address(x):
    return x.__array_interface__["data"][0]


def _fast_address(x):
    return _integer_at(id(x) + _HEADER).value


_HEADER, _integer_at = object.__basicsize__, ctypes.c_ssize_t.from_address
_probe = np.empty(1)
# NumPy's C API fixes `data` as an array's first field behind the object header: ten times as fast as asking the array
address = _fast_address if _fast_address(_probe) == _slow_address(_probe) else _slow_address


def _references_at_rest():
    """How many references `_free` sees of a block that only the pool holds."""
    for block, _ in [_block(8)]:
        return sys.getrefcount(block)


_unused = _references_at_rest()
