"""What is checked and measured on a GPU: DCGAN on 64x64 images, batch 128.

As ../sizes.py, it needs no library.  Stands on ../sizes.py. Read ours.py and pytorch.py next.
"""

import math
from itertools import pairwise
from typing import NamedTuple

from ..sizes import TRIANGLE, Case, Layer, Norm, layers, norms, widths

PARTS = ("gradients", "sanitizer", "layers", "bandwidth", "tiles", "steps")  # what --only chooses from
TIMED = ("roofline", "layers", "bandwidth", "steps")
PRECISIONS = ("tf32", "bf16")  # of whole steps
LARGE = 1e9  # floating-point operations from which a convolution is a large one
BULK = 1 << 26  # bytes from which moving them takes long beside starting a kernel
ODD = (  # shapes that no tile divides
    Layer(3, 7, 5, 6, stride=2, padding=1, window=3),
    Layer(2, 9, 3, 37, stride=3, padding=2, window=4),
    Layer(1, 9, 1, 1, stride=1, padding=0, window=3),
    Layer(1, 5, 33, 70, stride=1, padding=2, window=5),
    Layer(5, 1, 17, 9, stride=1, padding=0, window=1),
)
ODD_NORMS = (Norm(1, 3, 1), Norm(3, 5, 33), Norm(257, 1, 70))
WIDE = Layer(2, 13, 5, 133, stride=1, padding=1, window=3)  # a product past the edges of the largest tile
PRODUCTS = ((1, 1, 1), (5, 37, 3), (129, 65, 131), (260, 36, 132))  # rows, depth, columns
LENGTHS = (1, 255, 1025)  # of elementwise kernels' arrays


class GpuSizes(NamedTuple):
    """How large everything is; FULL is measured, QUICK only shows that the benchmark runs."""

    batch: int
    width: int
    latent: int
    images: tuple
    products: tuple  # more of them: rows, depth, columns
    elements: int  # of an elementwise kernel's arrays
    calls: int  # of a kernel in one CUDA graph, at least
    flush: int  # bytes: more than a GPU's second-level cache holds
    copy: int  # bytes of the array that is copied to measure the memory
    square: int  # rows of the matrices that are multiplied to measure the arithmetic

    def cases(self, section):
        """The list of cases in a section."""
        return _CASES[section](self)

    def copies(self, numbers):
        """How many copies of a case's data calls take in turn.

        In a training step all other layers' data pass between two runs of a layer, so that it finds its inputs in
        memory. Called again and again on the same few megabytes, it would find them in the second-level cache, and look
        faster than it is.
        """
        return max(1, math.ceil(self.flush / (4 * numbers)))

    @property
    def parameters(self):
        """The shapes of all parameters of DCGAN's two players."""
        ((size, channels),) = self.images
        inwards = widths(size, self.width)
        both = [(4, 4, c, k) for c, k in pairwise([channels, *inwards])]
        ends = [(4, 4, inwards[-1], k) for k in (1, self.latent)]
        return 2 * both + ends + [(c,) for c in (*inwards[1:], *inwards) for _ in ("gamma", "beta")]


FULL = GpuSizes(
    batch=128, width=64, latent=100, images=((64, 3),), products=((128, 100, 8192), (2048, 1024, 4096)),
    elements=1 << 24, calls=16, flush=1 << 28, copy=1 << 30, square=8192,
)  # fmt: skip
QUICK = GpuSizes(
    batch=2, width=8, latent=5, images=((16, 3),), products=(), elements=5000, calls=2, flush=1 << 14, copy=1 << 14,
    square=64,
)  # fmt: skip


def _roofline(sizes):
    product = f"{sizes.square}x{sizes.square} matrices"
    flops = 2 * sizes.square**3
    return [Case("roofline", "copy", "device to device", unit="us", scale=1e6)] + [
        Case("roofline", "matmul", f"{product}, {name}", (sizes.square,), flops, "us", 1e6, precision=name)
        for name in PRECISIONS
    ]


def _layers(sizes):
    return [_layer(sizes, kind, words, x) for kind, words in TRIANGLE.items() for x in layers(sizes)]


def _layer(sizes, kind, words, x):
    images, weights, maps = x.n * x.size**2 * x.c, x.taps * x.c * x.k, x.n * x.out**2 * x.k
    read = {"conv2d": images + weights, "conv_transpose2d": maps + weights, "conv2d_weight": images + maps}[kind]
    label = words.format(x=x.image, y=x.map)
    return Case("layers", kind, label, (x,), x.flops, "us", 1e6, sizes.copies(read), "tf32")


def _bandwidth(sizes):
    found = [
        Case("bandwidth", kind, f"{x.size}x{x.size}x{x.c}", (x,), 0, "us", 1e6, sizes.copies(x.n * x.size**2 * x.c))
        for kind in ("batch_norm", "batch_norm_backward")
        for x in norms(sizes)
    ]
    count = parameters(sizes)
    return [*found, Case("bandwidth", "adam", f"{count} parameters", (), 0, "us", 1e6, sizes.copies(4 * count))]


def moved(case, sizes):
    """The bytes that a case's kernels read and write.

    copy                  x read, y written
    batch_norm            x read for its moments, and once more; y written
    batch_norm_backward   gy and x read for their sums, and once more; gx written
    adam                  parameter, gradient and two states read; parameter and states written
    """
    if case.kind == "copy":
        return 2 * sizes.copy
    if case.kind == "adam":
        return 4 * 7 * parameters(sizes)
    (x,) = case.arguments
    return 4 * {"batch_norm": 3, "batch_norm_backward": 5}[case.kind] * x.n * x.size**2 * x.c


def parameters(sizes):
    """How many parameters DCGAN's two players have."""
    return sum(math.prod(shape) for shape in sizes.parameters)


def _steps(sizes):
    return [
        Case("steps", "dcgan_step", f"{n}x{n}x{c}, {name}", (n, c), unit="ms", precision=name)
        for name in PRECISIONS
        for n, c in sizes.images
    ]


_CASES = {"roofline": _roofline, "layers": _layers, "bandwidth": _bandwidth, "steps": _steps}
