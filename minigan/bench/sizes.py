"""What is measured: the sizes, the layers that they lead to, and the list of cases.

Each case names a method `kind` that ours.py and pytorch.py both have, and its arguments. This file needs neither
library, so that the process of each can read it without carrying the other.

Stands on the standard library. Read ours.py and pytorch.py next, side by side.
"""

import itertools
from typing import NamedTuple

SECTIONS = ("engine", "layers", "steps", "ring", "memory")
TARGETS = {
    "engine": 0.80, "dcgan_step": 0.80, "dcgan_step_equal_work": 0.85, "dcgan_critic_step": 1.00, "ring_step": 0.70,
    "critic_step": 1.00, "memory": 1.00,
}  # fmt: skip
RING_G = (2, 128, 128, 128, 2)  # the players of examples/01_gan_ring.py: latent ... point, and point ... logit
RING_D = (2, 128, 128, 128, 1)
CRITIC = (2, 512, 512, 512, 1)  # WGAN-GP's critic of points
SLOPE, EPS = 0.2, 1e-5  # of the leaky ReLU, and of batch norm
ADAM = {"lr": 2e-4, "betas": (0.5, 0.999)}
CRITIC_ADAM = {"lr": 1e-4, "betas": (0.0, 0.9)}  # WGAN-GP's, and its factor before the penalty
PENALTY = 10.0
TRIANGLE = {"conv2d": "{x} → {y}", "conv_transpose2d": "{y} → {x}", "conv2d_weight": "{x}, {y}"}  # kernels, and labels


class Sizes(NamedTuple):
    """How large everything is; FULL is measured, QUICK only shows that the benchmark runs."""

    chain: int  # adds in a row
    batch: int
    width: int  # channels beside the images
    latent: int
    images: tuple  # (pixels, channels) of each DCGAN
    ring_batch: int
    memory_steps: int

    def cases(self, section):
        """The list of cases in a section."""
        return _CASES[section](self)


FULL = Sizes(chain=1000, batch=64, width=64, latent=100, images=((64, 3), (32, 1)), ring_batch=256, memory_steps=5)
QUICK = Sizes(chain=20, batch=2, width=8, latent=5, images=((16, 3),), ring_batch=8, memory_steps=1)


class Case(NamedTuple):
    """One thing to measure: a method of each library, and how its time is to be read."""

    section: str
    kind: str
    label: str
    arguments: tuple = ()
    flops: int = 0
    unit: str = "ms"
    scale: float = 1e3  # seconds times scale: the figure in `unit`
    copies: int = 1  # of the data, which the calls take in turn
    precision: str | None = None  # of products, where there is a choice

    @property
    def name(self):
        return f"{self.kind} {self.label}"

    @property
    def target(self):
        return TARGETS.get("memory" if self.section == "memory" else self.kind)


class Layer(NamedTuple):
    """A convolution from (n, size, size, c) to (n, out, out, k), seen from any of its three sides."""

    n: int
    size: int
    c: int
    k: int
    stride: int = 2
    padding: int = 1
    window: int = 4

    @property
    def out(self):
        return (self.size + 2 * self.padding - self.window) // self.stride + 1

    @property
    def taps(self):
        return self.window**2

    @property
    def flops(self):
        return 2 * self.n * self.out**2 * self.taps * self.c * self.k

    @property
    def image(self):
        return f"{self.size}x{self.size}x{self.c}"

    @property
    def map(self):
        return f"{self.out}x{self.out}x{self.k}"


class Norm(NamedTuple):
    """A batch norm of (n, size, size, c)."""

    n: int
    size: int
    c: int


def widths(size, width):
    """The channels of a DCGAN's layers from the image inwards: the image is halved until it is 4x4."""
    return [width * 2**i for i in range((size // 4).bit_length() - 1)]


def layers(sizes):
    """The convolutions of the discriminators, and the generators' first: the others are the same, seen from behind."""
    found = []
    for size, channels in sizes.images:
        inwards = [channels, *widths(size, sizes.width)]
        found += [Layer(sizes.batch, size >> i, c, k) for i, (c, k) in enumerate(itertools.pairwise(inwards))]
        found += [Layer(sizes.batch, 4, inwards[-1], k, stride=1, padding=0) for k in (1, sizes.latent)]
    return list(dict.fromkeys(found))


def norms(sizes):
    """The batch norms of the generators; the discriminators' are among them."""
    inwards = [(size, i, c) for size, _ in sizes.images for i, c in enumerate(widths(size, sizes.width))]
    return list(dict.fromkeys(Norm(sizes.batch, size >> i + 1, c) for size, i, c in inwards))


def _engine(sizes):
    label = f"{sizes.chain} adds of 8 numbers, forward and backward"
    return [Case("engine", "engine", label, unit="us/op", scale=1e6 / sizes.chain)]


def _layers(sizes):
    found = [
        Case("layers", kind, words.format(x=layer.image, y=layer.map), (layer,), layer.flops)
        for kind, words in TRIANGLE.items()
        for layer in layers(sizes)
    ]
    kinds = ("batch_norm", "batch_norm_backward")
    return found + [Case("layers", kind, f"{x.size}x{x.size}x{x.c}", (x,)) for kind in kinds for x in norms(sizes)]


def _steps(sizes):
    kinds = ("dcgan_step", "dcgan_step_equal_work", "dcgan_critic_step")
    return [Case("steps", kind, f"{n}x{n}x{c}", (n, c)) for n, c in sizes.images for kind in kinds]


def _ring(sizes):
    return [Case("ring", kind, f"batch {sizes.ring_batch}") for kind in ("ring_step", "critic_step")]


def _memory(sizes):
    n, c = sizes.images[0]
    return [Case("memory", "dcgan_step", f"{n}x{n}x{c}", (n, c), unit="MiB", scale=2**-20)]


_CASES = {"engine": _engine, "layers": _layers, "steps": _steps, "ring": _ring, "memory": _memory}
