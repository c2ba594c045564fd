"""How a matrix product is dealt out to blocks: which kernel, how many blocks, how many of them share one sum.

Every convolution is a product y (rows, columns) = Σ over `depth` (maps.cuh), and so one plan serves them all.

Stands on backends.py. Read conv.py next.
"""

from typing import NamedTuple

import numpy as np

from ..rounding import precision
from .backends import add_parts, blocks, int32

VERSIONS = ("plain", "tiled", "tensor")
TILES = {  # rows and columns of y that a block owns, threads
    "tiled": (64, 64, 256),
    "tensor_128x128": (128, 128, 256),
    "tensor_64x64": (64, 64, 128),
    "tensor_128x16": (128, 16, 128),
}
STAGES, DEPTH = 3, 16  # as in tensor_tile.cuh
WAVES = 2  # blocks for each multiprocessor, before sums are worth sharing
SHARE = 8  # steps that a block does at least


class Product(NamedTuple):
    """y (rows, columns), `count` times, each a sum over `depth`.

    along   whether neighbours in memory are neighbours in the sum, for A and for B
    narrow  whether there is a kernel for few columns
    """

    rows: int
    columns: int
    depth: int
    count: int = 1
    along: tuple[bool, bool] = (True, False)
    narrow: bool = True


def choose(backend, dtype, version=None):
    """The version that runs: the one asked for; else tensor cores, for float32 where the device has them.

    ../rounding.py says whether their inputs may be rounded.
    """
    if version is None:
        wanted = np.dtype(dtype) == np.float32 and backend.tensor_cores and precision() != "fp32"
        return "tensor" if wanted else "tiled"
    if version not in VERSIONS:
        raise ValueError(f"version: got {version!r}; know {', '.join(VERSIONS)}")
    return version


def multiply(backend, file, name, arrays, numbers, y, product, version):
    """Run kernel `name` of the chosen version: arrays and numbers are its arguments before and behind y → y."""
    int32(name, *(array.size for array in (*arrays, y)))  # offsets are ints
    numbers = int32(name, *numbers)
    if version == "plain":
        backend.run(file, f"{name}_plain", (blocks(y.size, 256),), (256,), [*arrays, y, *numbers], y.dtype)
        return y
    tile = "tiled" if version == "tiled" else _tile(backend, product)
    rows, columns, threads = TILES[tile]
    grid = blocks(product.rows, rows), blocks(product.columns, columns)
    parts = _parts(backend, grid[0] * grid[1] * product.count, product.depth)
    shared = 0 if version == "tiled" else stages(rows, columns, product.along)
    work = y if parts == 1 else backend.empty((parts, *y.shape), y.dtype)
    build = "bfloat16" if version == "tensor" and precision() == "bf16" else y.dtype
    grid = *grid, product.count * parts
    backend.run(file, f"{name}_{tile}", grid, (threads,), [*arrays, work, *numbers], build, shared)
    if parts > 1:
        add_parts(backend, work, y)
    return y


def _tile(backend, product):
    """Large tiles read memory least; small ones where large ones would leave multiprocessors idle."""
    if product.narrow and product.columns <= 16:
        return "tensor_128x16"
    large = blocks(product.rows, 128) * blocks(product.columns, 128) * product.count
    return "tensor_128x128" if large >= backend.processors and product.columns > 64 else "tensor_64x64"


def _parts(backend, tiles, depth):
    """How many blocks share one sum, so that all multiprocessors have work: a function of shapes and device alone."""
    wanted = blocks(WAVES * backend.processors, tiles)
    return max(1, min(wanted, depth // (DEPTH * SHARE), 64))


def stages(rows, columns, along):
    """Bytes of shared memory: Panel::SIZE of tensor_tile.cuh."""
    sizes = (n * (DEPTH + 4) if lies_along else DEPTH * (n + 8) for n, lies_along in zip((rows, columns), along))
    return STAGES * sum(sizes) * 4
