"""Each case in minigan, written as a user writes it.  A method makes the data once and returns what is to be timed.

Stands on minigan and place.py. Read pytorch.py beside this, then checks.py.
"""

import numpy as np

import minigan as mg
from minigan import kernels
from minigan.gan import networks
from minigan.gan.losses import wasserstein_d
from minigan.gan.penalties import gradient_penalty

from .place import Host
from .sizes import ADAM, CRITIC, CRITIC_ADAM, EPS, PENALTY, RING_D, RING_G, SLOPE

SEED = 0


class Minigan:
    """The cases; `sizes` says how large they are, `place` where they run."""

    def __init__(self, sizes, place=None):
        self.sizes, self.place = sizes, place or Host()

    def describe(self):
        """Version, and the kernels that run."""
        return f"minigan {mg.__version__} ({self.place.kernels()})"

    def engine(self):
        x = mg.tensor(np.zeros(8, np.float32), requires_grad=True)
        one, gy = mg.tensor(np.ones(8, np.float32)), mg.tensor(np.arange(8, dtype=np.float32))

        def chain():
            y = x
            for _ in range(self.sizes.chain):
                y = y + one
            return y, mg.grad(y, [x], gy)[0]

        return chain

    def conv2d(self, layer):
        x, w, _ = self._arrays(triangle, layer)
        return lambda: kernels.conv2d(x, w, stride=layer.stride, padding=layer.padding)

    def conv_transpose2d(self, layer):
        _, w, g = self._arrays(triangle, layer)
        return lambda: kernels.conv_transpose2d(g, w, stride=layer.stride, padding=layer.padding)

    def conv2d_weight(self, layer):
        x, _, g = self._arrays(triangle, layer)
        options = {"kernel_size": layer.window, "stride": layer.stride, "padding": layer.padding}
        return lambda: kernels.conv2d_weight(x, g, **options)

    def batch_norm(self, norm):
        x, gamma, beta, _ = self._arrays(normal, norm)
        return lambda: kernels.batch_norm(x, gamma, beta, eps=EPS, slope=SLOPE)

    def batch_norm_backward(self, norm):
        x, gamma, beta, gy = self._arrays(normal, norm)
        moments = kernels.batch_norm_moments(x)
        return lambda: kernels.batch_norm_backward(gy, x, gamma, beta, eps=EPS, slope=SLOPE, moments=moments)

    def dcgan_step(self, size, channels, equal_work=False):
        G, D, real, noise = self.dcgan(size, channels, self.sizes.batch)
        return adversarial_step(G, D, real, noise, equal_work)

    def dcgan_step_equal_work(self, size, channels):
        """As PyTorch's backward() does it: G's step also forms D's weight gradients, and throws them away."""
        return self.dcgan_step(size, channels, equal_work=True)

    def ring_step(self):
        return adversarial_step(*self.ring(self.sizes.ring_batch))

    def dcgan_critic_step(self, size, channels):
        return penalised_step(*self.dcgan_critic(size, channels, self.sizes.batch))

    def critic_step(self):
        return penalised_step(*self.critic(self.sizes.ring_batch))

    def dcgan(self, size, channels, batch):
        """(G, D, a batch of images, the noise of a step)."""
        rng, sizes, device = np.random.default_rng(SEED), self.sizes, self.place.device
        G = networks.dcgan_generator(size, channels, rng, latent=sizes.latent, width=sizes.width)
        D = networks.dcgan_discriminator(size, channels, rng, width=sizes.width)
        real = np.tanh(rng.standard_normal((batch, size, size, channels), np.float32))
        noise = self.place.generator(rng, SEED)
        draw = lambda: mg.tensor(noise.standard_normal((batch, sizes.latent), np.float32))
        return G.to(device), D.to(device), mg.tensor(real, device=device), draw

    def ring(self, batch):
        """(G, D, a batch of points on the ring, the noise of a step)."""
        rng = np.random.default_rng(SEED)
        G = networks.mlp(RING_G, rng)
        D = networks.mlp(RING_D, rng, activation=lambda: mg.nn.LeakyReLU(SLOPE))
        angle = 2 * np.pi * rng.integers(8, size=batch) / 8
        real = np.stack([np.cos(angle), np.sin(angle)], axis=1) + rng.normal(0, 0.01, (batch, 2))
        real = mg.tensor(real, dtype=np.float32)
        return G, D, real, lambda: mg.tensor(rng.standard_normal((batch, RING_G[0]), np.float32))

    def dcgan_critic(self, size, channels, batch):
        """(DCGAN's D without its batch norms, real images, generated ones, what draws the points between)."""
        G, D, real, noise = self.dcgan(size, channels, batch)
        C = mg.nn.Sequential(*(layer for layer in D if not isinstance(layer, mg.nn.BatchNorm2d)))
        with mg.no_grad():
            return C, real, G(noise()), np.random.default_rng(SEED)

    def critic(self, batch):
        """(WGAN-GP's critic, real points, generated ones, what draws the points between)."""
        G, _, real, noise = self.ring(batch)
        rng = np.random.default_rng(SEED)
        with mg.no_grad():
            return networks.mlp(CRITIC, rng), real, G(noise()), rng

    def _arrays(self, draw, case):
        """What triangle or normal draws, where the case runs."""
        return [self.place.put(array) for array in draw(case)]


def adversarial_step(G, D, real, noise, equal_work=False):
    """One step of D, then one of G: the non-saturating game. The images made for D's step serve G's too."""
    opt_D, opt_G = mg.optim.Adam(D.parameters(), **ADAM), mg.optim.Adam(G.parameters(), **ADAM)
    of_G = G.parameters()
    wanted = of_G + D.parameters() if equal_work else of_G

    def step():
        fake = G(noise())
        opt_D.step(mg.grad(loss_D(D(real), D(fake.detach())), D.parameters()))
        opt_G.step(mg.grad(loss_G(D(fake)), wanted)[: len(of_G)])

    return step


def penalised_step(C, real, fake, rng):
    """One step of WGAN-GP's critic."""
    opt_C = mg.optim.Adam(C.parameters(), **CRITIC_ADAM)
    return lambda: opt_C.step(mg.grad(loss_C(C, real, fake, rng), C.parameters()))


def loss_C(C, real, fake, rng):
    return wasserstein_d(C(real), C(fake)) + PENALTY * gradient_penalty(C, real, fake, rng)


def loss_D(real, fake):
    return 0.5 * (mg.ops.mean(mg.ops.softplus(-real)) + mg.ops.mean(mg.ops.softplus(fake)))


def loss_G(fake):
    return mg.ops.mean(mg.ops.softplus(-fake))


def triangle(layer):
    """(x, w, g) of a layer: images, weights, and what comes back for the convolution's output."""
    rng = np.random.default_rng(SEED)
    x = rng.standard_normal((layer.n, layer.size, layer.size, layer.c), np.float32)
    w = rng.standard_normal((layer.window, layer.window, layer.c, layer.k), np.float32)
    return x, w, rng.standard_normal((layer.n, layer.out, layer.out, layer.k), np.float32)


def normal(norm):
    """(x, γ, β, gy) of a batch norm."""
    rng = np.random.default_rng(SEED)
    shape = (norm.n, norm.size, norm.size, norm.c)
    x, gy = rng.standard_normal(shape, np.float32), rng.standard_normal(shape, np.float32)
    gamma, beta = rng.normal(1, 0.1, norm.c), rng.normal(0, 0.1, norm.c)
    return 2 * x + 1, gamma.astype(np.float32), beta.astype(np.float32), gy
