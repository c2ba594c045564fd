"""Every game's losses: their formulas in probabilities, gradients of gradients, large logits, names, packing.

Stands on minigan.gan.losses and packing. test_divergences.py holds the f-divergences under them.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigan as mg
from minigan.gan import losses, pack
from minigan.gan.losses import GAMES, game
from minigan.testing.strategies import arrays_away_from_kinks


def logits(rng, n=6, scale=1.0):
    """(l, l'): away from the hinge's kinks at ±1, float64."""
    return [scale * (rng.choice([-2.0, 0.0, 2.0], n) + rng.uniform(-0.5, 0.5, n)) for _ in range(2)]


def sigma(x):
    return 1 / (1 + np.exp(-x))


# What the papers print, in probabilities D = σ(l) where they do.
FORMULAS = {
    "minimax": (
        lambda r, g: -0.5 * np.mean(np.log(sigma(r))) - 0.5 * np.mean(np.log(1 - sigma(g))),
        lambda g: 0.5 * np.mean(np.log(1 - sigma(g))),
    ),
    "non-saturating": (None, lambda g: -np.mean(np.log(sigma(g)))),
    "maximum-likelihood": (None, lambda g: -0.5 * np.mean(sigma(g) / (1 - sigma(g)))),
    "least-squares": (
        lambda r, g: 0.5 * np.mean((r - 1) ** 2) + 0.5 * np.mean(g**2), lambda g: 0.5 * np.mean((g - 1) ** 2)
    ),
    "hinge": (
        lambda r, g: -np.mean(np.minimum(0, -1 + r)) - np.mean(np.minimum(0, -1 - g)), lambda g: -np.mean(g)
    ),
    "wasserstein": (lambda r, g: np.mean(g) - np.mean(r), lambda g: -np.mean(g)),
    "f-gan:gan": (
        lambda r, g: -np.mean(np.log(sigma(r))) - np.mean(np.log(1 - sigma(g))), lambda g: np.mean(np.log(1 - sigma(g)))
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMULAS)
def test_a_loss_is_the_papers_formula(name, rng):
    real, fake = logits(rng)
    d, g = FORMULAS[name]
    d = d or FORMULAS["minimax"][0]  # the same D in Goodfellow's three games
    assert np.isclose(game(name).d(mg.tensor(real), mg.tensor(fake)).item(), d(real, fake), rtol=1e-12)
    assert np.isclose(game(name).g(mg.tensor(fake)).item(), g(fake), rtol=1e-12)


@pytest.mark.parametrize("name", GAMES)
@given(data=st.data())
def test_gradients_of_gradients(name, data):
    sizes = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))  # a batch may be of another size than the other
    real, fake = (data.draw(arrays_away_from_kinks((n, 1), kinks=(-1.0, 1.0))) for n in sizes)
    d, g = game(name)
    linear = name == "wasserstein"
    weigh = np.random.default_rng(3).uniform(0.5, 2, 2)  # an incoming gradient of its own for each
    assert mg.gradcheck(lambda a, b: weigh[0] * d(a, b), [real, fake], order=1 if linear else 2)
    assert mg.gradcheck(lambda a: weigh[1] * g(a), [fake], order=1 if linear or name == "hinge" else 2)


E_TO_THE_LOGIT = ("maximum-likelihood", "kl", "reverse-kl", "squared-hellinger")  # grows so by definition


@pytest.mark.parametrize("name", [n for n in GAMES if not any(word in n.split(":") for word in E_TO_THE_LOGIT)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_logits_of_ten_thousand_are_finite_and_so_are_their_gradients(name, dtype):
    logit = mg.tensor(np.array([-1e4, 1e4, 0], dtype), requires_grad=True)
    for loss in (game(name).d(logit, logit), game(name).g(logit)):
        (slope,) = mg.grad(loss, [logit])
        assert np.isfinite(loss.item()) and np.isfinite(slope.data).all() and loss.dtype == dtype


def test_the_gradients_that_the_games_are_named_for():
    """Where D is sure that a sample is generated: none in the minimax game, full in the non-saturating one."""

    def pull(name):
        logit = mg.tensor(np.array([-30.0]), requires_grad=True)
        return mg.grad(game(name).g(logit), [logit])[0].item()

    assert abs(pull("minimax")) < 1e-12 and abs(pull("maximum-likelihood")) < 1e-12
    assert np.isclose(pull("non-saturating"), -1) and np.isclose(pull("f-gan:gan:non-saturating"), -1)


def test_one_sided_label_smoothing_moves_the_best_d_on_real_samples_alone(rng):
    """At D(x) = 0.9 the smoothed loss has no slope; the target of generated samples stays 0."""
    real = mg.tensor(np.full(4, np.log(9.0)), requires_grad=True)
    fake = mg.tensor(rng.normal(size=4), requires_grad=True)
    slope, of_fake = mg.grad(losses.minimax_d(real, fake, smooth=0.9), [real, fake])
    assert abs(slope.data).max() < 1e-15
    assert np.allclose(of_fake.data, mg.grad(losses.minimax_d(real, fake), [fake])[0].data)
    probability = sigma(real.data)
    entropy = -0.45 * np.log(probability).mean() - 0.05 * np.log(1 - probability).mean()
    assert np.isclose(losses.minimax_d(real, mg.tensor([-1e4]), smooth=0.9).item(), entropy)
    for smooth in (0, 1.1):
        with pytest.raises(ValueError, match="minimax_d: smooth is the target for real samples"):
            losses.minimax_d(real, fake, smooth=smooth)


def test_least_squares_takes_other_labels(rng):
    real, fake = logits(rng)
    d = losses.least_squares_d(mg.tensor(real), mg.tensor(fake), a=-1, b=1)
    assert np.isclose(d.item(), 0.5 * ((real - 1) ** 2).mean() + 0.5 * ((fake + 1) ** 2).mean())
    assert np.isclose(losses.least_squares_g(mg.tensor(fake), c=0).item(), 0.5 * (fake**2).mean())


def test_an_unknown_game_is_told_the_known_ones():
    for name in ("minmax", None, []):
        with pytest.raises(ValueError, match=r"^game: .* is not known; know minimax, non-saturating, .*f-gan:kl, "):
            game(name)


# ------------------------------------------------------------------------------------------------------ packing


@given(groups=st.integers(1, 3), m=st.integers(1, 4), inside=st.sampled_from([(3,), (2, 3, 2)]))
def test_a_pack_holds_its_samples_side_by_side(groups, m, inside):
    x = np.random.default_rng(0).normal(size=(groups * m, *inside))
    packed = pack(mg.tensor(x), m)
    assert packed.shape == (groups, *inside[:-1], m * inside[-1])
    for i in range(groups):
        assert np.array_equal(packed.data[i], np.concatenate(x[i * m : (i + 1) * m], axis=-1))


def test_packing_passes_gradients_on(rng):
    assert mg.gradcheck(lambda x: pack(x, 2), [rng.normal(size=(4, 3))])
    assert mg.gradcheck(lambda x: pack(x, 2) ** 2, [rng.normal(size=(4, 2, 2, 3))], order=2)


@pytest.mark.parametrize("shape, m, words", [
    ((3, 2), 2, "a batch of 3 samples cannot be cut into groups of 2"),
    ((2, 2), 4, "a batch of 2 samples cannot be cut into groups of 4"),
    ((0, 2), 2, "a batch of 0 samples"),
    ((4, 2), 0, "m, the samples a group, wants a whole number of at least 1, got 0"),
    ((4, 2), 2.0, "got 2.0"),
    ((4,), 2, r"wants points \(N, features\) or images \(N, H, W, C\), got shape \(4,\)"),
])  # fmt: skip
def test_what_cannot_be_packed_is_told_why(shape, m, words):
    with pytest.raises(ValueError, match="^pack: .*" + words):
        pack(np.zeros(shape), m)
