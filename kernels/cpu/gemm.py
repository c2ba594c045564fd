"""Matrix products from tiles: the three loops that every convolution and matmul here comes down to.

    pack     B[k, j], wherever its numbers lie  →  panels of COLUMNS columns, each one contiguous
    gather   y = A · B     A's rows are windows of images: computed addresses, never a matrix in memory (implicit GEMM)
    outer    y = Aᵀ · G    a sum over pixels: A's columns are taps of the window, G the incoming gradient

Work is cut into tasks for the threads; every number of y is summed by one task in one fixed order, so that the result
does not depend on how many threads there are. All arguments are addresses (bytes), strides and counts (numbers).

Stands on tile.py. Read conv.py next, which says what to put where.
"""

import numpy as np
from numba.extending import register_jitable

from . import memory
from .jit import Kernel, threads
from .simd import VECTORS, lanes
from .tile import (
    ROWS,
    copy_vector,
    enter,
    entry,
    gather_narrow_tile,
    gather_tile,
    outer_tile,
    peek,
    poke,
    read,
    transpose_tile,
    unpack,
)

CHUNK = 384  # rows of A that a task walks before the next panel: their windows and one panel fit in the L2 cache
SMALL = 1 << 13  # numbers in a panel below which one thread is faster than two
WORTH_SHARING = 1 << 20  # multiply-adds from which on a second thread pays
BLOCK = 256  # pixels that `outer` sums in registers before it goes back to memory


def columns(itemsize, outputs=None):
    """Columns of a tile: VECTORS vector registers, or one where that is enough for all outputs."""
    lane = lanes(itemsize)
    return lane if outputs is not None and outputs <= lane else VECTORS * lane


@register_jitable
def pack_panel(zero, a, inner, inner_step, n, column_step, b, wide, lane, size):
    """b[q, j] = a[q·inner_step + j·column_step] for q < inner, j < n; 0 for n ≤ j < wide."""
    done = 0
    if n == wide and column_step == 1:
        for q in range(inner):
            for j in range(0, wide, lane):
                copy_vector(zero, a + size * (q * inner_step + j), b + size * (q * wide + j))
        done = inner
    elif n == wide and inner_step == 1:
        done = inner // lane * lane
        for q in range(0, done, lane):
            for j in range(0, wide, lane):
                transpose_tile(zero, a + size * (q + j * column_step), column_step, b + size * (q * wide + j), wide)
    for q in range(done, inner):
        for j in range(n):
            poke(b, q * wide + j, read(zero, a, q * inner_step + j * column_step))
        for j in range(n, wide):
            poke(b, q * wide + j, zero)


@register_jitable
def walk_rows(zero, a, rows, places, count, runs, pitch, length, b, y, here, wide, lane, size, edge, own):
    """One panel b of `here` columns for `count` rows of a: full tiles go straight to y, cut ones by way of `edge`."""
    for m in range(0, count, ROWS):
        to, at = y, places + 8 * m
        if here < wide:
            to, at = edge, own
        if wide == lane:
            gather_narrow_tile(zero, a, rows + 8 * m, runs, pitch, length, b, to, at)
        else:
            gather_tile(zero, a, rows + 8 * m, runs, pitch, length, b, to, at)
        if here < wide:
            for i in range(ROWS):
                for k in range(here):
                    poke(y, entry(places, m + i) + k, peek(zero, edge, i * wide + k))


