"""DCGAN's two networks, told the class of an image: D(x, y) and G(z, y).

A label enters as a one-hot vector, beside what the network gets anyway: in G as K more numbers beside z, in D as K more
planes beside the image's channels, plane y all ones and the others zeros. The first convolution turns such a plane into
a bias of its own for each class; from there on the networks are networks.py's, unchanged.

Source: Mirza and Osindero 2014, section 3.2 (y as a further input of both players); one-hot planes as in the code that
Radford et al. 2015 published, there at every layer.  Stands on networks.py.
"""

import numpy as np

from ..nn import Module
from ..ops import concatenate
from ..tensor import tensor
from .networks import dcgan_discriminator, dcgan_generator


def one_hot(labels, classes):
    """Whole numbers (N,) in 0 ... classes - 1 → float32 (N, classes), a 1 where the label is, else 0.

    TypeError for labels that are not whole numbers, ValueError for one that names no class.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise TypeError(f"one_hot: labels are {labels.dtype} of shape {labels.shape}, wants whole numbers (N,)")
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        i = wrong[0]
        raise ValueError(f"one_hot: labels[{i}] is {labels[i]}, but the {classes} classes are 0 to {classes - 1}")
    return np.eye(classes, dtype=np.float32)[labels]


class ConditionalGenerator(Module):
    """z (N, latent), labels (N,) → images (N, size, size, channels) in [-1, 1]."""

    def __init__(self, size, channels, classes, rng, *, latent=100, width=64):
        self.classes = classes
        self.net = dcgan_generator(size, channels, rng, latent=latent + classes, width=width)

    def forward(self, z, labels):
        y = tensor(one_hot(labels, self.classes), device=z.device)
        return self.net(concatenate([z, y], axis=1))


class ConditionalDiscriminator(Module):
    """images (N, size, size, channels), labels (N,) → logits (N,): is this a real image, and one of that class?"""

    def __init__(self, size, channels, classes, rng, *, width=64):
        self.classes = classes
        self.net = dcgan_discriminator(size, channels + classes, rng, width=width)

    def forward(self, x, labels):
        y = one_hot(labels, self.classes)[:, None, None, :]
        planes = np.broadcast_to(y, (*x.shape[:3], self.classes))
        return self.net(concatenate([x, tensor(planes, device=x.device)], axis=3))
