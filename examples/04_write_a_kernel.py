"""Write an op with its own kernels: a definition, a fast forward, a fast first derivative, and the check of all three.

    y  = x / r,    r = sqrt(mean(x²) + ε)          pixel norm: over the channels of each pixel
    gx = (gy - y · mean(gy · y)) / r

    Karras, Aila, Laine and Lehtinen 2018, section 4.2: what stands after every convolution of a progressive GAN's G.

In ops this passes over the images many times, in a kernel once. `fused` ties both together: the kernels run where
nobody differentiates twice; where somebody does, the composite is differentiated, five ops to check by eye. So the
second derivative comes for free; but there are two first derivatives now, and they must agree.

The kernels are here twice: for the CPU in Numba, below; for a GPU in CUDA C++, in 04_pixel_norm.cu beside this file.
Where there is no GPU, the emulator runs that very file, every thread of it, and wants a g++.

    python examples/04_write_a_kernel.py       # some seconds, most of them the compilers'

Two faults are planted: one in the kernel, one in the composite. Read minigan/ops/norm.py next: batch norm is made so.
"""

import argparse
import sys
import timeit
from pathlib import Path

import numba
import numpy as np

import minigan as mg
from minigan.autograd import fused
from minigan.claims import verdict
from minigan.device import resolve
from minigan.kernels.cuda.backends import backend_of, blocks
from minigan.kernels.emulator import EmulatorError
from minigan.ops import mean, sqrt

EPS = 1e-8
CUDA = Path(__file__).with_name("04_pixel_norm.cu")


def composite(x):
    """The definition, in ops: differentiable to any order."""
    return x / sqrt(mean(x * x, axis=-1, keepdims=True) + EPS)


@numba.njit(fastmath=True)
def forward_kernel(x, y):
    """y = x / sqrt(mean(x²) + ε), row by row; x and y (pixels, channels)."""
    pixels, channels = x.shape
    for p in range(pixels):
        total = x[p, 0] * 0
        for c in range(channels):
            total += x[p, c] * x[p, c]
        scale = 1 / np.sqrt(total / channels + EPS)
        for c in range(channels):
            y[p, c] = x[p, c] * scale


@numba.njit(fastmath=True)
def backward_kernel(gy, x, gx, keep):
    """gx = (gy - y · mean(gy · y)) / r, r and y computed again; keep=0 forgets the second term: a planted fault."""
    pixels, channels = x.shape
    for p in range(pixels):
        squares = products = x[p, 0] * 0
        for c in range(channels):
            squares += x[p, c] * x[p, c]
            products += gy[p, c] * x[p, c]
        scale = 1 / np.sqrt(squares / channels + EPS)
        along = keep * products / channels * scale * scale
        for c in range(channels):
            gx[p, c] = (gy[p, c] - x[p, c] * along) * scale


def run(kernel, *arrays, **options):
    """A kernel over images of any shape: their pixels as rows."""
    rows = [np.ascontiguousarray(a).reshape(-1, a.shape[-1]) for a in arrays]
    out = np.empty_like(rows[0])
    kernel(*rows, out, **options)
    return out.reshape(arrays[0].shape)


def run_cuda(kernel, *arrays):
    """A kernel of the .cu file: on the GPU for CuPy arrays, in the emulator for NumPy arrays."""
    backend = backend_of(*arrays)
    rows = [backend.xp.ascontiguousarray(a).reshape(-1, a.shape[-1]) for a in arrays]
    out = backend.empty(rows[0].shape, rows[0].dtype)
    numbers = np.int32(out.shape[0]), np.int32(out.shape[1]), out.dtype.type(EPS)
    backend.run(CUDA, kernel, (blocks(len(out), 8),), (32, 8), [*rows, out, *numbers], out.dtype)
    return out.reshape(arrays[0].shape)


@fused(composite)
def pixel_norm(x):
    """x / sqrt(mean(x²) + ε) over the last axis."""
    return run(forward_kernel, x)


def backward(gy, y, x, *, needs):
    """Arrays in, the gradient of each input out; needs: which of them are wanted."""
    return [run(backward_kernel, gy, x, keep=1)]


@fused(composite)
def pixel_norm_cuda(x):
    """The same by the CUDA kernels. (One op would ask `isinstance(x, np.ndarray)`: here both run on one machine.)"""
    return run_cuda("forward", x)


def backward_cuda(gy, y, x, *, needs):
    return [run_cuda("backward", gy, x)]


pixel_norm.backward, pixel_norm_cuda.backward = backward, backward_cuda


def term_forgotten(gy, y, x, *, needs):
    return [run(backward_kernel, gy, x, keep=0)]


def other_definition(x):
    return x / sqrt(mean(x * x, axis=-1, keepdims=True) + 0.1)


def check(seed, order=2, f=pixel_norm, device="cpu"):
    """gradcheck's error for f as it is now, or None."""
    x = mg.tensor(np.random.default_rng(seed).normal(size=(2, 3, 3, 4)), device=device)
    try:
        mg.gradcheck(f, [x], order=order, seed=seed)
    except mg.GradientError as error:
        return error
    return None


def milliseconds(f, x, gy):
    """The best of nine for a forward and a backward pass."""
    return 1e3 * min(timeit.repeat(lambda: mg.grad(f(x), [x], gy), number=1, repeat=9))


def right(what, f, x, seed, device="cpu"):
    """Two claims: f is what its definition says, in float32; and its derivatives are right, in float64."""
    off = float(abs(f(x).data - composite(x).data).max())
    yield f"{what} against the definition, float32", "< 1e-5", f"{off:.1e}", off < 1e-5
    error = check(seed, 3, f, device)
    yield f"{what}, derivatives", "right to order 3", "right" if error is None else str(error), error is None


def cuda_rows(rng, seed):
    """The claims for the CUDA kernels, on this machine's GPU or in the emulator."""
    device = resolve("auto")
    where = "on the GPU" if device == "cuda" else "in the emulator"
    x = mg.tensor(rng.standard_normal((2, 5, 5, 70), dtype=np.float32), device=device)
    try:
        return list(right(f"CUDA kernels {where}", pixel_norm_cuda, x, seed, device))
    except EmulatorError as error:
        print(f"CUDA kernels: not run: {error}\n")
        return []


def main(seed):
    rng = np.random.default_rng(seed)
    x = mg.tensor(rng.standard_normal((16, 32, 32, 64), dtype=np.float32), requires_grad=True)
    gy = rng.standard_normal(x.shape, dtype=np.float32)
    rows = [*right("Numba kernels", pixel_norm, x, seed), *cuda_rows(rng, seed)]
    print(f"forward and backward, 16 x 32 x 32 x 64: {milliseconds(pixel_norm, x, gy):.1f} ms in kernels, "
          f"{milliseconds(composite, x, gy):.1f} ms in ops\n")  # fmt: skip

    faults = ("backward", term_forgotten, "hand-written derivative"), ("composite", other_definition, "composite")
    for part, wrong, words in faults:
        kept = getattr(pixel_norm, part)
        setattr(pixel_norm, part, wrong)
        error = check(seed)
        setattr(pixel_norm, part, kept)
        print(f"--- {part} = {wrong.__name__}\n{error}\n")
        found = error is not None and words in error.diagnosis
        rows.append((wrong.__name__, f"only the {words}", "found" if found else str(error), found))
    return verdict(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of the inputs and the checks")
    sys.exit(0 if main(parser.parse_args().seed) else 1)
