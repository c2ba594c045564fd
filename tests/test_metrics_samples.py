"""Metrics of two sets of points or images against closed forms and against loops over all pairs."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigan.metrics import (
    birthday_paradox,
    class_entropy,
    classifier_frechet,
    closest_pair,
    distances,
    frechet_distance,
    kernel_distance,
    parzen_window,
    precision_recall,
    wasserstein_1d,
)

numbers = st.floats(-100, 100, width=32)
samples = st.lists(numbers, min_size=1, max_size=30)


class Eye:
    """A classifier whose features are the pixels, and its probabilities too."""

    def features(self, images):
        return images.reshape(len(images), -1)

    probabilities = features


@pytest.fixture(params=["whole", "in blocks"])
def block(request, monkeypatch):
    """As it is, and with a memory so small that every pass over the pairs is cut into blocks."""
    if request.param == "in blocks":
        monkeypatch.setattr(distances, "NUMBERS", 100)
        monkeypatch.setattr("minigan.metrics.kernel.NUMBERS", 100)


# ---- Wasserstein distance on a line -------------------------------------------------------------------------


@given(samples, samples)
def test_wasserstein_is_the_integral_between_the_distribution_functions(a, b):
    places = np.unique(np.float64(a + b))
    middle, width = (places[1:] + places[:-1]) / 2, np.diff(places)
    area = sum(w * abs(np.mean(np.less(a, x)) - np.mean(np.less(b, x))) for x, w in zip(middle, width))
    assert wasserstein_1d(a, b) == pytest.approx(area, rel=1e-9, abs=1e-9)
    assert wasserstein_1d(b, a) == pytest.approx(area, rel=1e-9, abs=1e-9)


@given(samples, st.integers(1, 4), st.integers(1, 4), numbers)
def test_a_shifted_sample_is_as_far_as_the_shift(a, often, oftener, shift):
    """And repeating every point changes nothing, which holds the two ways of computing it together."""
    moved = np.repeat(np.float64(a), often) + shift
    assert wasserstein_1d(np.repeat(a, oftener), moved) == pytest.approx(abs(shift), rel=1e-9, abs=1e-9)


def test_wasserstein_of_two_gaussians(rng):
    """Same mean, σ and τ: W₁ = |σ - τ| E|z| = |σ - τ| sqrt(2/π)."""
    from statistics import NormalDist

    z = np.array([NormalDist().inv_cdf(u) for u in (np.arange(20_000) + 0.5) / 20_000])
    assert wasserstein_1d(rng.permutation(3 * z), z) == pytest.approx(2 * np.sqrt(2 / np.pi), rel=1e-3)


@pytest.mark.parametrize("bad, why", [([], r"\(0,\)"), ([[1.0]], r"\(1, 1\)"), ([np.nan], "NaN")])
def test_wasserstein_refuses(bad, why):
    for a, b, name in [(bad, [1.0], "a"), ([1.0], bad, "b")]:
        with pytest.raises(ValueError, match=rf"wasserstein_1d: {name} .*{why}"):
            wasserstein_1d(a, b)


# ---- through a classifier -----------------------------------------------------------------------------------


def test_entropies_by_hand():
    one_hot = np.eye(4)[[0, 1, 2, 3, 0, 1, 2, 3]]
    assert class_entropy(one_hot, Eye()) == pytest.approx((np.log(4), 0))  # sure and even
    assert class_entropy(one_hot[:1], Eye()) == pytest.approx((0, 0))  # sure, and always the same
    assert class_entropy(np.full((3, 4), 0.25), Eye()) == pytest.approx((np.log(4), np.log(4)))  # not sure at all
    seen = class_entropy(np.array([[1.0, 0], [0.5, 0.5]]), Eye())
    assert seen.conditional == pytest.approx(np.log(2) / 2)
    assert seen.mutual_information == pytest.approx(-0.75 * np.log(0.75) - 0.25 * np.log(0.25) - np.log(2) / 2)


def test_classifier_frechet_is_the_distance_of_the_features(rng):
    real, fake = rng.standard_normal((50, 2, 2, 1)), rng.standard_normal((60, 2, 2, 1)) + 1
    expected = frechet_distance(real.reshape(50, 4), fake.reshape(60, 4))
    assert classifier_frechet(real, fake, Eye()) == pytest.approx(expected)
    with pytest.raises(ValueError, match=r"at least 2 images, got \[50, 1\]"):
        classifier_frechet(real, fake[:1], Eye())


# ---- kernel distance ----------------------------------------------------------------------------------------


def kernel(x, y):
    return (np.dot(x, y) / len(x) + 1) ** 3


def test_kernel_distance_is_the_sum_over_pairs(block, rng):
    a, b = rng.standard_normal((23, 5)), rng.standard_normal((31, 5)) + 0.5
    within = [np.mean([kernel(x, y) for x, y in combinations(s, 2)]) for s in (a, b)]
    between = np.mean([kernel(x, y) for x in a for y in b])
    assert kernel_distance(a, b) == pytest.approx(sum(within) - 2 * between)
    assert kernel_distance(b, a) == pytest.approx(sum(within) - 2 * between)


def test_kernel_distance_has_no_bias(rng):
    """Of two small samples of one distribution the mean is 0, within its error; the biased estimate's is not."""
    found = [kernel_distance(*rng.standard_normal((2, 10, 3))) for _ in range(2000)]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(2000)
    assert min(found) < 0