@Kernel
def pack(zero, table, task):
    """packed[panel, tap·inner + q, j] = source[taps[tap] + q·inner_step + (panel·wide + j)·column_step], 0 beyond width."""
    source, taps, count, inner, inner_step, width, column_step, packed, wide, lane, size, tasks = unpack(table, 12)
    units = (width + wide - 1) // wide * count
    for unit in range(units * task // tasks, units * (task + 1) // tasks):
        panel, tap = unit // count, unit % count
        a = source + size * (entry(taps, tap) + panel * wide * column_step)
        b = packed + size * unit * inner * wide
        pack_panel(zero, a, inner, inner_step, min(wide, width - panel * wide), column_step, b, wide, lane, size)
    return 0


@Kernel
def gather(zero, table, task):
    """y[n,i,j, :outputs] = Σ over `runs` stretches of `length` numbers, `pitch` apart, from a's pixel [n,i,j], times b."""
    a, b, y, images, height, width, a_image, a_row, a_pixel, y_image, y_row, y_pixel = unpack(table, 12)
    runs, pitch, length, outputs, wide, lane, size, chunks, groups, work, work_bytes = unpack(table + 8 * 12, 11)
    total = images * height * width
    tiles = (total + ROWS - 1) // ROWS
    panels = (outputs + wide - 1) // wide
    panel_bytes = size * runs * length * wide
    chunk, group = task // groups, task % groups
    first, last = tiles * chunk // chunks * ROWS, tiles * (chunk + 1) // chunks * ROWS
    edge = work + task * work_bytes  # a tile that sticks out over the last column lands here first
    own = edge + size * ROWS * wide
    rows = own + 8 * ROWS
    places = rows + 8 * (last - first)
    for i in range(ROWS):
        enter(own, i, i * wide)
    n, i, j = first // (height * width), first // width % height, first % width
    for m in range(last - first):
        enter(rows, m, n * a_image + i * a_row + j * a_pixel)
        enter(places, m, n * y_image + i * y_row + j * y_pixel)
        if first + m + 1 < total:  # rows beyond the end repeat the last pixel: the same numbers to the same place
            j += 1
            if j == width:
                i, j = i + 1, 0
                if i == height:
                    n, i = n + 1, 0
    for panel in range(panels * group // groups, panels * (group + 1) // groups):
        walk_rows(
            zero, a, rows, places, last - first, runs, pitch, length, b + panel * panel_bytes,
            y + size * panel * wide, min(wide, outputs - panel * wide), wide, lane, size, edge, own,
        )  # fmt: skip
    return 0


@Kernel
def product(zero, table, task):
    """y[m, n] = Σ_k a[m, k] · b[k, n], y contiguous and a's rows too; small enough that each task packs its own b."""
    a, b, y, height, depth, width, a_row, b_row, b_step, wide, lane, size = unpack(table, 12)
    chunks, groups, work, work_bytes = unpack(table + 8 * 12, 4)
    tiles = (height + ROWS - 1) // ROWS
    panels = (width + wide - 1) // wide
    chunk, group = task // groups, task % groups
    first, last = tiles * chunk // chunks * ROWS, tiles * (chunk + 1) // chunks * ROWS
    packed = work + task * work_bytes
    edge = packed + size * depth * wide
    own = edge + size * ROWS * wide
    rows = own + 8 * ROWS
    places = rows + 8 * (last - first)
    for i in range(ROWS):
        enter(own, i, i * wide)
    for m in range(last - first):
        row = min(first + m, height - 1)
        enter(rows, m, row * a_row)
        enter(places, m, row * width)
    for panel in range(panels * group // groups, panels * (group + 1) // groups):
        here = min(wide, width - panel * wide)
        pack_panel(zero, b + size * panel * wide * b_step, depth, b_row, here, b_step, packed, wide, lane, size)
        walk_rows(
            zero, a, rows, places, last - first, 1, 0, depth, packed, y + size * panel * wide, here, wide, lane, size,
            edge, own,
        )  # fmt: skip
    return 0


@Kernel
def outer(zero, table, task):
    """y[k, :outputs] = Σ over pixels [n,i,j] of a[pixel + taps[k]] · g[pixel, :outputs], for k < depth; y contiguous."""
    a, g, y, images, height, width, a_image, a_row, a_pixel, g_image, g_row, g_pixel = unpack(table, 12)
    taps, depth, outputs, block, splits, wide, lane, size, work, work_bytes = unpack(table + 8 * 12, 10)
    total = images * height * width
    tiles = (depth + ROWS - 1) // ROWS
    panel, split = task // splits, task % splits
    here = min(wide, outputs - panel * wide)
    target = y + size * panel * wide
    packed = work + task * work_bytes
    edge = packed + size * block * wide
    own = edge + size * ROWS * wide
    places = own + 8 * ROWS
    segments = places + 8 * tiles * ROWS
    lengths = segments + 8 * block
    for i in range(ROWS):
        enter(own, i, i * wide)
    for k in range(tiles * ROWS):
        enter(places, k, min(k, depth - 1) * outputs)
    for first in range(0, total, block):
        last = min(total, first + block)
        count, m = 0, first
        while m < last:  # the block as stretches of pixels of one image row; g's panel of it, packed
            n, i, j = m // (height * width), m // width % height, m % width
            run = min(width - j, last - m)
            enter(segments, count, n * a_image + i * a_row + j * a_pixel)
            enter(lengths, count, run)
            count += 1
            for q in range(run):
                source = g + size * (n * g_image + i * g_row + (j + q) * g_pixel + panel * wide)
                b = packed + size * (m - first + q) * wide
                if here == wide:
                    for k in range(0, wide, lane):
                        copy_vector(zero, source + size * k, b + size * k)
                else:
                    for k in range(here):
                        poke(b, k, read(zero, source, k))
                    for k in range(here, wide):
                        poke(b, k, zero)
            m += run
        for t in range(tiles * split // splits, tiles * (split + 1) // splits):
            k0 = t * ROWS
            whole = here == wide and k0 + ROWS <= depth
            to, at, more = target, places + 8 * k0, first
            if not whole:
                to, at, more = edge, own, 0
            outer_tile(zero, a, segments, lengths, count, a_pixel, taps + 8 * k0, packed, to, at, more)
            if not whole:
                for i in range(min(ROWS, depth - k0)):
                    for k in range(here):
                        cell = entry(places, k0 + i) + k
                        value = peek(zero, edge, i * wide + k)
                        poke(target, cell, value + peek(zero, target, cell) if first else value)
    return 0


def packed_panels(source, taps, inner, inner_step, width, column_step):
    """The matrix (len(taps)·inner, width) that lies in `source` at these offsets and strides, as panels."""
    size, wide = source.itemsize, columns(source.itemsize, width)
    count = -(-width // wide)
    panels = memory.empty((count, len(taps) * inner, wide), source.dtype)
    table = np.array(taps, np.int64)
    tasks = 1 if panels.size < SMALL else min(count * len(taps), 4 * threads())
    pack(
        source.dtype, tasks, memory.address(source), memory.address(table), len(taps), inner, inner_step, width,
        column_step, memory.address(panels), wide, lanes(size), size, tasks,
    )  # fmt: skip
    return panels


def run_gather(dtype, a, panels, y, pixels, a_strides, y_strides, runs, pitch, length, outputs):
    """`gather` with its work cut for the threads; pixels = (images, height, width), a and y addresses."""
    size, workers, wide = dtype.itemsize, threads(), panels.shape[2]
    total = pixels[0] * pixels[1] * pixels[2]
    chunks, groups = -(-total // CHUNK), 1
    if panels.size * total < SMALL * ROWS:
        chunks = 1
    elif chunks < 2 * workers:  # few rows: cut the columns, too
        chunks = max(1, min(workers, total // (4 * ROWS)))
        groups = min(panels.shape[0], workers)
    elif chunks % workers:
        chunks += workers - chunks % workers
    tiles = -(-total // ROWS)
    work_bytes = _whole_lines(ROWS * (wide * size + 8) + 16 * ROWS * (tiles // chunks + 1))
    work = memory.empty((chunks * groups, work_bytes), np.uint8)
    gather(
        dtype, chunks * groups, a, memory.address(panels), y, *pixels, *a_strides, *y_strides,
        runs, pitch, length, outputs, wide, lanes(size), size, chunks, groups, memory.address(work), work_bytes,
    )  # fmt: skip


def run_product(a, b, y):
    """`product` of matrices whose rows (of a and y) are contiguous, cut for the threads when that pays."""
    (height, depth), width, size = a.shape, b.shape[1], a.itemsize
    wide = columns(size, width)
    panels, tiles = -(-width // wide), -(-height // ROWS)
    chunks = groups = 1
    if height * depth * width > WORTH_SHARING:
        workers = threads()
        if panels % workers == 0:
            groups = workers
        else:
            chunks = min(workers, tiles)
    work_bytes = _whole_lines(size * wide * (depth + ROWS) + 8 * ROWS + 16 * ROWS * (tiles // chunks + 1))
    work = memory.empty((chunks * groups * work_bytes,), np.uint8)
    b_row, b_step = b.strides
    product(
        a.dtype, chunks * groups, memory.address(a), memory.address(b), memory.address(y), height, depth, width,
        a.strides[0] // size, b_row // size, b_step // size, wide, lanes(size), size, chunks, groups,
        memory.address(work), work_bytes,
    )  # fmt: skip


def run_outer(dtype, a, g, y, pixels, a_strides, g_strides, taps, outputs):
    """`outer` with its work cut for the threads; taps: the offsets of y's rows from a pixel of a."""
    size, workers, wide = dtype.itemsize, threads(), columns(dtype.itemsize)
    depth = len(taps)
    table = np.empty(-(-depth // ROWS) * ROWS, np.int64)
    table[:depth], table[depth:] = taps, taps[-1]
    panels, total = -(-outputs // wide), pixels[0] * pixels[1] * pixels[2]
    splits = 1 if panels % workers == 0 else min(workers, -(-depth // ROWS))
    block = min(BLOCK, total)
    work_bytes = _whole_lines(size * wide * (block + ROWS) + 8 * (ROWS + len(table) + 2 * block))
    work = memory.empty((panels * splits, work_bytes), np.uint8)
    outer(
        dtype, panels * splits, a, g, y, *pixels, *a_strides, *g_strides, memory.address(table), depth, outputs,
        block, splits, wide, lanes(size), size, memory.address(work), work_bytes,
    )  # fmt: skip


def _whole_lines(count):
    """Bytes rounded up to whole cache lines, so that two tasks never write to one."""
    return (count + 127) & ~127
