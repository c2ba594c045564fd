"""The emulator: that CUDA means there what it means on a GPU, and what it says to a launch that is wrong.

That it finds the faults of a kernel is for test_cuda_faults.py.
"""

import subprocess
import sys

import numpy as np
import pytest
from test_cuda_kernels import ROUNDED

from minigan.kernels import emulator
from minigan.kernels.cuda import compile as cuda_compile
from minigan.kernels.emulator import build

pytestmark = pytest.mark.skipif(
    emulator.compiler() is None, reason="the emulator needs a C++ compiler: apt install g++"
)

KERNELS = f"""\
#include "{cuda_compile.FOLDER / "ptx.cuh"}"
#include "{cuda_compile.FOLDER / "maps.cuh"}"
extern "C" __global__ void shuffles(const float* x, float* y) {{
    int i = threadIdx.x;
    y[i] = __shfl_sync(~0u, x[i], 3);
    y[i + 48] = __shfl_xor_sync(~0u, x[i], 1);
    y[i + 96] = __shfl_down_sync(~0u, x[i], 2, 8);
    y[i + 144] = __shfl_up_sync(~0u, x[i], 2);
    if (i < 4) y[i] += __shfl_sync(0xfu, x[i], 2);
}}
extern "C" __global__ void votes(const int* x, unsigned* y) {{
    int i = threadIdx.x;
    y[i] = __ballot_sync(~0u, x[i]);
    y[i + 32] = __any_sync(~0u, x[i] > 1) + 2 * __all_sync(~0u, x[i] < 2);
}}
extern "C" __global__ void histogram(const int* x, int n, int* counts, float* sum, int* largest) {{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    atomicAdd(&counts[x[i]], 1);
    atomicAdd(sum, x[i]);
    atomicMax(largest, x[i]);
}}
extern "C" __global__ void indices(int* y) {{
    int block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    int thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    y[block * blockDim.x * blockDim.y * blockDim.z + thread] = block * 1000 + thread;
}}
extern "C" __global__ void untouched(float* y, float* z) {{
    __shared__ float here[32];
    extern __shared__ float there[];
    y[threadIdx.x] = here[threadIdx.x], z[threadIdx.x] = there[threadIdx.x];
    __syncthreads();
    here[threadIdx.x] = there[threadIdx.x] = 1;
}}
extern "C" __global__ void multiply_tf32(const float* a, const float* b, float* d) {{
    int g = threadIdx.x / 4, t = threadIdx.x % 4;
    unsigned x[4], y[2];
    float z[4] = {{}};
    for (int i = 0; i < 4; i++) x[i] = to_tf32(a[(g + i % 2 * 8) * 8 + t + i / 2 * 4]);
    for (int i = 0; i < 2; i++) y[i] = to_tf32(b[(t + i * 4) * 8 + g]);
    mma_tf32(z, x, y[0], y[1]);
    for (int i = 0; i < 4; i++) d[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = z[i];
}}
extern "C" __global__ void halves(const float* x, unsigned short* y) {{
    y[threadIdx.x] = bf16(x[threadIdx.x]).bits;
}}
extern "C" __global__ void turns(const unsigned short* x, unsigned* y, int transposed) {{
    __shared__ __align__(16) unsigned short rows[32][8];
    for (int i = 0; i < 8; i++) rows[threadIdx.x][i] = x[threadIdx.x * 8 + i];
    __syncwarp();
    unsigned words[4];
    if (transposed) load_matrices<true>(words, rows[threadIdx.x]);
    else load_matrices<false>(words, rows[threadIdx.x]);
    for (int i = 0; i < 4; i++) y[i * 32 + threadIdx.x] = words[i];
}}
__device__ unsigned two(float low, float high) {{ return bf16(low).bits | (unsigned)bf16(high).bits << 16; }}
extern "C" __global__ void multiply_bf16(const float* a, const float* b, float* d) {{
    int g = threadIdx.x / 4, t = threadIdx.x % 4;
    unsigned x[4], y[2];
    float z[4] = {{}};
    for (int i = 0; i < 4; i++) {{
        const float* pair = a + (g + i % 2 * 8) * 16 + 2 * t + i / 2 * 8;
        x[i] = two(pair[0], pair[1]);
    }}
    for (int i = 0; i < 2; i++) y[i] = two(b[(2 * t + i * 8) * 8 + g], b[(2 * t + 1 + i * 8) * 8 + g]);
    mma_bf16(z, x, y[0], y[1]);
    for (int i = 0; i < 4; i++) d[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = z[i];
}}
extern "C" __global__ void copies(const float* x, float* y) {{
    __shared__ __align__(16) float desk[3][4];
    for (int i = 0; i < 3; i++) {{
        copy_async<16>(desk[i], x + 4 * i, i != 1);
        commit_copies();
    }}
    wait_copies<1>();
    for (int i = 0; i < 12; i++) y[i] = desk[i / 4][i % 4];
}}
extern "C" __global__ void askew(const float* x) {{
    __shared__ __align__(16) float desk[4];
    copy_async<16>(desk, x + 1, true);
}}
extern "C" __global__ void leaves(float* y) {{
    if (threadIdx.x == 5) return;
    __syncthreads();
}}
extern "C" __global__ void lonely(float* y) {{
    if (threadIdx.x < 8)
        y[threadIdx.x] = __shfl_sync(~0u, 1.f, 0);
}}
template <class T> __global__ void no_name(T* y) {{}}
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("emulator") / "small.cu"
    path.write_text(KERNELS, encoding="utf-8")
    return emulator.Module(path, seed=1).load()


def line(text):
    """The line of KERNELS that a text stands in."""
    return KERNELS[: KERNELS.index(text)].count("\n") + 1


def random(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


# --------------------------------------------------------------------------------------- CUDA means what it means


def test_lanes_read_one_another(small, rng):
    """48 threads: a warp and a half; a lane beyond the end, or of another group of 8, is not read."""
    x, y = random(rng, 48), np.zeros(192, np.float32)
    small.launch("shuffles", (1,), (48,), [x, y])
    warp, lane = np.arange(48) // 32 * 32, np.arange(48) % 32
    wanted = x[warp + 3]
    wanted[:4] += x[2]
    np.testing.assert_array_equal(y[:48], wanted)
    np.testing.assert_array_equal(y[48:96], x[warp + (lane ^ 1)])
    np.testing.assert_array_equal(y[96:144], x[np.where(lane % 8 < 6, warp + lane + 2, warp + lane) % 48])
    np.testing.assert_array_equal(y[144:], x[np.where(lane > 1, warp + lane - 2, warp + lane)])


def test_lanes_vote(small):
    y = np.zeros(64, np.uint32)
    small.launch("votes", (1,), (32,), [np.arange(32, dtype=np.int32) % 3, y])
    assert set(y[:32]) == {sum(1 << i for i in range(32) if i % 3)} and set(y[32:]) == {1}


def test_atomics_add_up(small, rng):
    x = rng.integers(0, 7, 1000).astype(np.int32)
    counts, total, largest = np.zeros(7, np.int32), np.zeros(1, np.float32), np.zeros(1, np.int32)
    small.launch("histogram", (4,), (256,), [x, np.int32(1000), counts, total, largest])
    assert (counts == np.bincount(x)).all() and total[0] == x.sum() and largest[0] == x.max()


def test_every_thread_of_every_block_runs_once(small):
    y = np.zeros(2 * 3 * 4 * 30, np.int32)
    small.launch("indices", (2, 3, 4), (5, 3, 2), [y])
    assert (y == np.add.outer(np.arange(24) * 1000, np.arange(30)).ravel()).all()


def test_shared_memory_starts_every_block_as_nan(small):
    for launch in range(1, 70):  # wherever its dynamic part lies
        y, z = np.zeros(32, np.float32), np.zeros(32, np.float32)
        small.launch("untouched", (3,), (32,), [y, z], shared=128 * launch)
        assert np.isnan(y).all() and np.isnan(z).all()


@pytest.mark.parametrize("precision, depth", [("tf32", 8), ("bf16", 16)])
def test_a_tensor_core_multiplies(small, rng, precision, depth):
    a, b, d = random(rng, 16, depth), random(rng, depth, 8), np.zeros((16, 8), np.float32)
    small.launch(f"multiply_{precision}", (1,), (32,), [a, b, d])
    rounded = [ROUNDED[precision](x).astype(np.float64) for x in (a, b)]
    np.testing.assert_allclose(d, rounded[0] @ rounded[1], rtol=0, atol=depth / 4 * 1e-6)
    assert np.abs(d - a.astype(np.float64) @ b).max() > 1e-5  # it does round


def test_bf16_is_rounded_to_the_nearest(small):
    """Ties go to the even neighbour, 1 + 2⁻⁸ down and 1 + 3·2⁻⁸ up, and carry on; a NaN stays one."""
    x = [1 + 2**-8, 1 + 2**-8 + 2**-23, np.inf, 3.4e38, -0.0, 1 + 3 * 2**-8, -2, -np.inf, np.nan, 2**-133]
    y = np.zeros(10, np.uint16)
    small.launch("halves", (1,), (10,), [np.array(x, np.float32), y])
    assert y.tolist() == [0x3F80, 0x3F81, 0x7F80, 0x7F80, 0x8000, 0x3F82, 0xC000, 0xFF80, 0x7FFF, 0x0001]


@pytest.mark.parametrize("transposed", [0, 1])
def test_matrices_are_handed_out_to_lanes(small, transposed):
    """PTX manual, ldmatrix: lane 4·g + t gets numbers 2·t and 2·t + 1 of row g of each matrix, or of its transpose."""
    x, y = np.arange(256, dtype=np.uint16).reshape(4, 8, 8), np.zeros((4, 32), np.uint32)
    small.launch("turns", (1,), (32,), [x.ravel(), y, np.int32(transposed)])
    of_lanes = np.stack([y & 0xFFFF, y >> 16], axis=-1).reshape(4, 8, 8)
    np.testing.assert_array_equal(of_lanes, x.transpose(0, 2, 1) if transposed else x)


def test_an_asynchronous_copy_lands_when_it_is_waited_for(small, rng):
    x, y = random(rng, 12), np.zeros(12, np.float32)
    small.launch("copies", (1,), (1,), [x, y])
    np.testing.assert_array_equal(y, np.r_[x[:4], np.zeros(4), np.full(4, np.nan)])


# ------------------------------------------------------------------------------------------------ what it says

CALLS = {  # what is wrong with a launch, and what the emulator says
    "no such kernel": ("nothing", (1,), [], "small.cu has no kernel 'nothing'; it has shuffles, votes, histogram"),
    "a template": ("no_name", (1,), [], "has no kernel 'no_name'"),
    "too few arguments": ("indices", (1,), [], "indices: takes 1 arguments, got 0"),
    "another dtype": ("indices", (1,), [np.zeros(9)], "indices: argument 0 points to int32, got an array of float64"),
    "a list": ("indices", (1,), [[1, 2]], "argument 0 is a pointer and wants a NumPy array or None, got list"),
    "too many threads": ("indices", (1025,), [np.zeros(9, np.int32)], "blocks of 1 to 1024 threads"),
}


@pytest.mark.parametrize("case", CALLS)
def test_a_wrong_launch_is_one_sentence(small, case):
    name, block, args, message = CALLS[case]
    with pytest.raises(emulator.EmulatorError) as error:
        small.launch(name, (1,), block, args)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("value, kind", [(np.int64(3), "int64"), (3.0, "float"), ("3", "str")])
def test_a_number_of_another_type_is_refused(small, value, kind):
    arrays = [np.zeros(9, dtype) for dtype in (np.int32, np.int32, np.float32, np.int32)]
    with pytest.raises(emulator.EmulatorError, match=f"^histogram: argument 1 is int32, got {kind}$"):
        small.launch("histogram", (1,), (1,), [arrays[0], value, *arrays[1:]])


FAULTS = {  # what two threads do, and the line where one of them waits
    "leaves": ("has returned", "waits at __syncthreads()", line("threadIdx.x == 5) return;") + 1),
    "lonely": ("has returned", "waits for lanes 0xffffffff", line("y[threadIdx.x] = __shfl")),
}


@pytest.mark.parametrize("name", FAULTS)
def test_threads_that_miss_one_another_are_named(small, name):
    with pytest.raises(emulator.EmulatorError) as error:
        small.launch(name, (1,), (32,), [np.zeros(32, np.float32)])
    one, other, where = FAULTS[name]
    assert one in str(error.value) and f"{other}, small.cu:{where}" in str(error.value)


def test_a_copy_from_a_skew_address_is_refused(small):
    with pytest.raises(emulator.EmulatorError, match=rf"small\.cu:{line('copy_async<16>(desk, x + 1')}.* 16 bytes"):
        small.launch("askew", (1,), (1,), [np.zeros(9, np.float32)])


def test_what_does_not_compile_is_said_with_its_line(tmp_path):
    path = tmp_path / "wrong.cu"
    path.write_text('\n\nextern "C" __global__ void wrong(float* y) { *y = nothing; }\n', encoding="utf-8")
    with pytest.raises(emulator.EmulatorError, match=r"wrong.* does not compile:\n(?s:.*)wrong\.cu:3:.*nothing"):
        emulator.Module(path).load()


def test_without_a_compiler_it_says_how_to_get_one(monkeypatch, tmp_path):
    monkeypatch.setattr(build, "compiler", lambda: None)
    path = tmp_path / "any.cu"
    path.write_text("", encoding="utf-8")
    with pytest.raises(emulator.EmulatorError, match=r"needs a C\+\+ compiler.*apt install g\+\+"):
        emulator.Module(path).load()


def test_the_demonstration_finds_its_faults():
    command = [sys.executable, "-m", "minigan.kernels.emulator"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert out.count("all numbers right") == 1 and out.count("numbers wrong") == 2 and out.count("divergence") == 1
