"""The metrics against numbers worked out by hand: points put where the answer is known, Gaussians in closed form."""

import numpy as np
import pytest

from minigan.data import grid_centers, ring, ring_centers
from minigan.metrics import frechet_distance, mode_statistics, pixel_frechet, spread

# ---- modes --------------------------------------------------------------------------------------------------

CENTERS = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])


def test_mode_statistics_counts_by_hand():
    samples = [[0.1, 0], [0, -2.9], [10, 2.9], [10, 3.1], [5, 5]]  # sigma 1: the last two are beyond 3 sigma
    seen = mode_statistics(samples, CENTERS, 1.0)
    assert seen.modes == 2
    assert seen.high_quality == 3 / 5
    assert seen.reverse_kl == pytest.approx(2 / 3 * np.log(4 * 2 / 3) + 1 / 3 * np.log(4 * 1 / 3))


def test_three_sigma_is_still_the_mode():
    assert mode_statistics([[3.0, 0.0]], CENTERS, 1.0).high_quality == 1
    assert mode_statistics([[np.nextafter(3.0, 4), 0.0]], CENTERS, 1.0).high_quality == 0


@pytest.mark.parametrize("covered", [1, 2, 3, 4])
def test_even_samples_of_some_modes(covered):
    seen = mode_statistics(np.repeat(CENTERS[:covered], 5, axis=0), CENTERS, 0.5)
    assert seen == (covered, 1.0, pytest.approx(np.log(4 / covered), abs=1e-12))


def test_no_sample_near_any_mode():
    assert mode_statistics(np.full((7, 2), 5.0), CENTERS, 1.0) == (0, 0.0, np.inf)


def test_one_sample_is_enough_for_a_mode():
    samples = np.repeat(CENTERS, [1000, 1, 1, 1], axis=0)
    seen = mode_statistics(samples, CENTERS, 1.0)
    assert seen.modes == 4 and seen.reverse_kl > 1.3  # covered, and far from even


def test_the_mixture_itself(rng):
    """Within 3 sigma of a Gaussian in the plane: 1 - exp(-9/2) of its points."""
    seen = mode_statistics(ring(rng, 20_000, sigma=0.02), ring_centers(), 0.02)
    assert seen.modes == 8 and seen.reverse_kl < 2e-3
    assert seen.high_quality == pytest.approx(1 - np.exp(-4.5), abs=5e-3)


@pytest.mark.parametrize("shape", [(5,), (5, 3), (5, 2, 1)])
def test_mode_statistics_names_the_shapes_that_do_not_fit(shape):
    with pytest.raises(ValueError, match=r"mode_statistics.*\(25, 2\)"):
        mode_statistics(np.zeros(shape), grid_centers(), 0.05)


# ---- Fréchet distance ---------------------------------------------------------------------------------------


def exact(rng, n, mean, cov):
    """n points whose sample mean and covariance are those asked for, to rounding: no tolerance for chance is needed."""
    x = rng.standard_normal((n, len(mean)))
    x -= x.mean(0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T
    return x @ np.linalg.cholesky(cov).T + mean


def rotation(rng, d):
    return np.linalg.qr(rng.standard_normal((d, d)))[0]


def test_frechet_of_diagonal_gaussians(rng):
    """|μ - ν|² + Σ (σ - τ)²"""
    mu, nu, s, t = rng.standard_normal((4, 6))
    a, b = exact(rng, 200, mu, np.diag(s**2)), exact(rng, 300, nu, np.diag(t**2))
    expected = ((mu - nu) ** 2).sum() + ((abs(s) - abs(t)) ** 2).sum()
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-9)