def test_kernel_distance_in_closed_form(rng):
    """On a line, with x = ±1 evenly and y = 2: E k(x, x') = 4, k(y, y') = 125, E k(x, y) = 13."""
    expected = 4 + 125 - 26
    x = np.repeat([[1.0], [-1.0]], 2000, axis=0)
    assert kernel_distance(x, np.full((500, 1), 2.0)) == pytest.approx(expected, rel=1e-3)


# ---- precision and recall -----------------------------------------------------------------------------------


def covered(points, centers, k):
    radii = [sorted(np.linalg.norm(centers - c, axis=1))[k] for c in centers]  # the nearest is the point itself
    return np.mean([any(np.linalg.norm(x - c) <= r for c, r in zip(centers, radii)) for x in points])


@pytest.mark.parametrize("k", [1, 3, 10])
def test_precision_and_recall_by_a_loop_over_all_pairs(block, rng, k):
    real, fake = rng.standard_normal((40, 2)) + 100, 0.5 * rng.standard_normal((50, 2)) + 100.8
    seen = precision_recall(real, fake, k=k)
    assert seen == pytest.approx((covered(fake, real, k), covered(real, fake, k)))
    assert precision_recall(fake, real, k=k) == seen[::-1]


def test_collapse_is_precise_and_recalls_nothing(rng):
    real = rng.standard_normal((200, 4, 4, 1))
    one = real[:1] + 1e-3 * rng.standard_normal((200, 4, 4, 1))
    assert precision_recall(real, one) == pytest.approx((1, 0), abs=0.01)
    assert precision_recall(real, real + 100) == (0, 0)
    assert precision_recall(real, real) == (1, 1)


@pytest.mark.parametrize("k", [0, 5, 9])
def test_precision_recall_refuses_a_neighbour_that_is_not_there(rng, k):
    with pytest.raises(ValueError, match=rf"k is {k}, wants 1 to 4: there are 9 real and 5 fake"):
        precision_recall(rng.standard_normal((9, 2)), rng.standard_normal((5, 2)), k=k)


# ---- the birthday paradox -----------------------------------------------------------------------------------


def test_birthdays_of_uniform_draws(rng):
    """Of N equally likely points, a pair is there by sqrt(2 N log 2) draws in half of the walks."""
    for N in (100, 2500):
        seen = birthday_paradox(rng.integers(N, size=(20_000, 1)) * np.ones(3), 0.5)
        assert seen.samples == pytest.approx(np.sqrt(2 * N * np.log(2)), rel=0.12)
        assert seen.support == seen.samples**2
        assert seen.walks == pytest.approx(20_000 / np.sqrt(np.pi * N / 2), rel=0.12)  # the mean walk's length


