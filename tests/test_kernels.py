"""The fast kernels against their definition, over shapes, memory layouts and dtypes that Hypothesis draws.

The yardstick is not a tolerance but a bound: a sum of L products in a dtype of unit roundoff u may be off by
(L + 2)·u·Σ|a·b|, in whatever order it is summed (Higham, Accuracy and Stability, section 3.1). The reference runs in
float64 and may be off by as much with its own u.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigan import kernels
from minigan.kernels import cpu, reference
from minigan.testing.strategies import (
    arrays,
    broadcastable,
    conv_cases,
    conv_transpose_cases,
    layouts,
    norm_cases,
    shapes,
)

dtypes = st.sampled_from([np.float32, np.float64])
LARGER = {"max_kernel": 5, "max_outputs": 11, "max_channels": 40, "max_batch": 3}  # past the edges of a register tile


def wide(*xs):
    return [x.astype(np.float64) for x in xs]


def within(got, want, scale, terms):
    """got, in its own dtype, is the sum `want` of `terms` products whose absolute values add up to `scale`."""
    assert got.shape == want.shape
    u = (np.finfo(got.dtype).eps + np.finfo(want.dtype).eps) / 2
    bound = (terms + 2) * u * scale + np.finfo(got.dtype).tiny
    error = np.abs(got.astype(np.float64) - want)
    worst = np.unravel_index(np.argmax(error - bound), error.shape) if error.size else ()
    assert (error <= bound).all(), f"off by {error[worst]:.3g} at {worst}, allowed {bound[worst]:.3g}"


def sum_of_products(name, a, b, terms, **options):
    """One kernel that is a sum of products, held against its definition."""
    before = a.copy(), b.copy()
    got = getattr(cpu, name)(a, b, **options)
    definition = getattr(reference, name)
    assert got.dtype == a.dtype
    assert (a == before[0]).all() and (b == before[1]).all()
    within(got, definition(*wide(a, b), **options), definition(*wide(abs(a), abs(b)), **options), terms)
    return got


def pairs(options):
    return {name: (value, value) if isinstance(value, int) else value for name, value in options.items()}


# ------------------------------------------------------------------------------------------ the conv triangle


@given(st.one_of(conv_cases(), conv_cases(**LARGER)), dtypes, st.data())
def test_conv2d(case, dtype, data):
    x, w = (data.draw(layouts(a.astype(dtype))) for a in case.arrays)
    sum_of_products("conv2d", x, w, w[..., 0].size, **pairs(case.options))


@given(st.one_of(conv_cases(), conv_cases(**LARGER)), dtypes, st.data())
def test_conv2d_weight(case, dtype, data):
    x, w = case.arrays
    options = pairs(case.options)
    g = reference.conv2d(x, w, **options)[..., ::-1] + 1.0
    x, g = (data.draw(layouts(a.astype(dtype))) for a in (x, g))
    sum_of_products("conv2d_weight", x, g, g[..., 0].size, kernel_size=w.shape[:2], **options)


@given(
    st.one_of(conv_transpose_cases(), conv_transpose_cases(max_kernel=5, max_inputs=7, max_channels=40)),
    dtypes,
    st.data(),
)
def test_conv_transpose2d(case, dtype, data):
    x, w = (data.draw(layouts(a.astype(dtype))) for a in case.arrays)
    stride, padding, size = kernels.shapes.conv_transpose2d(x.shape, w.shape, **case.options)
    sum_of_products("conv_transpose2d", x, w, w[:, :, 0].size, stride=stride, padding=padding, size=size)


DCGAN = [  # images, height, channels in and out of a stride-2 convolution with a 4 x 4 window and padding 1
    (3, 28, 1, 64),
    (2, 14, 64, 128),
    (2, 8, 128, 40),
    (5, 32, 3, 33),
]


@pytest.mark.parametrize("n, size, channels, filters", DCGAN)
def test_the_layers_of_dcgan(n, size, channels, filters, rng):
    x = rng.normal(size=(n, size, size, channels)).astype(np.float32)
    w = rng.normal(size=(4, 4, channels, filters)).astype(np.float32)
    g = rng.normal(size=(n, size // 2, size // 2, filters)).astype(np.float32)
    options = {"stride": (2, 2), "padding": (1, 1)}
    sum_of_products("conv2d", x, w, 16 * channels, **options)
    sum_of_products("conv_transpose2d", g, w, 16 * filters, size=(size, size), **options)
    sum_of_products("conv2d_weight", x, g, g[..., 0].size, kernel_size=(4, 4), **options)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("inputs, window, stride, padding", [
    (16, 4, 2, 1), (48, 3, 1, 1), (32, 5, 3, 2), (64, 2, 3, 0), (16, 1, 1, 0), (24, 4, 2, 1),
])  # fmt: skip
def test_transposed_convolutions_to_few_channels(channels, inputs, window, stride, padding, dtype, rng):
    """Up to four channels, and inputs that fill whole registers: dot tiles, with pixels left over at the end."""
    x = rng.normal(size=(2, 5, 7, inputs)).astype(dtype)
    w = rng.normal(size=(window, window, channels, inputs)).astype(dtype)
    options = {"stride": (stride, stride), "padding": (padding, padding), "output_padding": (stride - 1, 0)}
    *_, size = kernels.shapes.conv_transpose2d(x.shape, w.shape, **options)
    options = {"stride": (stride, stride), "padding": (padding, padding), "size": size}
    got = sum_of_products("conv_transpose2d", x, w, window * window * inputs, **options)
    x[1, 2, 3, 5] = np.nan
    spread, wanted = (library.conv_transpose2d(x, w, **options) for library in (cpu, reference))
    assert (np.isnan(spread) == np.isnan(wanted)).all() and (spread[0] == got[0]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("outputs", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("inputs, window, stride, padding", [
    (16, 4, 2, 1), (48, 3, 1, 1), (8, 7, 1, 3), (4, 4, 3, 2), (64, 1, 1, 0), (24, 3, 2, 0),
])  # fmt: skip
def test_convolutions_to_few_channels(outputs, inputs, window, stride, padding, dtype, rng):
    x = rng.normal(size=(3, 8, 9, inputs)).astype(dtype)
    w = rng.normal(size=(window, window, inputs, outputs)).astype(dtype)
    sum_of_products("conv2d", x, w, w[..., 0].size, stride=(stride, stride), padding=(padding, padding))


def test_the_first_layer_of_a_dcgan_generator(rng):
    """One pixel of noise to 4 x 4: a transposed convolution that is a matrix product."""
    z = rng.normal(size=(9, 1, 1, 100)).astype(np.float32)
    w = rng.normal(size=(4, 4, 50, 100)).astype(np.float32)
    sum_of_products("conv_transpose2d", z, w, 100, stride=(1, 1), padding=(0, 0), size=(4, 4))


@given(conv_cases(max_channels=20, max_outputs=6), dtypes, st.integers(0, 2))
def test_nan_spreads_exactly_as_far_as_its_windows(case, dtype, which):
    """A kernel that reads a neighbour's pixel, or stale memory, gives NaN where the definition gives none."""
    x, w = (a.astype(dtype) for a in case.arrays)
    options = pairs(case.options)
    x[(-1, *(n // 2 for n in x.shape[1:3]), which % x.shape[3])] = np.nan
    got, want = cpu.conv2d(x, w, **options), reference.conv2d(x, w, **options)
    assert (np.isnan(got) == np.isnan(want)).all()


# --------------------------------------------------------------------------------------------- matrix product


@given(broadcastable(max_dims=2, max_side=3), st.tuples(*[st.integers(1, 70)] * 3), dtypes, st.data())
def test_matmul(batches, sizes, dtype, data):
    m, k, n = sizes
    a = data.draw(layouts(data.draw(arrays((*batches[0], m, k), dtype))))
    b = data.draw(layouts(data.draw(arrays((*batches[1], k, n), dtype))))
    sum_of_products("matmul", a, b, k)


@pytest.mark.parametrize("transposed", ["neither", "a", "b", "both"])
@pytest.mark.parametrize("m, k, n", [(64, 100, 300), (257, 65, 129), (1, 500, 1), (300, 1, 7)])
def test_matmul_of_transposes(m, k, n, transposed, rng):
    a, b = rng.normal(size=(m, k)).astype(np.float32), rng.normal(size=(k, n)).astype(np.float32)
    if transposed in ("a", "both"):
        a = np.ascontiguousarray(a.T).T
    if transposed in ("b", "both"):
        b = np.ascontiguousarray(b.T).T
    sum_of_products("matmul", a, b, k)


@given(st.tuples(*[st.integers(1, 70)] * 3), dtypes, st.sampled_from([1.0, 0.2, 0.0]), st.data())
def test_linear(sizes, dtype, slope, data):
    """With needs in every combination: a sum that is not needed must not be missed, nor one that is."""
    n, k, m = sizes
    x, w, gy = (data.draw(layouts(data.draw(arrays(shape, dtype)))) for shape in ((n, k), (k, m), (n, m)))
    b = data.draw(arrays((m,), dtype))
    x64, w64, b64, gy64 = wide(x, w, b, gy)
    y = cpu.linear(x, w, b, slope=slope)
    assert y.dtype == dtype
    within(y, reference.linear(x64, w64, b64, slope=slope), np.abs(x64) @ np.abs(w64) + np.abs(b64), k + 2)

    y = data.draw(layouts(y))
    h = np.abs(reference.leaky_relu_backward(gy64, y.astype(np.float64), slope=slope))
    scales = h @ np.abs(w64).T, np.abs(x64).T @ h, h.sum(0)
    options = {"slope": slope, "needs": (True, True)}
    want = reference.linear_backward(gy64, y.astype(np.float64), x64, w64, **options)
    got = cpu.linear_backward(gy, y, x, w, **options)
    for g, right, scale, terms in zip(got, want, scales, (m, n, n)):
        assert g.dtype == dtype
        within(g, right, scale, terms + 2)
    for needs in ((True, False), (False, True), (False, False)):
        fewer = cpu.linear_backward(gy, y, x, w, slope=slope, needs=needs)
        for a, g, needed in zip(fewer, got, (*needs, True)):
            assert (a == g).all() if needed else a is None


# ----------------------------------------------------------------------------------------------- elementwise


@given(arrays(shapes(min_dims=1)), dtypes, st.sampled_from([0.0, 0.01, 0.2, 1.0]), st.data())
def test_leaky_relu(x, dtype, slope, data):
    x = data.draw(layouts(x.astype(dtype)))
    gy = data.draw(layouts(data.draw(arrays(x.shape, dtype))))
    for name, inputs in (("leaky_relu", (x,)), ("leaky_relu_backward", (gy, x))):
        got, want = (getattr(backend, name)(*inputs, slope=slope) for backend in (cpu, reference))
        assert got.dtype == dtype and got.shape == want.shape
        np.testing.assert_array_equal(got, want)


@given(arrays(shapes(min_dims=1)), dtypes, st.data())
def test_add(a, dtype, data):
    a = data.draw(layouts(a.astype(dtype)))
    b = data.draw(layouts(data.draw(arrays(a.shape, dtype))))
    got = cpu.add(a, b)
    assert got.dtype == dtype
    np.testing.assert_array_equal(got, a + b)


@pytest.mark.parametrize("shape", [(70_001,), (8, 33, 31, 17)])
def test_elementwise_kernels_of_large_arrays(shape, rng):
    x, g = (rng.normal(size=shape).astype(np.float32) for _ in range(2))
    np.testing.assert_array_equal(cpu.add(x, g), x + g)
    np.testing.assert_array_equal(cpu.leaky_relu(x, slope=0.2), reference.leaky_relu(x, slope=0.2))
    np.testing.assert_array_equal(
        cpu.leaky_relu_backward(g, x, slope=0.2), reference.leaky_relu_backward(g, x, slope=0.2)
    )


def test_leaky_relu_of_special_values():
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0], np.float32)
    for slope in (0.2, 1.0):
        np.testing.assert_array_equal(cpu.leaky_relu(x, slope=slope), reference.leaky_relu(x, slope=slope))


# ------------------------------------------------------------------------------------------------ batch norm


def check_batch_norm(x, gamma, beta, gy, eps, slope):
    """Moments, forward and backward, each from the same exact moments, so that each is judged alone."""
    dtype, u = x.dtype, np.finfo(x.dtype).eps / 2
    x64, gamma64, beta64, gy64 = wide(x, gamma, beta, gy)
    axes, count = tuple(range(x.ndim - 1)), x.size // x.shape[-1]
    mu, var = reference.batch_norm_moments(x64)

    got = cpu.batch_norm_moments(x)
    assert got.dtype == dtype and got.shape == (2, x.shape[-1])
    around = np.abs(x64 - x64[(0,) * len(axes)])  # the sums may be taken around the first pixel's values
    within(got[0], mu, np.abs(x64).mean(axes) + around.mean(axes), count)
    within(got[1], var, (around**2).mean(axes), 2 * count)

    moments = np.stack([mu, var]).astype(dtype)
    mu, var = moments.astype(np.float64)
    inverse = 1 / np.sqrt(var + eps)
    options = {"eps": eps, "slope": slope}
    reach = (np.abs(x64) + np.abs(mu)) * inverse  # |x̂| before its difference cancels
    y_scale = np.abs(gamma64) * reach + np.abs(beta64)
    y = reference.batch_norm(x64, gamma64, beta64, moments=np.stack([mu, var]), **options)
    got = cpu.batch_norm(x, gamma, beta, moments=moments, **options)
    assert got.dtype == dtype
    within(got, y, y_scale, 8)

    # where the activation's input is 0 up to rounding, either side is right: no gradient comes in there
    before = reference.batch_norm(x64, gamma64, beta64, moments=np.stack([mu, var]), eps=eps, slope=1.0)
    gy = np.where(np.abs(before) <= 10 * u * y_scale, 0, gy)
    gy64 = gy.astype(np.float64)
    want = reference.batch_norm_backward(gy64, x64, gamma64, beta64, moments=np.stack([mu, var]), **options)
    got = cpu.batch_norm_backward(gy, x, gamma, beta, moments=moments, **options)
    assert all(g.dtype == dtype for g in got)
    g = np.abs(gy64)
    sums = (g * reach).sum(axes), g.sum(axes)
    within(got[1], want[1], sums[0], count + 8)
    within(got[2], want[2], sums[1], count)
    gx_scale = np.abs(gamma64) * inverse * (g + sums[1] / count + reach * sums[0] / count)
    within(got[0], want[0], gx_scale, count + 16)

    nothing, *rest = cpu.batch_norm_backward(gy, x, gamma, beta, moments=moments, needs_x=False, **options)
    assert nothing is None and all((a == b).all() for a, b in zip(rest, got[1:]))


@given(norm_cases(max_side=6, max_channels=20), dtypes, st.sampled_from([1.0, 0.2, 0.0]), st.data())
def test_batch_norm(case, dtype, slope, data):
    x, gamma, beta = (data.draw(layouts(a.astype(dtype))) for a in case.arrays)
    gy = data.draw(layouts(data.draw(arrays(x.shape, dtype))))
    check_batch_norm(x, gamma, beta, gy, case.options["eps"], slope)


@pytest.mark.parametrize("shape", [(4, 14, 14, 128), (5, 17, 13, 33), (600, 64), (3, 5, 7, 9, 40)])
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_batch_norm_of_large_images(shape, offset, rng):
    """Also with a mean far from 0, where E x² - (E x)² would cancel."""
    x = (rng.normal(size=shape) + offset).astype(np.float32)
    gamma, beta = (rng.normal(size=shape[-1]).astype(np.float32) for _ in range(2))
    check_batch_norm(x, gamma, beta, rng.normal(size=shape).astype(np.float32), 1e-5, 0.2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_running_moments(dtype, rng):
    moments, mean, var = (rng.uniform(1, 2, s).astype(dtype) for s in ((2, 37), 37, 37))
    wanted = 0.9 * wide(mean)[0] + 0.1 * moments[0], 0.9 * wide(var)[0] + 0.1 * moments[1] * (8 / 7)
    cpu.batch_norm_running(moments, mean, var, momentum=0.1, count=8)
    for got, want in zip((mean, var), wanted):
        np.testing.assert_allclose(got, want, rtol=4 * np.finfo(dtype).eps)


def test_the_variance_does_not_cancel(rng):
    """A one-pass variance in float32 of numbers near 1000 is off by 10 %; this one by less than 0.1 %."""
    x = (1000 + rng.normal(size=(4, 16, 16, 8))).astype(np.float32)
    var = cpu.batch_norm_moments(x)[1]
    np.testing.assert_allclose(var, x.astype(np.float64).var((0, 1, 2)), rtol=1e-3)


# ------------------------------------------------------------------------------------------------ optimisers

STEPS = {
    "sgd": ({"lr": 0.1, "momentum_rate": 0.9}, 1),
    "rmsprop": ({"lr": 0.01, "alpha": 0.99, "eps": 1e-8}, 1),
    "adam": ({"lr": 2e-4, "beta1": 0.5, "beta2": 0.999, "eps": 1e-8, "step": 3}, 2),
}


@pytest.mark.parametrize("name", STEPS)
@given(data=st.data(), dtype=dtypes)
def test_optimiser_steps(name, data, dtype):
    """Every number is a handful of roundings away from the same step in float64."""
    options, slots = STEPS[name]
    shapes = data.draw(st.lists(st.sampled_from([(), (3,), (2, 3), (4, 4, 3, 5), (301,)]), min_size=1, max_size=4))
    draw = lambda: [data.draw(arrays(shape, dtype)) for shape in shapes]
    params, grads = draw(), [data.draw(layouts(g)) for g in draw()]
    state = [[np.asarray(np.square(a)) for a in draw()] for _ in range(slots)]
    exact = [wide(*group) for group in (params, grads, *state)]
    getattr(reference, name)(*exact, **options)
    homes = [p.ctypes.data for p in params]
    getattr(cpu, name)(params, grads, *state, **options)
    assert homes == [p.ctypes.data for p in params]
    u = np.finfo(dtype).eps / 2
    for got, want in zip([*params, *(a for s in state for a in s)], [*exact[0], *(a for s in exact[2:] for a in s)]):
        assert got.dtype == dtype and got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=32 * u, atol=32 * u * max(1e-3, np.abs(want).max()))


# ---------------------------------------------------------------------------------- memory, and the public door


def test_results_do_not_share_memory(rng):
    """Blocks are used again only when their last array is gone."""
    x, w = rng.normal(size=(8, 16, 16, 16)).astype(np.float32), rng.normal(size=(3, 3, 16, 16)).astype(np.float32)
    options = {"stride": (1, 1), "padding": (1, 1)}
    kept = [cpu.conv2d(x, w * i, **options) for i in range(4)]
    copies = [y.copy() for y in kept]
    views = [y[1:, ::2] for y in kept]
    del kept
    for _ in range(8):
        cpu.conv2d(x, w, **options)
    assert all((v == c[1:, ::2]).all() for v, c in zip(views, copies))


def test_a_margin_is_zero_however_its_block_was_used_before(rng):
    """Batch norm writes into blocks with a margin that the next convolution reads: 0, always."""
    gamma, beta = np.ones(8, np.float32), np.full(8, 3, np.float32)
    w = rng.normal(size=(4, 4, 8, 8)).astype(np.float32)
    options = {"stride": (2, 2), "padding": (1, 1)}
    for shape in [(4, 16, 16, 8), (4, 20, 20, 8), (4, 16, 16, 8), (5, 18, 14, 8)]:
        x = rng.normal(size=shape).astype(np.float32)
        y = cpu.batch_norm(x, gamma, beta, eps=1e-5, slope=0.2, moments=cpu.batch_norm_moments(x))
        sum_of_products("conv2d", y, w, 128, **options)
        z = cpu.leaky_relu(y, slope=0.2)
        y[...] = np.nan
        sum_of_products("conv2d", z, w, 128, **options)
        sum_of_products("conv2d", z[1:], w, 128, **options)
        del y, z
        np.full(shape, np.nan, np.float32)


def test_the_same_call_gives_the_same_bits(rng):
    x, w = rng.normal(size=(6, 20, 20, 24)).astype(np.float32), rng.normal(size=(4, 4, 24, 40)).astype(np.float32)
    options = {"stride": (2, 2), "padding": (1, 1)}
    y = cpu.conv2d(x, w, **options)
    for _ in range(3):
        assert (cpu.conv2d(x, w, **options) == y).all()
        twice = [cpu.conv2d_weight(x, y, kernel_size=(4, 4), **options) for _ in range(2)]
        assert (twice[0] == twice[1]).all()
        assert (cpu.batch_norm_moments(x) == cpu.batch_norm_moments(x)).all()


def test_the_public_kernels_take_plain_arrays(rng):
    x, w = rng.normal(size=(2, 6, 6, 3)), rng.normal(size=(3, 3, 3, 4))
    y = kernels.conv2d(x, w, stride=2, padding=1)
    assert y.shape == (2, 3, 3, 4) and type(y) is np.ndarray
    assert kernels.conv_transpose2d(y, w, stride=2, padding=1, output_padding=1).shape == x.shape
    assert kernels.conv2d_weight(x, y, kernel_size=3, stride=2, padding=1).shape == w.shape
    np.testing.assert_allclose(kernels.matmul(x, x.swapaxes(-1, -2)), x @ x.swapaxes(-1, -2), rtol=1e-12, atol=1e-12)
    ones = np.ones(3)
    y = kernels.batch_norm(x, ones, ones)
    np.testing.assert_allclose([y.mean(), y.var()], [1, 1], rtol=1e-4)
    assert [g.shape for g in kernels.batch_norm_backward(x, x, ones, ones)] == [x.shape, (3,), (3,)]


def test_a_bias_may_lie_anywhere(rng):
    x, w, b = (rng.normal(size=shape).astype(np.float32) for shape in ((5, 3), (3, 4), (8,)))
    np.testing.assert_allclose(kernels.linear(x, w, b[::2]), x @ w + b[::2], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(kernels.linear(x, w, b[::-2]), x @ w + b[::-2], rtol=1e-5, atol=1e-6)


def test_a_single_number_stays_one():
    x = np.array(-2.0)
    assert kernels.leaky_relu(x, slope=0.5) == -1 and kernels.leaky_relu(x).shape == ()
    assert kernels.leaky_relu_backward(x, x).shape == kernels.add(x, x).shape == ()


def test_float16_runs_on_the_definition(rng):
    x = rng.normal(size=(1, 4, 4, 2)).astype(np.float16)
    assert kernels.conv2d(x, np.ones((3, 3, 2, 1), np.float16)).dtype == np.float16


def test_every_kernel_exists_on_every_backend():
    for name in set(kernels.__all__) - {"precision"}:  # a setting
        assert callable(getattr(kernels, name)) and callable(getattr(reference, name)) and callable(getattr(cpu, name))
