"""The CUDA kernels against their definition: on NumPy arrays by the emulator, and on CuPy arrays (conftest.py: cuda).

The checks are those of test_kernels.py, run on another backend and with the same bound, that of a float32 sum: the
factors that tensor cores round are rounded here by NumPy, before the definition gets them.

Every case draws a seed for the order in which threads and blocks run: the result must not depend on it.
"""

import numpy as np
import pytest
import test_kernels as on_cpu
from hypothesis import given
from hypothesis import strategies as st
from test_kernels import pairs, wide, within

from minigan import kernels
from minigan.kernels import cuda as on_arrays
from minigan.kernels import emulator, reference, rounding
from minigan.kernels.cuda import backends, random
from minigan.kernels.cuda.product import TILES, Product, multiply, plan
from minigan.testing.strategies import arrays, conv_cases, conv_transpose_cases, layouts, norm_cases

NO_COMPILER = "the emulator needs a C++ compiler: apt install g++"
pytestmark = pytest.mark.skipif(emulator.compiler() is None, reason=NO_COMPILER)


def tf32(x):
    """To 11 significant bits: within two thirds of the last, as ptx.cuh has it."""
    return ((x * np.float32(1 + 1 / 3072)).view(np.uint32) & 0xFFFFE000).view(np.float32)


def bf16(x):
    """To 8 significant bits: to nearest, ties to even."""
    bits = x.view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).view(np.float32)


HALF = rounding.bfloat16()  # arrays of it
ROUNDED = {"tf32": tf32, "bf16": bf16}  # both are the version "tensor", in a precision
TENSOR = [tile for tile in TILES if tile != "tiled"]


@st.composite
def versions(draw, tensor=(*TENSOR, "tensor")):
    """(version, dtype): "plain", "tiled", or what is rounded and a version of its own, the tile's or the plan's."""
    version = draw(st.sampled_from(["plain", "tiled", "arrays", *ROUNDED]))
    if version in ("plain", "tiled"):
        return version, draw(st.sampled_from([np.float32, np.float64, HALF]))
    return f"{version} {draw(st.sampled_from(tensor))}", HALF if version == "arrays" else np.float32


OF_MATMUL = [tile for tile in TENSOR if tile != "tensor_128x16"] + ["tensor"]
dtypes = on_cpu.dtypes
SIZES = {"max_kernel": 4, "max_outputs": 6, "max_channels": 36, "max_batch": 3}


class Kernels:
    """The kernels, of NumPy arrays in any case: in the emulator (xp: numpy), or there and back (xp: cupy)."""

    xp = np

    def __getattr__(self, name):
        def run(*args, **options):
            moved, options = self.there(args), {key: self.there(value) for key, value in options.items()}
            y = self.here(getattr(on_arrays, name)(*moved, **options))
            if name in ("sgd", "rmsprop", "adam", "batch_norm_running"):  # in place
                for array, changed in zip(_flat(args), _flat(moved)):
                    array[...] = self.here(changed)
            return y

        return run

    def there(self, x):
        if isinstance(x, list | tuple):
            return type(x)(self.there(part) for part in x)
        return self.xp.asarray(x) if isinstance(x, np.ndarray) else x

    def here(self, x):
        if isinstance(x, tuple):
            return tuple(self.here(part) for part in x)
        return x if self.xp is np or x is None else self.xp.asnumpy(x)


def _flat(arrays):
    for x in arrays:
        yield from _flat(x) if isinstance(x, list | tuple) else [x]


cuda = Kernels()


@pytest.fixture(scope="module", autouse=True)
def compiled():
    """All libraries, two compilers at a time."""
    backends.emulated.prepare()


@pytest.fixture(autouse=True, params=["emulator", pytest.param("cupy", marks=pytest.mark.gpu)])
def on_cuda(request, monkeypatch):
    """test_kernels.py's checks, of these kernels; float32 with all its bits where nothing else is asked for."""
    monkeypatch.setattr(cuda, "xp", np if request.param == "emulator" else request.getfixturevalue("cuda"))
    monkeypatch.setattr(rounding, "_chosen", "fp32")
    monkeypatch.setattr(on_cpu, "cpu", cuda)
    monkeypatch.setattr(backends.emulated, "seed", 0)
    monkeypatch.setattr(backends.emulated, "processors", 4)


