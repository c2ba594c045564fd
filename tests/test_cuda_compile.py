"""Every CUDA file compiles for every architecture that it is meant for, and none of its kernels runs out of registers.

NVRTC does this without a GPU, a driver or a CUDA toolkit. Registers and spills are what its assembler reports.
"""

import itertools
import statistics
from concurrent.futures import ThreadPoolExecutor

import pytest

from minigan.kernels.cuda import compile as cuda_compile
from minigan.kernels.cuda import machine_code, product

pytest.importorskip("cuda.bindings.nvrtc", reason="NVRTC is missing: pip install 'minigan[test]'")

CASES = [
    (*build, architecture)
    for build in cuda_compile.builds()
    for architecture in ([75, 120] if "float64" in build else cuda_compile.ARCHITECTURES)  # float64: no tensor cores
]
TENSOR = len(product.TILES) - 1  # tiles on tensor cores; gemm has no narrow one, and three layouts
ON_TENSOR_CORES = {"gemm": 3 * (TENSOR - 1), "conv2d": TENSOR, "conv_transpose2d": TENSOR, "conv2d_weight": TENSOR}


@pytest.fixture(scope="module")
def usages(request):
    """{case: what the compiler will say of it} for all that are to run, two compilers at a time."""
    cases = [tuple(item.callspec.params.values()) for item in request.session.items if "usages" in item.fixturenames]
    with ThreadPoolExecutor(2) as pool:
        yield {case: pool.submit(cuda_compile.usage, *case) for case in cases}


@pytest.mark.parametrize("name, dtype, architecture", CASES)
def test_every_kernel_compiles_and_keeps_to_its_registers(usages, name, dtype, architecture):
    used = usages[name, dtype, architecture].result()
    assert used
    for kernel, usage in used.items():
        assert usage.spills == usage.stack == 0, f"{kernel} keeps numbers in memory: {usage}"
        assert usage.registers * 256 <= 65536 and usage.shared <= 48 * 1024
    tensor = [kernel for kernel in used if "_tensor_" in kernel]
    wanted = ON_TENSOR_CORES.get(name, 0) if dtype != "float64" and architecture >= cuda_compile.TENSOR_CORES else 0
    assert len(tensor) == wanted


def test_a_spill_is_reported():
    """The report is read, not assumed to be zero: an array with an index that only the run knows lies in memory."""
    text = """extern "C" __global__ void spills(const int* index, float* y) {
        float a[64];
        for (int i = 0; i < 64; i++) a[i] = y[i] * y[i + 1];
        for (int i = 0; i < 64; i++) y[i] = a[index[i] & 63];
    }"""
    assert cuda_compile._usage(cuda_compile.cubin(text, "spills", "float32", 80)[1])["spills"].stack >= 256


def test_what_does_not_compile_is_said_with_its_line():
    text = '#line 7 "wrong.cu"\nextern "C" __global__ void wrong(float* y) { *y = nothing; }'
    with pytest.raises(
        RuntimeError, match=r"(?s)wrong\.cu does not compile for sm_80, float32.*wrong\.cu\(7\).*nothing"
    ):
        cuda_compile.cubin(text, "wrong", "float32", 80)


@pytest.mark.parametrize("architecture, limit", [(80, 163), (86, 99), (89, 99), (90, 227), (100, 227), (120, 99)])
def test_the_stages_fit_into_shared_memory(architecture, limit):
    """KB that a block may have: CUDA C++ Programming Guide, technical specifications per compute capability."""
    for tile, along in itertools.product(product.TILES.values(), itertools.product([True, False], repeat=2)):
        assert product.stages(tile.rows, tile.columns, along) <= limit * 1024


SIDES = sorted({n for tile in product.TILES.values() for n in (tile.rows, tile.columns)})


@pytest.mark.parametrize("rows", SIDES)
@pytest.mark.parametrize("along", [True, False])
@pytest.mark.parametrize("size", [4, 2])
def test_the_lanes_that_are_served_together_read_32_banks(rows, along, size):
    """tensor_tile.cuh says that its paddings keep them apart: bank = word address modulo 32.  size: of a number."""
    pitch = (80 // size if along else rows + 8) * size // 4
    if along or size == 2:  # ldmatrix: eight rows of 16 bytes
        read = [g * pitch + i for g in range(8) for i in range(4)]
    else:  # a quarter of a warp that reads fours, half a warp that reads twos
        run = 2 if rows == 16 else 4
        read = [t * pitch + g * run + i for g in range(8 // run) for t in range(4) for i in range(run)]
    assert len({word % 32 for word in read}) == len(read) == 32


@pytest.mark.parametrize("architecture", [80, 90])
@pytest.mark.parametrize("dtype, most", [("float32", 5), ("bfloat16", 4)])
@pytest.mark.parametrize("file", ON_TENSOR_CORES)
def test_large_tiles_issue_little_beside_the_tensor_cores(file, dtype, most, architecture):
    """At most so many instructions for each of a tensor core's, which takes four clocks at the very best."""
    for kernel, loop in machine_code.loops(file, dtype, architecture).items():
        assert loop.counts["copy"] and loop.counts["read"]
        if kernel.endswith(("256x128", "128x128")):
            assert loop.per_tensor <= most, (kernel, loop.counts)


@pytest.mark.parametrize("tile", [name for name in product.TILES if name != "tiled"])
def test_the_plan_counts_the_clocks_that_the_machine_code_takes(tile):
    """Within a quarter, in the median of all products: a warp's instructions, four of them a clock."""
    found = [
        len(loop.instructions) * product.TILES[tile].threads / 32 / 4
        for file in ON_TENSOR_CORES
        for kernel, loop in machine_code.loops(file, "float32", 90).items()
        if kernel.endswith(tile)
    ]
    assert product.TILES[tile].clocks == pytest.approx(statistics.median(found), rel=0.25)


def test_machine_code_is_read_loop_by_loop():
    text = """
    .section .text.inner,"ax"
.L_x_1:
        /*0000*/                   HMMA.1688.F32.TF32 R0, R1, R2, R0 ;
        /*0010*/              @!P0 IMAD.MOV.U32 R3, RZ, RZ, R4 ;
        /*0020*/               @P0 BRA `(.L_x_1) ;
        /*0030*/                   BRA `(.L_x_2) ;
.L_x_2:
        /*0040*/                   EXIT ;
"""
    (loop,) = machine_code._loops(text)
    assert loop == ["HMMA.1688.F32.TF32", "IMAD.MOV.U32", "BRA"]
    assert machine_code.Loop(tuple(loop)).counts == {"tensor": 1, "move": 1, "address": 1}
