"""Points in the plane: Gaussians on a ring and on a grid, whose every mode is known, and the swiss roll, one curve.

In two dimensions a generator's output can be plotted point by point, and since the centres are known
a missing mode can be counted. A GAN that cannot find eight blobs will not find faces.

Stands on nothing but NumPy. See glyphs.py next for images whose true factors are known too.
"""

import numpy as np


def ring_centers(modes=8, radius=1.0):
    """The centres of `ring`'s modes → (modes, 2), the first at angle 0, counter-clockwise."""
    if modes < 1:
        raise ValueError(f"ring: modes is {modes}, but there must be at least 1.")
    angle = 2 * np.pi * np.arange(modes) / modes
    return (radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)).astype(np.float32)


def grid_centers(side=5, spacing=2.0):
    """The centres of `grid`'s modes → (side², 2), row by row, the grid's middle at the origin."""
    if side < 1:
        raise ValueError(f"grid: side is {side}, but there must be at least 1 mode on a side.")
    line = spacing * (np.arange(side) - (side - 1) / 2)
    x, y = np.meshgrid(line, line)
    return np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)


def ring(rng, n, *, modes=8, radius=1.0, sigma=0.01):
    """n points of an even mixture of Gaussians around a circle → (n, 2) float32.

    sigma is each Gaussian's standard deviation. After Metz et al. 2017 (unrolled GANs), whose ring is
    twice as large in every length; at this size in Lin et al. 2018 (PacGAN).
    """
    return _mixture(rng, n, ring_centers(modes, radius), sigma)


def grid(rng, n, *, side=5, spacing=2.0, sigma=0.05):
    """n points of an even mixture of Gaussians on a square grid → (n, 2) float32.

    sigma is each Gaussian's standard deviation. As in Lin et al. 2018 (PacGAN) and many papers on
    mode collapse.
    """
    return _mixture(rng, n, grid_centers(side, spacing), sigma)


def swiss_roll(rng, n, *, radius=1.885, sigma=1 / 30):
    """n points of a spiral of one and a half turns, from a third of `radius` to `radius` → (n, 2) float32.

    s uniform in [1/3, 1] lies at angle 9π/2 · s and at distance radius · s, so that the inner end is denser; sigma is
    the standard deviation of Gaussian noise on both coordinates. In the size of Gulrajani et al. 2017 (WGAN-GP, figure
    1): scikit-learn's roll without its second coordinate, noise 0.25, all over 7.5.
    """
    if radius <= 0:
        raise ValueError(f"swiss_roll: radius is {radius}, but it must be above 0.")
    s = rng.uniform(1 / 3, 1, (n, 1))
    spiral = radius * s * np.concatenate([np.cos(4.5 * np.pi * s), np.sin(4.5 * np.pi * s)], axis=1)
    return (spiral + sigma * rng.standard_normal((n, 2))).astype(np.float32)


def _mixture(rng, n, centers, sigma):
    mode = rng.integers(len(centers), size=n)
    return centers[mode] + np.float32(sigma) * rng.standard_normal((n, 2), dtype=np.float32)
