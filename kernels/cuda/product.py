"""How a matrix product is dealt out to blocks: which kernel, how many blocks, how many of them share one sum.

Every convolution is a product y (rows, columns) = Σ over `depth` (maps.cuh), and so one plan serves them all.

Stands on backends.py. Read conv.py next.
"""

import functools
from typing import NamedTuple

import numpy as np

from ..rounding import bfloat16, is_bfloat16, precision, real
from .backends import add_parts, blocks, int32

VERSIONS = ("plain", "tiled", "tensor")


class Tile(NamedTuple):
    """How a block is built.

    Rows and columns of y that it owns; its threads; how many blocks fit on a multiprocessor; the clocks in which that
    issues one step of a block (machine_code.py: four instructions a clock).
    """

    rows: int
    columns: int
    threads: int
    resident: int
    clocks: int


TILES = {
    "tiled": Tile(64, 64, 256, 2, 900),
    "tensor_256x128": Tile(256, 128, 256, 1, 520),
    "tensor_128x128": Tile(128, 128, 128, 2, 260),
    "tensor_128x64": Tile(128, 64, 128, 3, 200),
    "tensor_64x64": Tile(64, 64, 128, 4, 140),
    "tensor_128x16": Tile(128, 16, 128, 4, 130),
}
STAGES, DEPTH = 3, 16  # as in tensor_tile.cuh, of float32
SHARE, MOST = 8, 256  # steps that a block does at least; blocks that share a sum at most

# What a multiprocessor does in a clock, about Hopper's: products on its tensor cores, TF32; numbers that it reads from
# the second-level cache, and that it writes. Clocks that a block alone on it waits for each step; that the instructions
# before a thread's first step take.
#
# By these numbers a step of the largest tile takes 820 clocks to multiply and 768 to read. sm_90's own instruction,
# wgmma, would multiply in 512: it would pay little, unless blocks shared what they read.
PRODUCTS, READS, WRITES, WAITS, THREAD = 640, 8, 4, 300, 5


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
    """The version that runs: the one asked for, a tile perhaps; else tensor cores, where there are some for the dtype.

    ../rounding.py says whether float32 may be rounded.
    """
    if version is None:
        dtype = np.dtype(dtype)
        rounded = (dtype == np.float32 and precision() != "fp32") or is_bfloat16(dtype)
        return "tensor" if rounded and backend.tensor_cores else "tiled"
    if version not in (*VERSIONS, *TILES):
        raise ValueError(f"version: got {version!r}; know {', '.join(dict.fromkeys((*VERSIONS, *TILES)))}")
    if version.startswith("tensor") and not backend.tensor_cores:
        raise ValueError(f"version: {version} wants tensor cores as GPUs have from sm_80 on; take 'tiled'")
    return version


def factors(version, *arrays):
    """The arrays as tensor cores shall read them: in bf16, if that is the precision."""
    if version.startswith("tensor") and precision() == "bf16" and arrays[0].dtype == np.float32:
        return [array.astype(bfloat16()) for array in arrays]
    return arrays


def multiply(backend, file, name, arrays, numbers, y, product, version):
    """Run kernel `name` of the chosen version: arrays and numbers are its arguments before and behind y → y."""
    int32(name, *(array.size for array in (*arrays, y)))  # offsets are ints
    dtype = arrays[0].dtype
    chosen, parts = ("plain", 1) if version == "plain" else plan(_halved(product, dtype), version, backend.processors)
    work = y if parts == 1 else backend.empty((parts, *y.shape), real(dtype))
    args = [*arrays, work, *int32(name, *numbers, work.dtype == real(dtype))]
    if chosen == "plain":
        grid, threads, shared = (blocks(y.size, 256),), 256, 0
    else:
        rows, columns, threads = TILES[chosen][:3]
        grid = blocks(product.rows, rows), blocks(product.columns, columns), product.count * parts
        shared = 0 if chosen == "tiled" else stages(rows, columns, product.along)
    backend.run(file, f"{name}_{chosen}", grid, (threads,), args, dtype, shared)
    if parts > 1:
        add_parts(backend, work, y)
    return y


def _halved(product, dtype):
    """To the plan a product of bf16 is one of half the depth: a step takes as long, and does twice as much of it."""
    return product._replace(depth=blocks(product.depth, 2)) if is_bfloat16(dtype) else product


@functools.lru_cache(maxsize=1024)
def plan(product, version, processors):
    """(the name of a tile, how many blocks share one sum): what takes the busiest multiprocessor the least time.

    A large tile reads less for each sum, but there are few of them, and multiprocessors without one are idle; blocks
    that share a sum are many again, but write it more than once. A function of shapes and device alone, so that a run
    can be repeated to the last bit. The model is arithmetic on paper: not yet measured on a GPU.
    """
    names = [name for name in TILES if version in (name, name.split("_")[0])]
    names = [name for name in names if product.narrow or name != "tensor_128x16"]
    if not names:
        raise ValueError(f"version: there is no {version} for this product")
    steps = blocks(product.depth, DEPTH)
    choices = [(name, parts) for name in names for parts in range(1, max(1, min(MOST, steps // SHARE)) + 1)]

    def cost(choice):
        name, parts = choice
        return _time(product, TILES[name], parts, steps, processors), TILES[name].clocks

    return min(choices, key=cost)


def _time(product, tile, parts, steps, processors):
    """Clocks of the busiest multiprocessor."""
    tiles = blocks(product.rows, tile.rows) * blocks(product.columns, tile.columns) * product.count
    mine = blocks(tiles * parts, processors)
    rows, columns = min(tile.rows, product.rows), min(tile.columns, product.columns)
    step = max(
        tile.clocks,
        DEPTH * tile.rows * tile.columns / PRODUCTS,
        DEPTH * (rows + columns) / READS,
        WAITS / min(mine, tile.resident),
    )
    added = (parts + 1) * product.rows * product.columns * product.count / processors if parts > 1 else 0
    once = THREAD * tile.threads + rows * columns / WRITES
    return mine * (step * blocks(steps, parts) + once) + added / WRITES


def stages(rows, columns, along):
    """Bytes of shared memory: Panel::SIZE of tensor_tile.cuh."""
    sizes = (n * (DEPTH + 4) if lies_along else DEPTH * (n + 8) for n, lies_along in zip((rows, columns), along))
    return STAGES * sum(sizes) * 4
