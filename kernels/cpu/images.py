"""Images as the tiles want them: pixels that follow one another, with a margin of zeros when windows reach outside.

Stands on memory.py. Read conv.py next.
"""

from . import memory
from .jit import Kernel
from .tile import poke, read, unpack


@Kernel
def copy_image(zero, table, task):
    """Image `task` of x, with any strides, to the middle of y, whose pixels are dense, with zeros around it."""
    x, y, height, width, channels, x_image, x_row, x_pixel, x_channel = unpack(table, 9)
    top, bottom, left, right, size = unpack(table + 8 * 9, 5)
    pitch = (left + width + right) * channels
    y += size * task * (top + height + bottom) * pitch
    for q in range(top * pitch):
        poke(y, q, zero)
    for q in range((top + height) * pitch, (top + height + bottom) * pitch):
        poke(y, q, zero)
    for i in range(height):
        source = x + size * (task * x_image + i * x_row)
        target = y + size * (top + i) * pitch
        for q in range(left * channels):
            poke(target, q, zero)
        target += size * left * channels
        if x_channel == 1 and x_pixel == channels:
            for q in range(width * channels):
                poke(target, q, read(zero, source, q))
        else:
            for j in range(width):
                for c in range(channels):
                    poke(target, j * channels + c, read(zero, source, j * x_pixel + c * x_channel))
        for q in range(width * channels, (width + right) * channels):
            poke(target, q, zero)
    return 0


def strides(x):
    """Strides in numbers, not bytes."""
    return [s // x.itemsize for s in x.strides]


def dense(x):
    """(x, image stride, row stride), copied only when its pixels do not follow one another in memory."""
    image, row, pixel, channel = strides(x)
    if (channel == 1 or x.shape[3] == 1) and (pixel == x.shape[3] or x.shape[2] == 1):
        return x, image, row
    return _copied(x, 0, 0, 0, 0)


def surrounded(x, top, bottom, left, right):
    """(x, image stride, row stride) where that many rows and columns of zeros may be read around every image.

    Images that were made with a margin wide enough are used as they are.
    """
    need = max(top, bottom, left, right)
    return dense(x) if memory.margin(x) >= need else _copied(x, top, bottom, left, right)


def _copied(x, top, bottom, left, right):
    n, h, w, c = x.shape
    y = memory.empty((n, h + top + bottom, w + left + right, c), x.dtype)
    copy_image(
        x.dtype, n, memory.address(x), memory.address(y), h, w, c, *strides(x), top, bottom, left, right, x.itemsize
    )
    image, row, _, _ = strides(y)
    return y[:, top : top + h, left : left + w], image, row
