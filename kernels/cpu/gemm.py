"""Matrix products from tiles: the three loops that every convolution and matmul here comes down to.

    pack     B[k, j], wherever its numbers lie  →  panels of COLUMNS columns, each one contiguous
    gather   y = A · B     A's rows are windows of images: computed addresses, never a matrix in memory (implicit GEMM)
    outer    y = Aᵀ · G    a sum over pixels: A's columns are taps of the window, G the incoming gradient
    dots     gather, where B has few columns

Work is cut into tasks for the threads; every number of y is summed by one task in one fixed order, so that the result
does not depend on how many threads there are. All arguments are addresses (bytes), strides and counts (numbers).

Stands on tile.py. Read conv.py next, which says what to put where.
"""

from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable

from . import memory
from .jit import Kernel, threads
from .simd import VECTORS, lanes
from .tile import (
    OUTER_ROWS,
    ROWS,
    copy_vector,
    dot_rows,
    dot_tile_1,
    dot_tile_2,
    dot_tile_3,
    dot_tile_4,
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
def list_pixels(table, first, count, total, height, width, image, row, pixel):
    """table[m] = where pixel first + m lies, in an array of these strides; beyond the last pixel, the last again."""
    n, i, j = first // (height * width), first // width % height, first % width
    for m in range(count):
        enter(table, m, n * image + i * row + j * pixel)
        if first + m + 1 < total:
            j += 1
            if j == width:
                i, j = i + 1, 0
                if i == height:
                    n, i = n + 1, 0


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
    """packed[panel, tap·inner + q, j] = source[taps[tap] + q·inner_step + (panel·wide + j)·column_step], else 0."""
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
    """y[n,i,j, :outputs] = Σ over `runs` stretches of `length` numbers, `pitch` apart, from a[n,i,j] on, times b.

    b is panels, panel_bytes apart; or, where that is 0, a plain matrix of which every task packs what it needs.
    The table holds several such jobs, each cut into chunks·groups tasks. All jobs of a chunk come one after another:
    what they read of a is still in the cache.
    """
    jobs, entries = unpack(table, 2)
    table += 8 * (2 + task % jobs * entries)
    a, b, y, images, height, width, a_image, a_row, a_pixel, y_image, y_row, y_pixel = unpack(table, 12)
    runs, pitch, length, outputs, wide, lane, size, chunks, groups, work, work_bytes = unpack(table + 96, 11)
    panel_bytes, b_row, b_step = unpack(table + 184, 3)
    total = images * height * width
    tiles = (total + ROWS - 1) // ROWS
    panels = (outputs + wide - 1) // wide
    chunk, group = task // jobs // groups, task // jobs % groups
    first, last = tiles * chunk // chunks * ROWS, tiles * (chunk + 1) // chunks * ROWS
    edge = work + task * work_bytes  # a tile that sticks out over the last column lands here first
    own = edge + size * ROWS * wide
    rows = own + 8 * ROWS
    places = rows + 8 * (last - first)
    for i in range(ROWS):
        enter(own, i, i * wide)
    # rows beyond the end repeat the last pixel: the same numbers to the same place
    list_pixels(rows, first, last - first, total, height, width, a_image, a_row, a_pixel)
    list_pixels(places, first, last - first, total, height, width, y_image, y_row, y_pixel)
    packed = places + 8 * (last - first)
    for panel in range(panels * group // groups, panels * (group + 1) // groups):
        column, here = size * panel * wide, min(wide, outputs - panel * wide)
        if panel_bytes:
            packed = b + panel * panel_bytes
        else:
            pack_panel(zero, b + column * b_step, length, b_row, here, b_step, packed, wide, lane, size)
        walk_rows(
            zero, a, rows, places, last - first, runs, pitch, length, packed, y + column, here, wide, lane, size,
            edge, own,
        )  # fmt: skip
    return 0


@Kernel
def dots(zero, table, task):
    """y[n,i,j, :outputs] of gather, for 1 ... DOT_OUTPUTS outputs and runs of whole registers; b as in dot_tile.

    The table holds several such jobs, as gather's does.
    """
    jobs, entries, chunks = unpack(table, 3)
    chunk = task // jobs
    table += 8 * (3 + task % jobs * entries)
    a, b, y, images, height, width, a_image, a_row, a_pixel, y_image, y_row, y_pixel = unpack(table, 12)
    runs, pitch, steps, outputs, together, work, work_bytes = unpack(table + 96, 7)
    total = images * height * width
    tiles = (total + together - 1) // together
    first, last = tiles * chunk // chunks * together, tiles * (chunk + 1) // chunks * together
    rows = work + task * work_bytes
    places = rows + 8 * (last - first)
    list_pixels(rows, first, last - first, total, height, width, a_image, a_row, a_pixel)
    list_pixels(places, first, last - first, total, height, width, y_image, y_row, y_pixel)
    for m in range(0, 8 * (last - first), 8 * together):
        if outputs == 1:
            dot_tile_1(zero, a, rows + m, runs, pitch, steps, b, y, places + m)
        elif outputs == 2:
            dot_tile_2(zero, a, rows + m, runs, pitch, steps, b, y, places + m)
        elif outputs == 3:
            dot_tile_3(zero, a, rows + m, runs, pitch, steps, b, y, places + m)
        else:
            dot_tile_4(zero, a, rows + m, runs, pitch, steps, b, y, places + m)
    return 0


@register_jitable
def pack_pixels(zero, g, pixels, count, here, packed, wide, lane, size):
    """packed[m, j] = g[pixels[m] + j] for j < here, 0 up to wide."""
    if here == wide:
        for m in range(count):
            source, target = g + size * entry(pixels, m), packed + size * m * wide
            for v in range(VECTORS):
                copy_vector(zero, source + size * lane * v, target + size * lane * v)
    else:
        for m in range(count):
            for j in range(wide):
                poke(packed, m * wide + j, read(zero, g, entry(pixels, m) + j) if j < here else zero)


@register_jitable
def walk_taps(zero, a, pixels, count, taps, first, last, depth, b, y, places, here, more, wide, size, edge, own):
    """One block of pixels and one panel b for the tiles first ... last of the taps; cut tiles by way of `edge`."""
    for k in range(first * OUTER_ROWS, last * OUTER_ROWS, OUTER_ROWS):
        whole = here == wide and k + OUTER_ROWS <= depth
        if whole:
            outer_tile(zero, a, pixels, count, taps + 8 * k, b, y, places + 8 * k, more)
        else:
            outer_tile(zero, a, pixels, count, taps + 8 * k, b, edge, own, 0)
            for i in range(min(OUTER_ROWS, depth - k)):
                for j in range(here):
                    cell, value = entry(places, k + i) + j, peek(zero, edge, i * wide + j)
                    poke(y, cell, value + peek(zero, y, cell) if more else value)


@Kernel
def outer(zero, table, task):
    """y[k, :outputs] = Σ over pixels [n,i,j] of a[pixel + taps[k]] · g[pixel, :outputs], k < depth; y contiguous."""
    a, g, y, images, height, width, a_image, a_row, a_pixel, g_image, g_row, g_pixel = unpack(table, 12)
    taps, depth, outputs, block, groups, splits, together, wide, lane, size, work, work_bytes = unpack(table + 96, 12)
    total = images * height * width
    tiles = (depth + OUTER_ROWS - 1) // OUTER_ROWS
    panels = (outputs + wide - 1) // wide
    group, split = task // splits, task % splits
    packed = work + task * work_bytes
    edge = packed + size * block * wide
    own = edge + size * OUTER_ROWS * wide
    places = own + 8 * OUTER_ROWS
    a_pixels = places + 8 * tiles * OUTER_ROWS
    g_pixels = a_pixels + 8 * block
    for i in range(OUTER_ROWS):
        enter(own, i, i * wide)
    for k in range(tiles * OUTER_ROWS):
        enter(places, k, min(k, depth - 1) * outputs)
    begin, end = panels * group // groups, panels * (group + 1) // groups
    for start in range(begin, end, together):
        for first in range(0, total, block):
            count = min(total - first, block)
            list_pixels(a_pixels, first, count, total, height, width, a_image, a_row, a_pixel)
            list_pixels(g_pixels, first, count, total, height, width, g_image, g_row, g_pixel)
            for panel in range(start, min(start + together, end)):
                column, here = panel * wide, min(wide, outputs - panel * wide)
                pack_pixels(zero, g + size * column, g_pixels, count, here, packed, wide, lane, size)
                walk_taps(
                    zero, a, a_pixels, count, taps, tiles * split // splits, tiles * (split + 1) // splits, depth,
                    packed, y + size * column, places, here, first, wide, size, edge, own,
                )  # fmt: skip
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


class Job(NamedTuple):
    """One product for `gather`: addresses a and y, the panels and the first of their rows that count, and the rest."""

    a: int
    y: int
    first_row: int
    pixels: tuple  # images, height, width
    a_strides: tuple
    y_strides: tuple
    runs: int
    pitch: int
    length: int
    outputs: int


def run_gather(panels, *jobs):
    """`gather` of jobs that share panels, their work cut for the threads together."""
    dtype, wide = panels.dtype, panels.shape[2]
    size, workers = dtype.itemsize, threads()
    total = max(job.pixels[0] * job.pixels[1] * job.pixels[2] for job in jobs)
    chunks, groups = -(-total // CHUNK), 1
    if panels.size * total < SMALL * ROWS:
        chunks = 1
    elif chunks < 2 * workers and len(jobs) == 1:  # few rows: cut the columns, too
        chunks = max(1, min(workers, total // (4 * ROWS)))
        groups = min(panels.shape[0], workers)
    elif chunks * len(jobs) % workers:
        chunks += workers - chunks % workers
    numbers = []
    for job in jobs:
        b = memory.address(panels) + size * wide * job.first_row
        numbers.append((b, job, size * panels.shape[1] * wide, 0, 0, 0))
    _launch(dtype, wide, total, chunks, groups, numbers)


def run_dots(b, jobs):
    """`dots` of jobs whose b lie in one array (rows, lanes), one after another; Job.first_row counts its rows."""
    size, lane, workers = b.itemsize, b.shape[1], threads()
    together = dot_rows(size, jobs[0].outputs)
    total = max(job.pixels[0] * job.pixels[1] * job.pixels[2] for job in jobs)
    chunks = 1 if b.size * total < SMALL * ROWS else -(-total // CHUNK)
    chunks += -chunks % workers * (chunks > 1)
    work_bytes = _whole_lines(16 * together * (-(-total // together) // chunks + 1))
    work = memory.empty((chunks * len(jobs) * work_bytes,), np.uint8)
    numbers = [len(jobs), 19, chunks]
    for job in jobs:
        numbers += (
            job.a, memory.address(b) + size * lane * job.first_row, job.y, *job.pixels, *job.a_strides, *job.y_strides,
            job.runs, job.pitch, job.length // lane, job.outputs, together, memory.address(work), work_bytes,
        )  # fmt: skip
    dots(b.dtype, chunks * len(jobs), *numbers)


def run_product(a, b, y):
    """y = a · b of matrices whose rows (of a and y) are contiguous, b small enough for every task to pack its own."""
    (height, depth), width, size = a.shape, b.shape[1], a.itemsize
    wide, chunks, groups = columns(size, width), 1, 1
    if height * depth * width > WORTH_SHARING:
        workers = threads()
        if -(-width // wide) % workers == 0:
            groups = workers
        else:
            chunks = min(workers, -(-height // ROWS))
    steps = (a.strides[0] // size, 0, 0), (width, 0, 0)
    job = Job(memory.address(a), memory.address(y), 0, (height, 1, 1), *steps, 1, 0, depth, width)
    b_row, b_step = b.strides[0] // size, b.strides[1] // size
    _launch(a.dtype, wide, height, chunks, groups, [(memory.address(b), job, 0, b_row, b_step, size * wide * depth)])


def _launch(dtype, wide, total, chunks, groups, jobs):
    """Run `gather` on jobs of up to `total` pixels: (b, Job, panel_bytes, b_row, b_step, bytes to pack in) each."""
    size, tasks, tiles = dtype.itemsize, chunks * groups, -(-total // ROWS)
    work_bytes = _whole_lines(ROWS * (wide * size + 8) + 16 * ROWS * (tiles // chunks + 1) + jobs[0][-1])
    work = memory.empty((tasks * len(jobs) * work_bytes,), np.uint8)
    numbers = [len(jobs), 26]
    for b, job, panel_bytes, b_row, b_step, _ in jobs:
        numbers += (
            job.a, b, job.y, *job.pixels, *job.a_strides, *job.y_strides, job.runs, job.pitch, job.length,
            job.outputs, wide, lanes(size), size, chunks, groups, memory.address(work), work_bytes, panel_bytes,
            b_row, b_step,
        )  # fmt: skip
    gather(dtype, tasks * len(jobs), *numbers)


def run_outer(dtype, a, g, y, pixels, a_strides, g_strides, taps, outputs):
    """`outer` with its work cut for the threads; taps: the offsets of y's rows from a pixel of a."""
    size, wide, depth = dtype.itemsize, columns(dtype.itemsize), len(taps)
    table = np.empty(-(-depth // OUTER_ROWS) * OUTER_ROWS, np.int64)
    table[:depth], table[depth:] = taps, taps[-1]
    panels, total = -(-outputs // wide), pixels[0] * pixels[1] * pixels[2]
    groups = splits = 1
    if depth * outputs * total > WORTH_SHARING:
        workers = threads()
        if panels % workers == 0:
            groups = workers
        else:
            splits = min(workers, len(table) // OUTER_ROWS)
    # what is read or written again and again should be the smaller: a's pixels for every panel, or y for every block
    together = 1 if depth * outputs > total * a_strides[2] else panels
    block = min(BLOCK, total)
    work_bytes = _whole_lines(size * wide * (block + OUTER_ROWS) + 8 * (OUTER_ROWS + len(table) + 2 * block))
    work = memory.empty((groups * splits, work_bytes), np.uint8)
    outer(
        dtype, groups * splits, a, g, y, *pixels, *a_strides, *g_strides, memory.address(table), depth, outputs,
        block, groups, splits, together, wide, lanes(size), size, memory.address(work), work_bytes,
    )  # fmt: skip


def _whole_lines(count):
    """Bytes rounded up to whole cache lines, so that two tasks never write to one."""
    return (count + 127) & ~127
