"""Write an op with its own kernels: a definition, a fast forward, a fast first derivative, and the check of all three.

    y  = x / r,    r = sqrt(mean(x²) + ε)          pixel norm: over the channels of each pixel
    gx = (gy - y · mean(gy · y)) / r

    Karras, Aila, Laine and Lehtinen 2018, section 4.2: what stands after every convolution of a progressive GAN's G.

In ops this passes over the images many times, in a kernel once. `fused` ties both together: the kernels run where
nobody differentiates twice; where somebody does, the composite is differentiated, five ops to check by eye. So the
second derivative comes for free; but there are two first derivatives now, and they must agree.

    python examples/04_write_a_kernel.py       # some seconds, most of them Numba's

Two faults are planted: one in the kernel, one in the composite. Read minigan/ops/norm.py next: batch norm is made so.
"""

import argparse
import sys
import timeit

import numba
import numpy as np

import minigan as mg
from minigan.autograd import fused
from minigan.claims import verdict
from minigan.ops import mean, sqrt

EPS = 1e-8


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


@fused(composite)
def pixel_norm(x):
    """x / sqrt(mean(x²) + ε) over the last axis."""
    return run(forward_kernel, x)


def backward(gy, y, x, *, needs):
    """Arrays in, the gradient of each input out; needs: which of them are wanted."""
    return [run(backward_kernel, gy, x, keep=1)]


def term_forgotten(gy, y, x, *, needs):
    return [run(backward_kernel, gy, x, keep=0)]


def other_definition(x):
    return x / sqrt(mean(x * x, axis=-1, keepdims=True) + 0.1)


def check(seed, order=2):
    """gradcheck's error for pixel_norm as it is now, or None."""
    try:
        mg.gradcheck(pixel_norm, [np.random.default_rng(seed).normal(size=(2, 3, 3, 4))], order=order, seed=seed)
    except mg.GradientError as error:
        return error
    return None


def milliseconds(f, x, gy):
    """The best of nine for a forward and a backward pass."""
    return 1e3 * min(timeit.repeat(lambda: mg.grad(f(x), [x], gy), number=1, repeat=9))


def main(seed):
    rng = np.random.default_rng(seed)
    x = mg.tensor(rng.standard_normal((16, 32, 32, 64), dtype=np.float32), requires_grad=True)
    gy = rng.standard_normal(x.shape, dtype=np.float32)
    pixel_norm.backward = backward
    off = np.abs(pixel_norm(x).data - composite(x).data).max()
    rows = [("kernel against its definition, float32", "< 1e-5", f"{off:.1e}", off < 1e-5)]
    error = check(seed, order=3)
    rows.append(("the right kernels", "right to order 3", "right" if error is None else str(error), error is None))
    print(f"forward and backward, 16 x 32 x 32 x 64: {milliseconds(pixel_norm, x, gy):.1f} ms in kernels, "
          f"{milliseconds(composite, x, gy):.1f} ms in ops\n")  # fmt: skip

    faults = ("backward", term_forgotten, "hand-written derivative"), ("composite", other_definition, "composite")
    for part, wrong, words in faults:
        right = getattr(pixel_norm, part)
        setattr(pixel_norm, part, wrong)
        error = check(seed)
        setattr(pixel_norm, part, right)
        print(f"--- {part} = {wrong.__name__}\n{error}\n")
        found = error is not None and words in error.diagnosis
        rows.append((wrong.__name__, f"only the {words}", "found" if found else str(error), found))
    return verdict(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of the inputs and the checks")
    sys.exit(0 if main(parser.parse_args().seed) else 1)
