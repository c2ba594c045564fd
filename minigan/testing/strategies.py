"""Hypothesis strategies: random arrays, shapes, and whole cases of convolutions and norms.

    from hypothesis import given
    from minigan.testing import gradcheck, strategies

    @given(strategies.conv_cases())
    def test_my_conv(case):
        gradcheck(lambda x, w: my_conv(x, w, **case.options), case.arrays, order=2)

Hypothesis draws the shapes and options, and shrinks them to the smallest that fail. Numbers come from a NumPy
generator whose seed it draws: a gradient wants ordinary numbers, not Hypothesis's zeros and infinities.

Stands on Hypothesis (`pip install hypothesis`) and NumPy; nothing else here needs it.
"""

from typing import Any, NamedTuple

import numpy as np

try:
    from hypothesis import strategies as st
except ImportError:
    raise ImportError("minigan.testing.strategies: wants Hypothesis; get it with: pip install hypothesis") from None

seeds = st.integers(0, 2**32 - 1)


class Case(NamedTuple):
    """What a strategy below draws.  arrays: the positional arguments; options: the keyword arguments."""

    arrays: tuple[np.ndarray, ...]
    options: dict[str, Any]


def shapes(min_dims=0, max_dims=4, max_side=4):
    """Shapes without empty axes."""
    return st.lists(st.integers(1, max_side), min_size=min_dims, max_size=max_dims).map(tuple)


@st.composite
def arrays(draw, shape=None, dtype=np.float64):
    """Standard normal numbers; shape: a tuple, a strategy for one, or None for any small one."""
    if not isinstance(shape, tuple):
        shape = draw(shapes() if shape is None else shape)
    return np.random.default_rng(draw(seeds)).normal(size=shape).astype(dtype)


@st.composite
def arrays_away_from_kinks(draw, shape=None, kinks=(0.0,), margin=0.1, dtype=np.float64):
    """Numbers none of which lies within `margin` of a kink: where |x|, relu and clip have a derivative.

    The kinks themselves must be at least two margins apart.
    """
    x = np.asarray(draw(arrays(shape)))
    for kink in kinks:  # what is too near moves out to the margin, on its own side
        x = np.where(np.abs(x - kink) < margin, kink + np.where(x < kink, -margin, margin), x)
    return x.astype(dtype)


@st.composite
def broadcastable(draw, count=2, max_dims=3, max_side=4):
    """A tuple of `count` shapes that NumPy broadcasts with one another."""
    whole = draw(shapes(0, max_dims, max_side))
    found = []
    for _ in range(count):
        kept = draw(st.integers(0, len(whole)))
        found.append(tuple(draw(st.sampled_from([1, n])) for n in whole[len(whole) - kept :]))
    return tuple(found)


@st.composite
def layouts(draw, array):
    """The same numbers elsewhere in memory: contiguous, every second of a larger array, backwards, axes swapped."""
    kind = draw(st.sampled_from(["C", "F", "strided", "backwards", "swapped", "offset"]))
    if kind in ("C", "F") or not array.ndim:
        return np.array(array, order=kind if kind in ("C", "F") else "C")
    if kind == "swapped":
        a, b = draw(st.integers(0, array.ndim - 1)), draw(st.integers(0, array.ndim - 1))
        return np.ascontiguousarray(array.swapaxes(a, b)).swapaxes(a, b)
    axis = draw(st.integers(0, array.ndim - 1))
    step = {"strided": 2, "backwards": -1, "offset": 1}[kind]
    cut = (slice(None),) * axis + (slice(None, None, step) if kind != "offset" else slice(1, None),)
    lengths = list(array.shape)
    lengths[axis] = lengths[axis] * abs(step) + (kind == "offset")
    home = np.full(lengths, np.nan, array.dtype)  # what lies between is never to be read
    home[cut] = array
    return home[cut]


def _pairs(low, high):
    return st.tuples(st.integers(low, high), st.integers(low, high))


def _option(both):
    """A pair, or the int that stands for it: both must work."""
    return st.sampled_from([both, both[0]]) if both[0] == both[1] else st.just(both)


@st.composite
def _geometry(draw, max_kernel, max_stride, max_outputs):
    """(kernel, stride, padding, outputs) of a convolution in which at least one window fits."""
    kernel, stride = draw(_pairs(1, max_kernel)), draw(_pairs(1, max_stride))
    outputs = draw(_pairs(1, max_outputs))
    spans = [(n - 1) * s + k for n, s, k in zip(outputs, stride, kernel)]
    padding = tuple(draw(st.integers(0, min(2, (span - 1) // 2))) for span in spans)
    return kernel, stride, padding, outputs


@st.composite
def conv_cases(draw, dtype=np.float64, max_kernel=4, max_stride=3, max_outputs=3, max_channels=5, max_batch=3):
    """conv2d: arrays (x, w), options stride and padding; any rows left over that no window reaches."""
    kernel, stride, padding, outputs = draw(_geometry(max_kernel, max_stride, max_outputs))
    rest = [draw(st.integers(0, s - 1)) for s in stride]
    size = [(n - 1) * s + k + r - 2 * p for n, s, k, r, p in zip(outputs, stride, kernel, rest, padding)]
    batch, channels, filters = draw(st.tuples(*(st.integers(1, n) for n in (max_batch, max_channels, max_channels))))
    x = draw(arrays((batch, *size, channels), dtype))
    w = draw(arrays((*kernel, channels, filters), dtype))
    return Case((x, w), {"stride": draw(_option(stride)), "padding": draw(_option(padding))})


@st.composite
def conv_transpose_cases(draw, dtype=np.float64, max_kernel=4, max_stride=3, max_inputs=3, max_channels=5, max_batch=3):
    """conv_transpose2d: arrays (x, w), options stride, padding and output_padding."""
    kernel, stride, padding, size = draw(_geometry(max_kernel, max_stride, max_inputs))
    rest = tuple(draw(st.integers(0, s - 1)) for s in stride)
    batch, channels, filters = draw(st.tuples(*(st.integers(1, n) for n in (max_batch, max_channels, max_channels))))
    x = draw(arrays((batch, *size, filters), dtype))
    w = draw(arrays((*kernel, channels, filters), dtype))
    options = {"stride": stride, "padding": padding, "output_padding": rest}
    return Case((x, w), {name: draw(_option(value)) for name, value in options.items()})


@st.composite
def norm_cases(draw, dtype=np.float64, min_dims=2, max_dims=4, max_side=4, max_channels=5):
    """A norm: arrays (x, gamma, beta) with at least 4 values behind every statistic of a batch norm; option eps.

    gamma has both signs, and now and then a 0: a rule that divides by it fails.
    """
    inner = draw(shapes(min_dims - 2, max_dims - 2, max_side))
    batch = draw(st.integers(max(1, -(-4 // int(np.prod(inner)))), 5))
    channels = draw(st.integers(1, max_channels))
    x = draw(arrays((batch, *inner, channels), dtype))
    gamma, beta = draw(arrays((channels,), dtype)), draw(arrays((channels,), dtype))
    if draw(st.booleans()):
        gamma[0] = 0
    return Case((x, gamma, beta), {"eps": draw(st.sampled_from([1e-5, 1e-3]))})