def test_frechet_of_gaussians_rotated_together(rng):
    """Covariances that commute: the closed form of their common axes."""
    mu, nu, s, t = rng.standard_normal((4, 6))
    q = rotation(rng, 6)
    a, b = exact(rng, 200, q @ mu, q * s**2 @ q.T), exact(rng, 200, q @ nu, q * t**2 @ q.T)
    expected = ((mu - nu) ** 2).sum() + ((abs(s) - abs(t)) ** 2).sum()
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("angle", [0.3, np.pi / 4, np.pi / 2])
def test_frechet_of_an_ellipse_and_itself_turned(rng, angle):
    """Covariances that do not commute.  In two dimensions tr (AB)^½ = sqrt(tr AB + 2 sqrt(det AB))."""
    c, s = np.cos(angle), np.sin(angle)
    a_cov = np.diag([9.0, 0.25])
    b_cov = np.array([[c, -s], [s, c]]) @ a_cov @ np.array([[c, s], [-s, c]])
    product = a_cov @ b_cov
    expected = 2 * np.trace(a_cov) - 2 * np.sqrt(np.trace(product) + 2 * np.sqrt(np.linalg.det(product)))
    got = frechet_distance(exact(rng, 100, [0, 0], a_cov), exact(rng, 100, [0, 0], b_cov))
    assert got == pytest.approx(expected, rel=1e-9) and expected > 0.1


def test_frechet_of_flat_sets(rng):
    """Points on a line have a covariance without full rank, where rounding puts eigenvalues below zero."""
    line = np.outer(rng.standard_normal(50), [1.0, 2.0, 2.0])
    assert frechet_distance(line, line) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(line, line + np.array([0, 3, 4])) == pytest.approx(25)


# ---- on pixels ----------------------------------------------------------------------------------------------


def pictures(rng, n, shape=(8, 8, 1)):
    """Smooth random images: a few waves each, so that pixels vary together."""
    y, x = np.mgrid[: shape[0], : shape[1]] / shape[0]
    a, b, c = rng.standard_normal((3, n, 1, 1))
    images = np.tanh(a * np.sin(3 * x + b) + c * y)[..., None]
    return np.repeat(images, shape[2], axis=3).astype(np.float32)


@pytest.mark.parametrize("shape", [(8, 8, 1), (8, 8, 3), (40, 40, 3)])  # the last has more pixels than 4096
def test_identical_images_are_at_no_distance(rng, shape):
    real = pictures(rng, 150, shape)
    assert pixel_frechet(real, real.copy(), real[::-1]) == pytest.approx((0, 0), abs=1e-6)


def test_constant_images_at_the_mean_are_at_distance_one(rng):
    real = pictures(rng, 4000)
    grey = np.broadcast_to(real.mean(0), real.shape)
    distance, floor = pixel_frechet(real, grey, pictures(rng, 4000))
    assert distance == pytest.approx(1, abs=1e-3)
    assert floor < 0.01


def test_a_shift_of_the_mean_counts_in_units_of_the_variance(rng):
    real = pictures(rng, 200)
    shift = 0.1 * (real[0] - real[1])  # along what real images span, so that no component misses it
    expected = (shift.astype(np.float64) ** 2).sum() / np.cov(real.reshape(200, -1), rowvar=False).trace()
    distance, _ = pixel_frechet(real, real + shift, real)
    assert distance == pytest.approx(expected, rel=0.02)


def test_noise_and_fewer_modes_are_farther_than_real_images(rng):
    real, held_out = pictures(rng, 1000), pictures(rng, 1000)
    for worse in (real + 0.5 * rng.standard_normal(real.shape), np.repeat(real[:2], 500, axis=0), abs(real)):
        distance, floor = pixel_frechet(real, worse, held_out)
        assert distance > 10 * floor


def test_pixel_frechet_refuses(rng):
    real = pictures(rng, 10)
    with pytest.raises(ValueError, match="at least 2 images"):
        pixel_frechet(real, real[:1], real)
    with pytest.raises(ValueError, match=r"one shape, got \[\(10, 64\), \(10, 49\), \(10, 64\)\]"):
        pixel_frechet(real, real[:, 1:, 1:], real)
    with pytest.raises(ValueError, match="10 real images are all the same"):
        pixel_frechet(np.repeat(real[:1], 10, axis=0), real, real)


def test_spread_of_constant_images_is_zero(rng):
    assert spread(np.repeat(pictures(rng, 1), 20, axis=0)) == pytest.approx(0, abs=1e-9)


def test_spread_is_the_mean_squared_distance_of_a_pair(rng):
    images = pictures(rng, 12)
    pairs = [((images[i] - images[j]) ** 2).sum() for i in range(12) for j in range(i)]
    assert spread(images) == pytest.approx(np.mean(pairs, dtype=np.float64), rel=1e-5)
