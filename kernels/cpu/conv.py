"""The three convolutions, as implicit matrix products.

1. Formula    conv2d           y[n,i,j,k] = Σ_{r,t,c} x[n, i·s+r-p, j·s+t-p, c] · w[r,t,c,k]
2. Index map  m = (n,i,j) an output pixel, q = (r,t,c) a tap of the window: y[m,k] = Σ_q A[m,q] · B[q,k] with
              A[m,q] = x[n, i·s+r-p, j·s+t-p, c]. For fixed r the taps (t,c) are contiguous in channels-last memory, so
              that a window is kh runs of kw·C numbers: A needs no memory of its own. B is w as it lies.
3. Loops      for m: for k: for q: y += A·B
4. Tiles      gemm.gather: a task owns some hundred pixels; a tile of ROWS pixels x COLUMNS channels stays in registers.

conv_transpose2d is s·s dense convolutions, one for each phase (h mod s, v mod s) of the output: pixels of one phase see
the same taps of w. Each writes straight to its own pixels; nothing is scattered, nothing multiplied by inserted zeros.

To the few channels of an image both go by gemm.dots, whose lanes are inputs and not channels.

conv2d_weight sums outer products over pixels (gemm.outer): y[q,k] = Σ_m A[m,q] · g[m,k].

Twins: ../reference.py, the same names.  Stands on gemm.py and memory.py.
"""

import functools

import numpy as np

from . import memory
from .gemm import Job, packed_panels, run_dots, run_gather, run_outer
from .images import dense, surrounded
from .matmul import matmul
from .simd import lanes
from .tile import DOT_OUTPUTS


def conv2d(x, w, *, stride, padding):
    """y[n,i,j,k] = Σ_{r,t,c} x[n, i·s+r-p, j·s+t-p, c] · w[r,t,c,k]"""
    kh, kw, channels, outputs = w.shape
    n, h, v, _ = x.shape
    (sh, sw), (ph, pw) = stride, padding
    rows, cols = (h + 2 * ph - kh) // sh + 1, (v + 2 * pw - kw) // sw + 1
    x, image, row = surrounded(x, ph, ph, pw, pw)
    w, lane = np.ascontiguousarray(w), lanes(x.itemsize)
    y = memory.empty((n, rows, cols, outputs), x.dtype)
    corner = memory.address(x) - x.itemsize * (ph * row + pw * channels)
    steps = (image, sh * row, sw * channels), (rows * cols * outputs, cols * outputs, outputs)
    job = Job(corner, memory.address(y), 0, (n, rows, cols), *steps, kh, row, kw * channels, outputs)
    if outputs <= DOT_OUTPUTS and kw * channels % lane == 0:
        run_dots(np.ascontiguousarray(w.reshape(-1, lane, outputs).swapaxes(1, 2)).reshape(-1, lane), [job])
    else:
        run_gather(packed_panels(w, [0], kh * kw * channels, outputs, outputs, 1), job)
    return y


def conv2d_weight(x, g, *, kernel_size, stride, padding):
    """y[r,t,c,k] = Σ_{n,i,j} x[n, i·s+r-p, j·s+t-p, c] · g[n,i,j,k]"""
    (kh, kw), (sh, sw), (ph, pw) = kernel_size, stride, padding
    n, rows, cols, outputs = g.shape
    channels = x.shape[3]
    x, image, row = surrounded(x, ph, ph, pw, pw)
    g, g_image, g_row = dense(g)
    taps = _taps(kh, row, kw * channels)
    y = memory.empty((kh, kw, channels, outputs), x.dtype)
    corner = memory.address(x) - x.itemsize * (ph * row + pw * channels)
    run_outer(
        x.dtype, corner, memory.address(g), memory.address(y), (n, rows, cols), (image, sh * row, sw * channels),
        (g_image, g_row, outputs), taps, outputs,
    )  # fmt: skip
    return y


@functools.cache
def _taps(runs, pitch, length):
    """Where the taps of a window lie: `runs` runs of `length` numbers, `pitch` apart."""
    return np.add.outer(np.arange(runs) * pitch, np.arange(length)).ravel()


