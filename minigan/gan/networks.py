"""The players: a multilayer perceptron for points, DCGAN's two networks for images.

Both DCGAN networks halve or double the image at every layer, so that a reader sees the same numbers going up in G and
down in D. Sizes 28, 32 and 64 differ only in the small end: a 7x7 or 4x4 image of many channels.

Source: Radford, Metz and Chintala 2015, section 3.  Stands on nn/.
"""

from itertools import pairwise

from ..nn import BatchNorm2d, Conv2d, ConvTranspose2d, LeakyReLU, Linear, ReLU, Reshape, Sequential, Tanh, init


def mlp(widths, rng, activation=ReLU):
    """Linear layers of the given widths with an activation between them: mlp([2, 128, 128, 1], rng)."""
    layers = []
    for i, (a, b) in enumerate(pairwise(widths)):
        layers += ([activation()] if i else []) + [Linear(a, b, rng=rng)]
    return Sequential(*layers)


def _ends(size):
    """(pixels at the small end, number of doublings up to size)."""
    small = next((n for n in (4, 5, 6, 7) if size % n == 0 and (size // n).bit_count() == 1), None)
    if small is None or size < 2 * small:
        raise ValueError(f"dcgan: size {size} is not 4, 5, 6 or 7 times a power of two, such as 28, 32 or 64")
    return small, (size // small).bit_length() - 1


def dcgan_generator(size, channels, rng, *, latent=100, width=64):
    """z (N, latent) → images (N, size, size, channels) in [-1, 1].

    The latent vector is projected to a small image of many channels, then every transposed convolution doubles the
    image and halves the channels. Batch norm everywhere but at the output; ReLU; tanh at the end.
    """
    small, doublings = _ends(size)
    widths = [width * 2**i for i in reversed(range(doublings))]
    layers = [Reshape(1, 1, latent), ConvTranspose2d(latent, widths[0], small, bias=False, rng=rng)]
    for a, b in pairwise(widths):
        layers += [BatchNorm2d(a), ReLU(), ConvTranspose2d(a, b, 4, stride=2, padding=1, bias=False, rng=rng)]
    layers += [BatchNorm2d(widths[-1]), ReLU()]
    layers += [ConvTranspose2d(widths[-1], channels, 4, stride=2, padding=1, bias=False, rng=rng), Tanh()]
    return init.dcgan(Sequential(*layers), rng)


def dcgan_discriminator(size, channels, rng, *, width=64):
    """images (N, size, size, channels) → logits (N,).

    Every strided convolution halves the image and doubles the channels. Batch norm everywhere but at the input and the
    output; leaky ReLU of slope 0.2. A logit, not a probability: the loss applies softplus to it.
    """
    small, halvings = _ends(size)
    widths = [width * 2**i for i in range(halvings)]
    layers = [Conv2d(channels, widths[0], 4, stride=2, padding=1, bias=False, rng=rng), LeakyReLU(0.2)]
    for a, b in pairwise(widths):
        layers += [Conv2d(a, b, 4, stride=2, padding=1, bias=False, rng=rng), BatchNorm2d(b), LeakyReLU(0.2)]
    layers += [Conv2d(widths[-1], 1, small, bias=False, rng=rng), Reshape()]
    return init.dcgan(Sequential(*layers), rng)