def shuffled(data):
    """Any order of threads; a device with few processors gets large tiles, one with many shares its sums."""
    backends.emulated.seed = data.draw(st.integers(0, 2**31), label="seed")
    backends.emulated.processors = data.draw(st.sampled_from([1, 4, 200]), label="processors")


def run(name, version, a, b, **options):
    """One kernel of the conv triangle, or matmul, in one of `versions`; without a tile the plan has its way."""
    precision, _, tile = version.partition(" ")
    with rounding.using(precision if precision in ROUNDED else None):
        return getattr(cuda, name)(a, b, version=tile or ("tensor" if precision in ROUNDED else version), **options)


def sum_of_products(name, version, a, b, terms, **options):
    got, definition = run(name, version, a, b, **options), getattr(reference, name)
    a, b = (ROUNDED.get(version.split()[0], np.array)(np.ascontiguousarray(x)) for x in (a, b))
    exact, scale = definition(*wide(a, b), **options), definition(*wide(abs(a), abs(b)), **options)
    (within_half if a.dtype == HALF else within)(got, exact, scale, terms)


def within_half(got, exact, scale, terms=1):
    """What bf16 arrays give: sums are float32, and only what is written is rounded, to 2⁻⁸ of itself."""
    assert got.dtype == HALF
    bound = 2.0**-8 * np.abs(exact) + (terms + 2) * 2.0**-23 * scale + np.finfo(np.float32).tiny
    assert (np.abs(got.astype(np.float64) - exact) <= bound).all()


# ------------------------------------------------------------------------------------------ the conv triangle


@given(st.one_of(conv_cases(), conv_cases(**SIZES)), versions(), st.data())
def test_conv2d(case, version, data):
    shuffled(data)
    version, dtype = version
    x, w = (data.draw(layouts(a.astype(dtype))) for a in case.arrays)
    sum_of_products("conv2d", version, x, w, w[..., 0].size, **pairs(case.options))


@given(st.one_of(conv_cases(), conv_cases(**SIZES)), versions(), st.data())
def test_conv2d_weight(case, version, data):
    shuffled(data)
    version, dtype = version
    x, w = case.arrays
    options = pairs(case.options)
    g = data.draw(arrays(reference.conv2d(x, w, **options).shape))
    x, g = (data.draw(layouts(a.astype(dtype))) for a in (x, g))
    sum_of_products("conv2d_weight", version, x, g, g[..., 0].size, kernel_size=w.shape[:2], **options)


@given(
    st.one_of(conv_transpose_cases(), conv_transpose_cases(max_inputs=5, max_channels=36)),
    versions(),
    st.data(),
)
def test_conv_transpose2d(case, version, data):
    shuffled(data)
    version, dtype = version
    x, w = (data.draw(layouts(a.astype(dtype))) for a in case.arrays)
    stride, padding, size = kernels.shapes.conv_transpose2d(x.shape, w.shape, **case.options)
    sum_of_products("conv_transpose2d", version, x, w, w[:, :, 0].size, stride=stride, padding=padding, size=size)


GATHERED = ["gather", *(f"{precision} gather" for precision in ROUNDED)]


@given(
    st.one_of(conv_transpose_cases(max_channels=4), conv_transpose_cases(max_inputs=5, max_channels=4)),
    st.sampled_from(GATHERED),
    st.data(),
)
def test_conv_transpose2d_of_images(case, version, data):
    shuffled(data)
    dtype = data.draw(st.sampled_from([np.float32, np.float64, HALF])) if version == "gather" else np.float32
    x, w = (data.draw(layouts(a.astype(dtype))) for a in case.arrays)
    stride, padding, size = kernels.shapes.conv_transpose2d(x.shape, w.shape, **case.options)
    sum_of_products("conv_transpose2d", version, x, w, w[:, :, 0].size, stride=stride, padding=padding, size=size)


def test_images_are_gathered_where_that_reads_less(rng):
    """4·4·3 taps are few against 64 channels that are summed over, not against 8; 5 channels are no image."""
    options = {"stride": (2, 2), "padding": (1, 1), "size": (8, 8)}
    for filters, channels, gathered in ((64, 3, True), (8, 3, False), (64, 5, False)):
        x, w = (rng.normal(size=shape).astype("f4") for shape in ((2, 4, 4, filters), (4, 4, channels, filters)))
        got = cuda.conv_transpose2d(x, w, **options)
        other = cuda.conv_transpose2d(x, w, version="tiled", **options)
        assert (got == other).all() != gathered
    with pytest.raises(ValueError, match=r"version: gather is for at most 4 channels, got 5"):
        cuda.conv_transpose2d(x, w, version="gather", **options)


