"""Each case in PyTorch, eager on the CPU, written as its own DCGAN example writes it.

The layout is NCHW, PyTorch's default, or channels_last, for which models and data are converted as its documentation
says. Source of the step: github.com/pytorch/examples, dcgan/main.py, without what it logs.

Stands on torch. Read ours.py beside this; on a GPU, gpu/pytorch.py next.
"""

import contextlib
import itertools
import math

import torch
from torch import nn
from torch.nn import functional as F

from .place import Host
from .sizes import ADAM, CRITIC, CRITIC_ADAM, EPS, PENALTY, RING_D, RING_G, SLOPE, widths

LAYOUTS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}
aten = torch.ops.aten


class Pytorch:
    """The cases; `layout` is a key of LAYOUTS."""

    def __init__(self, sizes, layout, threads):
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        self.sizes, self.layout, self.place = sizes, LAYOUTS[layout], Host()

    def describe(self):
        return f"torch {torch.__version__}"

    def engine(self):
        x, one, gy = torch.zeros(8, requires_grad=True), torch.ones(8), torch.arange(8.0)

        def chain():
            y = x
            for _ in range(self.sizes.chain):
                y = y + one
            return torch.autograd.grad(y, [x], gy)

        return chain

    def conv2d(self, layer):
        x, w, _ = self._triangle(layer)
        return _ungraded(lambda: F.conv2d(x, w, stride=layer.stride, padding=layer.padding))

    def conv_transpose2d(self, layer):
        _, w, g = self._triangle(layer)
        return _ungraded(lambda: F.conv_transpose2d(g, w, stride=layer.stride, padding=layer.padding))

    def conv2d_weight(self, layer):
        x, w, g = self._triangle(layer)
        stride, padding = [layer.stride] * 2, [layer.padding] * 2
        options = (None, stride, padding, [1, 1], False, [0, 0], 1, [False, True, False])
        return _ungraded(lambda: aten.convolution_backward(g, x, w, *options))

    def batch_norm(self, norm):
        x, gamma, beta, mean, var, _ = self._normal(norm)

        def forward():
            y = F.batch_norm(x, mean, var, gamma, beta, training=True, eps=EPS)
            return F.leaky_relu(y, SLOPE, inplace=True)

        return _ungraded(forward)

    def batch_norm_backward(self, norm):
        x, gamma, beta, mean, var, gy = self._normal(norm)
        y, batch_mean, inverse = aten.native_batch_norm(x, gamma, beta, mean, var, True, 0.1, EPS)
        y = F.leaky_relu(y, SLOPE, inplace=True)
        rest = (mean, var, batch_mean, inverse, True, EPS, [True] * 3)

        def backward():
            return aten.native_batch_norm_backward(aten.leaky_relu_backward(gy, y, SLOPE, True), x, gamma, *rest)

        return _ungraded(backward)

    def dcgan_step(self, size, channels):
        return adversarial_step(*self.dcgan(size, channels))

    dcgan_step_equal_work = dcgan_step  # backward() forms D's weight gradients in G's step too: that is its own way

    def dcgan(self, size, channels):
        """(G, D, a batch of images, the noise of a step)"""
        sizes = self.sizes
        G, D = (f(size, channels, sizes) for f in (dcgan_generator, dcgan_discriminator))
        G, D = (net.apply(_dcgan_weights).to(memory_format=self.layout) for net in (G, D))
        real = self._placed(torch.tanh(torch.randn(sizes.batch, channels, size, size)))
        return G, D, real, lambda: torch.randn(sizes.batch, sizes.latent, 1, 1, device=real.device)

    def ring_step(self):
        n = self.sizes.ring_batch
        G, D = mlp(RING_G, nn.ReLU), mlp(RING_D, lambda: nn.LeakyReLU(SLOPE))
        angle = 2 * math.pi * torch.randint(8, (n,)) / 8
        real = torch.stack([torch.cos(angle), torch.sin(angle)], dim=1) + 0.01 * torch.randn(n, 2)
        return adversarial_step(G, D, real, lambda: torch.randn(n, RING_G[0]))

    def dcgan_critic_step(self, size, channels):
        sizes = self.sizes
        layers = [x for x in dcgan_discriminator(size, channels, sizes) if not isinstance(x, nn.BatchNorm2d)]
        C = nn.Sequential(*layers).apply(_dcgan_weights).to(memory_format=self.layout)
        real, fake = (self._placed(torch.tanh(torch.randn(sizes.batch, channels, size, size))) for _ in range(2))
        return penalised_step(C, real, fake)

    def critic_step(self):
        return penalised_step(mlp(CRITIC, nn.ReLU), *torch.randn(2, self.sizes.ring_batch, CRITIC[0]))

    def _placed(self, x):
        return x.contiguous(memory_format=self.layout)

    def _triangle(self, layer):
        x = torch.randn(layer.n, layer.c, layer.size, layer.size)
        w = torch.randn(layer.k, layer.c, layer.window, layer.window)
        g = torch.randn(layer.n, layer.k, layer.out, layer.out)
        return self._placed(x), self._placed(w), self._placed(g)

    def _normal(self, norm):
        """(x, γ, β, running mean, running variance, gy)"""
        x, gy = (self._placed(torch.randn(norm.n, norm.c, norm.size, norm.size)) for _ in range(2))
        gamma, beta = 1 + 0.1 * torch.randn(norm.c), 0.1 * torch.randn(norm.c)
        return x, gamma, beta, torch.zeros(norm.c), torch.ones(norm.c), gy


