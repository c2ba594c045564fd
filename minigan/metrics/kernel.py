"""Kernel distance: how far apart two samples are, without taking either for a Gaussian.

    MMD²(P, Q) = E k(x, x') + E k(y, y') - 2 E k(x, y),        k(x, y) = (x·y / d + 1)³

is 0 when P and Q agree in mean, covariance and skewness. The estimate leaves out the pairs of a point with itself and
is therefore unbiased, whatever the sample's size: a few hundred images will do where a Fréchet distance needs
thousands, and it may come out slightly below 0.

Source: Binkowski et al. 2018, section 4.  Stands on distances.py.
"""

from .distances import NUMBERS, as_points


def kernel_distance(real, fake):
    """Unbiased estimate of MMD² with the cubic polynomial kernel → float.

    real, fake  features (n, d) and (m, d), such as classifier.features(images); images count as their pixels
    The papers' KID takes Inception's features; with others its numbers cannot be compared.
    """
    real, fake = as_points("kernel_distance", real=real, fake=fake)
    n, m = len(real), len(fake)
    if min(n, m) < 2:
        raise ValueError(f"kernel_distance: wants 2 points or more in each set, got {n} real and {m} fake")
    own_real, own_fake = _total(real, real) - _diagonal(real), _total(fake, fake) - _diagonal(fake)
    return float(own_real / (n * (n - 1)) + own_fake / (m * (m - 1)) - 2 * _total(real, fake) / (n * m))


def _total(a, b):
    """Σᵢⱼ k(aᵢ, bⱼ), a block of rows at a time."""
    rows = max(1, NUMBERS // len(b))
    return sum(((a[i : i + rows] @ b.T / a.shape[1] + 1) ** 3).sum() for i in range(0, len(a), rows))


def _diagonal(a):
    return (((a * a).mean(axis=1) + 1) ** 3).sum()