DCGAN = [  # images, height, channels in and out of a stride-2 convolution with a 4 x 4 window and padding 1
    (2, 16, 1, 64),
    (1, 16, 3, 36),
    (2, 8, 64, 128),
    (3, 4, 128, 72),
]


@pytest.mark.parametrize("n, size, channels, filters", DCGAN)
def test_the_layers_of_dcgan_on_tensor_cores(n, size, channels, filters, rng):
    """16-byte copies, large tiles, sums that several blocks share."""
    x = rng.normal(size=(n, size, size, channels)).astype(np.float32)
    w = rng.normal(size=(4, 4, channels, filters)).astype(np.float32)
    g = rng.normal(size=(n, size // 2, size // 2, filters)).astype(np.float32)
    options = {"stride": (2, 2), "padding": (1, 1)}
    for seed, (processors, version) in enumerate(((1, "tf32"), (200, "tf32"), (1, "bf16"), (200, "bf16"))):
        backends.emulated.seed, backends.emulated.processors = seed, processors
        sum_of_products("conv2d", version, x, w, 16 * channels, **options)
        sum_of_products("conv_transpose2d", version, g, w, 16 * filters, size=(size, size), **options)
        sum_of_products("conv2d_weight", version, x, g, g[..., 0].size, kernel_size=(4, 4), **options)


@pytest.mark.parametrize("version", ["plain", "tiled", *ROUNDED])
def test_nan_spreads_exactly_as_far_as_its_windows(version, rng):
    x, w = rng.normal(size=(2, 7, 6, 8)).astype(np.float32), rng.normal(size=(3, 2, 8, 20)).astype(np.float32)
    x[1, 3, 2, 5] = np.nan
    options = {"stride": (2, 1), "padding": (1, 1)}
    got, want = run("conv2d", version, x, w, **options), reference.conv2d(x, w, **options)
    assert (np.isnan(got) == np.isnan(want)).all()


def test_the_order_of_the_threads_changes_no_bit(rng):
    x, g = rng.normal(size=(4, 12, 12, 8)).astype(np.float32), rng.normal(size=(4, 6, 6, 24)).astype(np.float32)
    options = {"kernel_size": (4, 4), "stride": (2, 2), "padding": (1, 1), "version": "tensor"}
    results = []
    for seed in (0, 1, 2):
        backends.emulated.seed = seed
        results.append((cuda.conv2d_weight(x, g, **options), cuda.batch_norm_moments(x)))
    assert all((a == b).all() for other in results[1:] for a, b in zip(results[0], other))


# ------------------------------------------------------------------------- matrix product, elementwise, linear


@given(st.tuples(*[st.integers(1, 70)] * 3), st.sampled_from([(), (2,), (3, 1)]), versions(OF_MATMUL), st.data())
def test_matmul(sizes, batch, version, data):
    shuffled(data)
    (m, k, n), (version, dtype) = sizes, version
    a = data.draw(layouts(data.draw(arrays((*batch, m, k), dtype))))
    b = data.draw(layouts(data.draw(arrays((k, n), dtype))))
    sum_of_products("matmul", version, a, b, k)


@pytest.mark.parametrize("transposed", ["neither", "a", "b", "both"])
@pytest.mark.parametrize("m, k, n", [(64, 100, 132), (257, 65, 129), (1, 300, 1)])
@pytest.mark.parametrize("version", ROUNDED)
def test_matmul_of_transposes_on_tensor_cores(version, m, k, n, transposed, rng):
    a, b = rng.normal(size=(m, k)).astype(np.float32), rng.normal(size=(k, n)).astype(np.float32)
    if transposed in ("a", "both"):
        a = np.ascontiguousarray(a.T).T
    if transposed in ("b", "both"):
        b = np.ascontiguousarray(b.T).T
    sum_of_products("matmul", version, a, b, k)


SHARED = ["test_linear", "test_leaky_relu", "test_add", "test_leaky_relu_of_special_values"]


@pytest.mark.parametrize("name", SHARED)
def test_elementwise(name):
    getattr(on_cpu, name)()


@given(norm_cases(max_side=6, max_channels=40), dtypes, st.sampled_from([1.0, 0.2, 0.0]), st.data())
def test_batch_norm(case, dtype, slope, data):
    shuffled(data)
    x, gamma, beta = (data.draw(layouts(a.astype(dtype))) for a in case.arrays)
    gy = data.draw(layouts(data.draw(arrays(x.shape, dtype))))
    on_cpu.check_batch_norm(x, gamma, beta, gy, case.options["eps"], slope)


@pytest.mark.parametrize("shape", [(5, 17, 13, 33), (600, 64)])
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_batch_norm_of_large_images(shape, offset, rng):
    on_cpu.test_batch_norm_of_large_images(shape, offset, rng)


@pytest.mark.parametrize("channels", [12, 5])
def test_batch_norm_of_bf16(channels, rng):
    """Four channels at a time, and one: images are bf16, and what belongs to a channel is float32."""
    x, gy = (rng.normal(1, 2, (7, 3, 5, channels)).astype(HALF) for _ in range(2))
    gamma, beta = (rng.normal(size=channels).astype(np.float32) for _ in range(2))
    options, exact = {"eps": 1e-5, "slope": 0.2}, reference.batch_norm_moments(*wide(x))
    moments = cuda.batch_norm_moments(x)
    np.testing.assert_allclose(moments, exact, rtol=1e-5, atol=1e-6)
    y = reference.batch_norm(*wide(x, gamma, beta), moments=exact, **options)
    within_half(cuda.batch_norm(x, gamma, beta, moments=moments, **options), y, 64 + np.abs(y))
    wanted = reference.batch_norm_backward(*wide(gy, x, gamma, beta), moments=exact, **options)
    found = cuda.batch_norm_backward(gy, x, gamma, beta, moments=moments, **options)
    within_half(found[0], wanted[0], 64 + np.abs(wanted[0]))
    for got, want in zip(found[1:], wanted[1:]):
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("n", [1, 37, 64])
def test_elementwise_of_bf16(n, rng):
    x, y = (rng.normal(size=n).astype(HALF) for _ in range(2))
    a, b = wide(x, y)
    within_half(cuda.add(x, y), a + b, 0)
    within_half(cuda.leaky_relu(x, slope=0.2), np.where(a > 0, a, 0.2 * a), np.abs(a))
    within_half(cuda.leaky_relu_backward(y, x, slope=0.2), np.where(a > 0, b, 0.2 * b), np.abs(b))


def test_linear_of_bf16(rng):
    x, w, gy = (rng.normal(size=shape).astype(HALF) for shape in ((6, 9), (9, 5), (6, 5)))
    bias = rng.normal(size=5).astype(np.float32)
    y = cuda.linear(x, w, bias, slope=0.2)
    product = x.astype(np.float64) @ w.astype(np.float64)
    exact = np.where(product + bias > 0, product + bias, 0.2 * (product + bias))
    np.testing.assert_allclose(y.astype(np.float64), exact, rtol=2**-6, atol=2**-6)  # rounded twice
    gx, gw, gb = cuda.linear_backward(gy, y, x, w, slope=0.2, needs=(True, True))
    assert gx.dtype == gw.dtype == HALF and gb.dtype == np.float32


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_running_moments(dtype, rng):
    on_cpu.test_running_moments(dtype, rng)


def test_the_variance_does_not_cancel(rng):
    on_cpu.test_the_variance_does_not_cancel(rng)


# -------------------------------------------------------------------------------------------------- optimisers


@pytest.mark.parametrize("name", on_cpu.STEPS)
def test_optimiser_steps(name):
    on_cpu.test_optimiser_steps(name=name)


def test_adam_counts_on_the_device(rng):
    """A captured step has no argument to change: t lies in memory."""
    options = {"lr": 0.01, "beta1": 0.5, "beta2": 0.999, "eps": 1e-8}
    p, m, v = (rng.normal(size=300).astype(np.float32) for _ in range(3))
    v = v**2
    here, there = [[p.copy()], [m.copy()], [v.copy()]], [[p.copy()], [m.copy()], [v.copy()]]
    step = np.zeros((), np.int64)
    for t in (1, 2, 3):
        g = [rng.normal(size=300).astype(np.float32)]
        step += 1
        cuda.adam(there[0], g, there[1], there[2], step=step, **options)
        cuda.adam(here[0], g, here[1], here[2], step=t, **options)
    assert all((a[0] == b[0]).all() for a, b in zip(here, there))


# ---------------------------------------------------------------------------------------------- random numbers

KNOWN = [  # counter, key, result: the known answers that Random123 publishes for philox4x32-10
    ([0, 0, 0, 0], [0, 0], [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


@pytest.mark.parametrize("counter, key, result", KNOWN)
def test_philox_gives_the_known_answers(counter, key, result):
    state = np.array([*key, *counter], np.uint32).view(np.uint64)
    assert random.bits(cuda.there(state), 4).tolist() == result


def test_random_numbers_do_not_depend_on_how_they_are_drawn():
    state = random.generator(3, like=cuda.there(np.zeros(0)))
    whole = cuda.here(random.normal(state, (40, 100)))
    state = random.generator(3, like=cuda.there(np.zeros(0)))
    parts = [cuda.here(random.normal(state, (20, 100))) for _ in range(2)]
    assert (np.concatenate(parts) == whole).all()
    assert not (cuda.here(random.normal(state, (20, 100))) == parts[1]).any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_random_numbers_have_their_distribution(dtype):
    """Four moments within 5 standard errors, and no draw that Kolmogorov and Smirnov find odd at 1e-6."""
    state, n = random.generator(11, like=cuda.there(np.zeros(0))), 40_001
    u, z = cuda.here(random.uniform(state, n, dtype)), cuda.here(random.normal(state, n, dtype))
    assert u.dtype == z.dtype == dtype and u.min() >= 0 and u.max() < 1
    assert np.abs(np.sort(u) - (np.arange(n) + 0.5) / n).max() < 2.7 / np.sqrt(n)
    for power, mean, deviation in ((1, 0, 1), (2, 1, 2**0.5), (3, 0, 15**0.5), (4, 3, 96**0.5)):
        assert abs((z.astype(np.float64) ** power).mean() - mean) < 5 * deviation / np.sqrt(n)
    assert abs(np.corrcoef(z[:-1], z[1:])[0, 1]) < 5 / np.sqrt(n)


def test_an_array_beyond_what_an_int_counts_is_refused():
    a, b = np.broadcast_to(np.float32(1), (1 << 16, 1 << 16)), np.ones((1 << 16, 1), np.float32)
    with pytest.raises(ValueError, match=r"^gemm_nn: .* count to 2³¹, got an array of 4294967296 numbers$"):
        multiply(backends.emulated, "gemm", "gemm_nn", (a, b), (), a[:, :1], Product(1 << 16, 1, 1 << 16), "tensor")


@pytest.mark.parametrize("rows, columns, depth, wanted", [
    (131072, 128, 1024, ("tensor_256x128", 1)),  # large in every way
    (131072, 64, 512, ("tensor_128x64", 1)),  # half of a larger tile would be empty
    (8192, 3, 1024, ("tensor_128x16", 4)),  # 64 tiles for 132 multiprocessors
    (2048, 512, 4096, ("tensor_256x128", 4)),  # 32 tiles for 132 multiprocessors
    (128, 16896, 1024, ("tensor_128x128", 1)),  # half of the largest tile would be empty
    (128, 1, 8192, ("tensor_64x64", 64)),
])  # fmt: skip
def test_the_plan(rows, columns, depth, wanted):
    assert plan(Product(rows, columns, depth), "tensor", 132) == wanted


@pytest.mark.parametrize("processors", [1, 4, 132])
@pytest.mark.parametrize("depth", [1, 15, 100, 5000])
def test_no_plan_leaves_a_block_without_work(depth, processors):
    for rows in (1, 100, 4000):
        for version in ("tiled", "tensor"):
            name, parts = plan(Product(rows, 70, depth), version, processors)
            assert name in TILES and 1 <= parts <= max(1, -(-depth // 16) // 8)


def test_a_version_that_is_not_there_is_refused():
    a = np.ones((4, 4), np.float32)
    with pytest.raises(ValueError, match=r"version: got 'tensor_8x8'; know plain, tiled, tensor, tensor_256x128"):
        cuda.matmul(a, a, version="tensor_8x8")
    with pytest.raises(ValueError, match=r"version: there is no tensor_128x16 for this product"):
        cuda.matmul(a, a, version="tensor_128x16")


def test_every_kernel_exists_here_too():
    assert set(kernels.__all__) - {"precision"} <= set(dir(on_arrays))  # a precision is a setting