def adversarial_step(G, D, real, noise, cast=contextlib.nullcontext, **adam):
    """One step of D, then one of G. The images made for D's step serve G's too.

    cast   the context of everything forward: autocast, on a GPU      adam   more options of the optimisers
    """
    opt_D, opt_G = (torch.optim.Adam(net.parameters(), **ADAM, **adam) for net in (D, G))
    criterion = nn.BCEWithLogitsLoss()

    def loss(x, label):
        with cast():
            return criterion(D(x).view(-1), label)

    def step():
        D.zero_grad()
        label = torch.full((len(real),), 1.0, device=real.device)
        loss(real, label).backward()
        with cast():
            fake = G(noise())
        label.fill_(0.0)
        loss(fake.detach(), label).backward()
        opt_D.step()

        G.zero_grad()
        label.fill_(1.0)
        loss(fake, label).backward()
        opt_G.step()

    return step


def penalised_step(C, real, fake):
    """One step of WGAN-GP's critic."""
    opt_C = torch.optim.Adam(C.parameters(), **CRITIC_ADAM)

    def step():
        C.zero_grad()
        share = torch.rand(len(real), *[1] * (real.dim() - 1))
        x = (share * real + (1 - share) * fake).requires_grad_(True)
        (slope,) = torch.autograd.grad(C(x).sum(), x, create_graph=True)
        penalty = ((slope.flatten(1).norm(2, dim=1) - 1) ** 2).mean()
        loss = C(fake).mean() - C(real).mean() + PENALTY * penalty
        loss.backward()
        opt_C.step()

    return step


def dcgan_generator(size, channels, sizes):
    outwards = widths(size, sizes.width)[::-1]
    found = [nn.ConvTranspose2d(sizes.latent, outwards[0], 4, 1, 0, bias=False)]
    for a, b in zip(outwards, [*outwards[1:], channels]):
        found += [nn.BatchNorm2d(a), nn.ReLU(True), nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False)]
    return nn.Sequential(*found, nn.Tanh())


def dcgan_discriminator(size, channels, sizes):
    inwards = widths(size, sizes.width)
    found = [nn.Conv2d(channels, inwards[0], 4, 2, 1, bias=False), nn.LeakyReLU(SLOPE, inplace=True)]
    for a, b in itertools.pairwise(inwards):
        found += [nn.Conv2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.LeakyReLU(SLOPE, inplace=True)]
    return nn.Sequential(*found, nn.Conv2d(inwards[-1], 1, 4, 1, 0, bias=False))


def mlp(sizes, activation):
    found = []
    for i, (a, b) in enumerate(itertools.pairwise(sizes)):
        found += ([activation()] if i else []) + [nn.Linear(a, b)]
    return nn.Sequential(*found)


def _dcgan_weights(module):
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


def _ungraded(function):
    """function, without a record for autograd: the kernel alone is timed."""

    def run():
        with torch.no_grad():
            return function()

    return run