def test_the_walks_by_hand(block):
    points = np.array([[0], [10], [20], [10.1], [0], [10], [10], [0], [30], [60], [90], [120], [150.0]])
    seen = birthday_paradox(points, 0.5)
    assert seen == (4, 16, 2, (1, 3))  # walks of 4, 3, and one of 6 that did not end
    assert birthday_paradox(points, 0.05) == (5, 25, 2, (0, 4))  # of 5, 2, and the same 6
    assert birthday_paradox(points[7:], 0.5) == (np.inf, np.inf, 0, ())


def test_a_near_duplicate_is_found_across_blocks(block, rng):
    points = rng.standard_normal((700, 4))
    points[650] = points[20] + 1e-5
    assert birthday_paradox(points, 1e-4)[2:] == (1, (20, 650))
    assert closest_pair(points) == (pytest.approx(2e-5), 20, 650)


def test_birthday_refuses(rng):
    points = rng.standard_normal((5, 2))
    for bad, threshold in [(points, 0), (points, np.nan), (points[:1], 1)]:
        with pytest.raises(ValueError, match="birthday_paradox: wants 2 samples or more and a threshold above 0"):
            birthday_paradox(bad, threshold)
    with pytest.raises(ValueError, match="closest_pair: wants 2 samples"):
        closest_pair(points[:1])


# ---- Parzen windows -----------------------------------------------------------------------------------------


def test_parzen_density_by_hand(block, rng):
    fake, held_out, validation = (rng.standard_normal((n, 3)) for n in (40, 30, 20))
    seen = parzen_window(fake, held_out, validation, bandwidths=[0.1, 0.7, 5.0])
    square = ((held_out[:, None] - fake) ** 2).sum(-1)
    each = np.log((np.exp(-square / (2 * 0.49)) / (2 * np.pi * 0.49) ** 1.5).mean(axis=1))
    assert seen.bandwidth == 0.7
    assert seen.log_likelihood == pytest.approx(each.mean())
    assert seen.standard_error == pytest.approx(each.std() / np.sqrt(30))
    assert "Theis et al. 2016" in str(seen) and f"{seen.log_likelihood:.1f} ± " in str(seen)


def test_parzen_finds_the_entropy_of_a_gaussian(rng):
    """On a line with many samples the estimate is good: the log-likelihood is -log(σ sqrt(2πe))."""
    fake, held_out, validation = 3 * rng.standard_normal((3, 2000, 1))
    seen = parzen_window(fake, held_out, validation)
    assert seen.log_likelihood == pytest.approx(-np.log(3 * np.sqrt(2 * np.pi * np.e)), abs=0.06)
    assert 0.1 < seen.bandwidth < 1.5


def test_parzen_of_far_samples_does_not_underflow():
    far = parzen_window(np.zeros((3, 2)), np.full((2, 2), 1e4), np.ones((2, 2)), bandwidths=[1.0])
    assert far.log_likelihood == pytest.approx(-1e8 - np.log(2 * np.pi))


def test_what_does_not_fit_is_named(rng):
    a, b = rng.standard_normal((5, 2)), rng.standard_normal((5, 3))
    with pytest.raises(ValueError, match=r"kernel_distance: .*one dimension, got real \(5, 2\), fake \(5, 3\)"):
        kernel_distance(a, b)
    with pytest.raises(ValueError, match=r"precision_recall: real has shape \(5,\)"):
        precision_recall(a[:, 0], b)
    with pytest.raises(ValueError, match="parzen_window: held_out holds NaN"):
        parzen_window(a, a * np.nan, a)
    with pytest.raises(ValueError, match="kernel_distance: wants 2 points or more in each set, got 5 real and 1 fake"):
        kernel_distance(a, a[:1])
    with pytest.raises(ValueError, match=r"bandwidths .*must not be 0"):
        parzen_window(a, a, np.ones((3, 2)))
