"""That the emulator sees the faults that it says it sees, and sees none in the project's own kernels.

Faults are planted by changing the text of the real kernels, as an author's slip would: a missing barrier, a wrong lane,
a bound that is off by one. A test of kernels that passes with one of them in is worth nothing.
"""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import test_cuda_kernels as on_cuda

from minigan.kernels import cuda, emulator, reference
from minigan.kernels.cuda import backends
from minigan.kernels.cuda import compile as cuda_compile
from minigan.kernels.cuda import random as draws
from minigan.kernels.emulator.source import assemble

pytestmark = pytest.mark.skipif(
    emulator.compiler() is None, reason="the emulator needs a C++ compiler: apt install g++"
)


def random(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


# ------------------------------------------------------------------------------- faults in the project's own kernels


def gemm(version):
    def run(rng):
        a, b = random(rng, 70, 90), random(rng, 90, 66)
        return on_cuda.run("matmul", version, a, b), reference.matmul(a.astype(np.float64), b)

    return run


def conv(rng):
    x, w = random(rng, 2, 6, 6, 8), random(rng, 3, 3, 8, 20)
    options = {"stride": (1, 1), "padding": (1, 1)}
    return cuda.conv2d(x, w, version="tensor", **options), reference.conv2d(x.astype(np.float64), w, **options)


def weight(rng):
    x, g = random(rng, 2, 8, 8, 12), random(rng, 2, 6, 6, 20)
    options = {"kernel_size": (3, 3), "stride": (1, 1), "padding": (0, 0)}
    got = cuda.conv2d_weight(x, g, version="tensor", **options)
    return got, reference.conv2d_weight(x.astype(np.float64), g, **options)


def moments(rng):
    x = random(rng, 70, 40)
    return cuda.batch_norm_moments(x), reference.batch_norm_moments(x.astype(np.float64))


EARLY = "    __syncthreads();\n    if (threadIdx.y >= 2"
PLANTED = {  # what is wrong: (file, the line as it should be, as it is, who notices)
    "no barrier after the loads": ("gemm", "__syncthreads();  // the desk is laid", "", gemm("tiled")),
    "no barrier before the next loads": ("gemm", "__syncthreads();  // everybody has read it", "", gemm("tiled")),
    "no barrier behind the copies": ("gemm", "__syncthreads();\n        fetch(", "\n        fetch(", gemm("tf32")),
    "too few copies awaited": ("gemm", "wait_copies<STAGES - 2>", "wait_copies<STAGES - 1>", gemm("tf32")),
    "halves exchanged in one operand": ("gemm", "one * 2 + half", "one * 2 + 1 - half", gemm("tf32")),
    "a lane reads another's row": ("conv2d", "LEFT ? lane / 8 % 2 :", "LEFT ? lane / 16 :", conv),
    "matrices are not transposed": ("gemm", "load_matrices<!ALONG>", "load_matrices<false>", gemm("bf16")),
    "a lane writes another's column": ("conv2d", "Right::row(j, t * 2)", "Right::row(j, t / 2 * 2)", conv),
    "rows are stored as they are not read": ("conv2d_weight", "m + Left::row(u, g)", "m + u * 8 + g", weight),
    "a bound that is off by one": ("conv2d", "(unsigned)p.row < ", "(unsigned)p.row <= ", conv),
    "a pixel's row is not checked": ("conv2d", "(unsigned)p.row < (unsigned)height", "p.row < height", conv),
    "sums are read too early": ("batch_norm", EARLY, EARLY.replace("__syncthreads();", ""), moments),
}  # fmt: skip


@pytest.fixture
def planted(monkeypatch):
    """plant(file, old, new): the kernels of a file, changed."""

    def plant(file, old, new):
        text = assemble(cuda_compile.sources()[file])
        assert text.count(old) == 1, f"{file}.cu has changed: {old!r}"
        for build in cuda_compile.builds(["float32", "bfloat16"]):
            if build[0] == file:
                module = emulator.Module(
                    cuda_compile.path(file), cuda_compile.defines(build[1]), text=text.replace(old, new)
                )
                monkeypatch.setitem(backends.emulated._modules, build, module)

    monkeypatch.setattr(backends.emulated, "seed", 0)
    return plant


def right(run, seed):
    """Whether a kernel's numbers are right, up to what tensor cores round away."""
    backends.emulated.seed = seed
    got, want = run(np.random.default_rng(seed))
    return bool((np.abs(got - want) <= 1e-2 * (1 + np.abs(want).max())).all())


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_caught_at_every_seed(fault, planted):
    file, old, new, run = PLANTED[fault]
    assert all(right(run, seed) for seed in range(3)), "without the fault it must pass"
    planted(file, old, new)
    assert not any(right(run, seed) for seed in range(1, 6))


def test_a_divergent_barrier_names_both_lines(planted):
    old = "__syncthreads();  // the desk is laid"
    planted("gemm", old, "if (threadIdx.x < 100) __syncthreads(); // the desk is laid")
    where = (cuda_compile.FOLDER / "tile.cuh").read_text(encoding="utf-8").splitlines()
    first, second = (
        1 + next(i for i, text in enumerate(where) if mark in text) for mark in (old, "everybody has read")
    )
    with pytest.raises(emulator.EmulatorError) as error:
        gemm("tiled")(np.random.default_rng(0))
    assert f"tile.cuh:{first}" in str(error.value) and f"tile.cuh:{second}" in str(error.value)


# ------------------------------------------------------------------------------------------------------- races

RACES = """\
extern "C" __global__ void same_value(float* y) {
    __shared__ float desk;
    desk = 1;
    __syncthreads();
    y[threadIdx.x] = desk;
}
extern "C" __global__ void blocks(float* y) {
    y[blockIdx.x / 2] = 1;
}
extern "C" __global__ void lanes(float* y, int wait) {
    __shared__ float desk[32];
    desk[threadIdx.x] = y[threadIdx.x];
    if (wait) __syncwarp();
    y[threadIdx.x] = desk[31 - threadIdx.x];
}
extern "C" __global__ void counts(int* y) {
    atomicAdd(y, 1);
}
"""


@pytest.fixture(scope="module")
def racing(tmp_path_factory):
    path = tmp_path_factory.mktemp("emulator") / "racing.cu"
    path.write_text(RACES, encoding="utf-8")
    return emulator.Module(path, check="races").load()


def test_a_race_is_found_though_the_result_is_right(racing):
    with pytest.raises(
        emulator.EmulatorError, match=r"race in shared memory: thread .* writes, racing\.cu:3, what thread"
    ):
        racing.launch("same_value", (1,), (32,), [np.zeros(32, np.float32)])


def test_blocks_race_in_global_memory(racing):
    racing.launch("blocks", (1,), (1,), [np.zeros(1, np.float32)])
    with pytest.raises(
        emulator.EmulatorError, match=r"race in global memory: .* of another block writes, racing\.cu:8"
    ):
        racing.launch("blocks", (2,), (1,), [np.zeros(1, np.float32)])


def test_a_warp_that_has_met_is_in_order(racing):
    y = np.arange(32, dtype=np.float32)
    racing.launch("lanes", (1,), (32,), [y, np.int32(1)])
    assert (y == np.arange(32)[::-1]).all()
    with pytest.raises(
        emulator.EmulatorError, match=r"race in shared memory: .* racing\.cu:1[24], what .* racing\.cu:1[24]"
    ):
        racing.launch("lanes", (1,), (32,), [y, np.int32(0)])


def test_atomics_do_not_race(racing):
    y = np.zeros(1, np.int32)
    racing.launch("counts", (3,), (40,), [y])
    assert y[0] == 120


@pytest.mark.parametrize("mark", ["the desk is laid", "everybody has read it"])
def test_a_missing_barrier_is_found_with_the_lines_that_race(mark):
    path = cuda_compile.sources()["gemm"]
    text = assemble(path).replace(f"__syncthreads();  // {mark}", "")
    module = emulator.Module(path, cuda_compile.defines("float32"), text=text, check="races")
    tile = (cuda_compile.FOLDER / "tile.cuh").read_text(encoding="utf-8")
    write, read = (tile[: tile.index(code)].count("\n") + 1 for code in ("left[i % DESK]", "sums[i][j] +="))
    a = np.ones((70, 40), np.float32)
    sizes = [np.int32(n) for n in (70, 70, 40, 40, 1, 1, 40, 1, 0, 0, 1)]
    with pytest.raises(emulator.EmulatorError) as error:
        module.launch("gemm_tiled", (2, 2, 1), (256,), [a, a, np.zeros((70, 70), np.float32), *sizes])
    assert f"tile.cuh:{read}" in str(error.value)
    assert f"tile.cuh:{write}" in str(error.value) or f"tile.cuh:{write + 1}" in str(error.value)


# ----------------------------------------------------------------------- every access of every kernel of the project

GEOMETRY = {"stride": (2, 2), "padding": (1, 1)}


class Careful(backends.Emulated):
    """The emulator that checks every access, and knows which kernels it has run."""

    def __init__(self, check):
        super().__init__(seed=1, check=check)
        self.launched = set()

    def run(self, file, kernel, *args, **options):
        self.launched.add((file, kernel))
        super().run(file, kernel, *args, **options)


def matrices(rng):
    """Numbers that are copied one by one and in fours, by every tile; sums that several blocks share."""
    for processors, m, k, n in ((1, 67, 21, 71), (1, 68, 20, 72), (200, 5, 261, 9)):
        backends.emulated.processors = processors
        a, b = random(rng, m, k), random(rng, k, n)
        for version in ("tf32", "bf16", "tiled", "plain"):
            on_cuda.run("matmul", version, a, b)
        for tile in on_cuda.OF_MATMUL if processors == 1 else ():
            on_cuda.run("matmul", f"tf32 {tile}", a, b)
            on_cuda.run("matmul", f"tf32 {tile}", np.asfortranarray(a), b)
            on_cuda.run("matmul", f"tf32 {tile}", a, np.asfortranarray(b))


def triangle(rng):
    """Every tile of every side."""
    for processors, channels, filters in ((1, 3, 70), (1, 68, 8), (200, 20, 20)):
        backends.emulated.processors = processors
        x, w = random(rng, 1, 8, 6, channels), random(rng, 4, 4, channels, filters)
        tiles = on_cuda.TENSOR if processors == 1 else ["tensor"]
        for version in (*(f"tf32 {tile}" for tile in tiles), "tiled", "plain"):
            g = on_cuda.run("conv2d", version, x, w, **GEOMETRY)
            on_cuda.run("conv_transpose2d", version, g, w, size=(8, 6), **GEOMETRY)
            if channels == 3:
                on_cuda.run("conv_transpose2d", "gather", g, w, size=(8, 6), **GEOMETRY)
            on_cuda.run("conv2d_weight", version, x, g, kernel_size=(4, 4), **GEOMETRY)


def in_half(rng):
    """Arrays of bf16, whose numbers are copied one by one and in eights."""
    for channels in (3, 16):
        x, w = (random(rng, *shape).astype(on_cuda.HALF) for shape in ((1, 8, 6, channels), (4, 4, channels, 16)))
        on_cuda.run("conv2d", "arrays tensor_64x64", x, w, **GEOMETRY)


def norms(rng):
    x, gamma, beta = random(rng, 1, 8, 6, 3), random(rng, 3), random(rng, 3)
    options = {"eps": 1e-5, "slope": 0.2, "moments": cuda.batch_norm_moments(x)}
    cuda.batch_norm(x, gamma, beta, **options)
    cuda.batch_norm_backward(x, x, gamma, beta, **options)
    cuda.batch_norm_running(options["moments"], gamma, beta, momentum=0.1, count=48)


def layers(rng):
    x, w, b = random(rng, 70, 41), random(rng, 41, 33), random(rng, 33)
    y = cuda.linear(x, w, b, slope=0.2)
    cuda.linear_backward(y, y, x, w, slope=0.2, needs=(True, True))
    cuda.leaky_relu(cuda.add(x, x), slope=0.2)


def steps(rng):
    p, g, m, v = ([abs(random(rng, 301))] for _ in range(4))
    cuda.adam(p, g, m, v, lr=0.1, beta1=0.5, beta2=0.9, eps=1e-8, step=1)
    cuda.rmsprop(p, g, v, lr=0.1, alpha=0.9, eps=1e-8)
    cuda.sgd(p, g, m, lr=0.1, momentum_rate=0.9)


def numbers(rng):
    for draw in (draws.normal, draws.uniform, draws.bits):
        draw(draws.generator(1, like=np.zeros(0)), 1003)


def every_kernel(careful):
    """Launch every kernel there is, on small arrays of their own.

    The long way is all of test_cuda_kernels.py, under $MINIGAN_EMULATOR_CHECK=races or as the program of
    `python -m minigan.kernels.emulator bounds -m pytest`.
    """
    careful.prepare(["float32"])
    for launches in (matrices, triangle, in_half, norms, layers, steps, numbers):
        launches(np.random.default_rng(1))
    there = {(file, name) for (file, _), module in careful._modules.items() for name in module.kernels}
    assert careful.launched == there, f"nothing here launches {sorted(there - careful.launched)}"


def test_no_kernel_of_this_project_races(monkeypatch):
    monkeypatch.setattr(backends, "emulated", Careful("races"))
    every_kernel(backends.emulated)


BEYOND = {  # what is wrong: (file, as it should be, as it is, who launches it, the file and the line that is reported)
    "a column too many is read": (
        "elementwise", "if (column >= columns)", "if (column > columns)", layers, "elementwise.cu", "real b = bias["
    ),
    "a column too many is written": (
        "reduce", "|| column >= columns)", "|| column > columns)", layers, "reduce.cu", "y[blockIdx.y * columns + col"
    ),
    "a row too many is copied": (
        "conv2d", "(unsigned)p.row < ", "(unsigned)p.row <= ", triangle, "tensor_tile.cuh", "copy_async<BYTES>(panel"
    ),
    "a row too many of shared memory": (
        "reduce", "for (int i = 1; i < 8;", "for (int i = 1; i <= 8;", layers, "reduce.cu", "for (int i = 1; i < 8;"
    ),
}  # fmt: skip


def stay_within_bounds(fault):
    """In a Python with the address sanitizer: every kernel, or those that have a fault."""
    backends.emulated = Careful("bounds")
    if fault is None:
        return every_kernel(backends.emulated)
    file, old, new, launches, *_ = BEYOND[fault]
    text = assemble(cuda_compile.path(file))
    assert text.count(old) == 1, f"{file}.cu has changed: {old!r}"
    module = emulator.Module(
        cuda_compile.path(file), cuda_compile.defines("float32"), text=text.replace(old, new), check="bounds"
    )
    backends.emulated.use(file, "float32", module)
    launches(np.random.default_rng(1))


@pytest.mark.skipif(sys.platform != "linux", reason="libasan is looked for on Linux")
@pytest.mark.parametrize("fault", [None, *BEYOND])
def test_no_kernel_of_this_project_leaves_its_arrays(fault):
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_cuda_faults as faults; "
    code += f"faults.stay_within_bounds({fault!r}); print('done')"
    command = [sys.executable, "-m", "minigan.kernels.emulator", "bounds", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "no libasan" in done.stderr:
        pytest.skip("this compiler has no libasan")
    if fault is None:
        assert done.stdout == "done\n" and not done.returncode, done.stderr
        return
    *_, file, mark = BEYOND[fault]
    source = (cuda_compile.FOLDER / file).read_text(encoding="utf-8")
    where = f"{file}:{source[: source.index(mark)].count(chr(10)) + 1}"
    assert done.returncode and re.search("heap-buffer-overflow|out of bounds", done.stderr) and where in done.stderr