def conv_transpose2d(x, w, *, stride, padding, size):
    """y[n, i·s+r-p, j·s+t-p, c] = Σ x[n,i,j,k] · w[r,t,c,k] over all i, j, r, t that land there"""
    kh, kw, channels, inputs = w.shape
    n, h, v, _ = x.shape
    if (h, v) == (1, 1) and size == (kh, kw) and padding == (0, 0):  # one tap for each output pixel: a matrix product
        return matmul(x.reshape(n, inputs), w.reshape(-1, inputs).T).reshape(n, kh, kw, channels)
    (sh, sw), (ph, pw) = stride, padding
    down = _phases(kh, sh, ph, size[0])
    across = _phases(kw, sw, pw, size[1])
    lane = lanes(x.itemsize)
    few = channels <= DOT_OUTPUTS and inputs % lane == 0
    x, image, row = surrounded(x, *_reach(down, h), *_reach(across, v))
    w = np.ascontiguousarray(w)
    y = memory.empty((n, *size, channels), x.dtype)
    if len(down) < min(sh, size[0]) or len(across) < min(sw, size[1]):
        y[...] = 0  # a kernel smaller than its stride leaves pixels that nothing reaches
    steps = (image, row, inputs), (size[0] * size[1] * channels, sh * size[1] * channels, sw * channels)
    jobs, first_row = [], 0
    for h0, rows, top, row_taps in down:
        for v0, cols, left, column_taps in across:
            start = memory.address(x) + x.itemsize * (top * row + left * inputs)
            target = memory.address(y) + y.itemsize * (h0 * size[1] + v0) * channels
            runs, length = len(row_taps), len(column_taps) * inputs
            jobs.append(Job(start, target, first_row, (n, rows, cols), *steps, runs, row, length, channels))
            first_row += runs * length
    if jobs and few:
        jobs = [job._replace(first_row=job.first_row * channels // lane) for job in jobs]  # in registers
        run_dots(_registers(w, down, across, lane), jobs)
    elif jobs:
        run_gather(_panels(w, down, across), *jobs)
    return y


def _registers(w, down, across, lane):
    """The weights of all phases as dot tiles want them: for a tap and a register's inputs, a register per channel."""
    _, _, channels, inputs = w.shape
    parts = [
        w[np.ix_(row_taps, column_taps)].reshape(-1, channels, inputs // lane, lane).swapaxes(1, 2).reshape(-1, lane)
        for _, _, _, row_taps in down
        for _, _, _, column_taps in across
    ]
    return np.concatenate(parts)


def _panels(w, down, across):
    """The weights of all phases, one phase after another: rows (r, t, k), columns c."""
    _, kw, channels, inputs = w.shape
    taps = [
        (r * kw + t) * channels * inputs
        for _, _, _, row_taps in down
        for _, _, _, column_taps in across
        for r in row_taps
        for t in column_taps
    ]
    return packed_panels(w, taps, inputs, 1, channels, inputs) if taps else None


@functools.cache
def _phases(kernel, stride, padding, size):
    """Along one axis, for each phase of the output: (first pixel, pixels, first input, taps by increasing input).

    Output pixel h = stride·i + phase meets input i + base - u through tap ρ + stride·u, where h + padding =
    stride·(i + base) + ρ. Phases without a tap or a pixel are left out.
    """
    found = []
    for phase in range(min(stride, size)):
        base, rho = divmod(phase + padding, stride)
        taps = tuple(range(rho, kernel, stride))[::-1]
        if taps:
            found.append((phase, (size - phase + stride - 1) // stride, base - len(taps) + 1, taps))
    return tuple(found)


@functools.cache
def _reach(phases, size):
    """How far the windows of all phases go beyond the first and the last input."""
    before = max((-start for _, _, start, _ in phases), default=0)
    after = max((count - 1 + start + len(taps) - size for _, count, start, taps in phases), default=0)
    return max(0, before), max(0, after)
