"""Examples 13, 15 and 18: formulas against NumPy's, verdicts on made-up curves and codes, and an exact resume."""

import argparse
import json

import numpy as np
import pytest
from conftest import example
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import minigan as mg
from minigan import checkpoint
from minigan.data import ArraySource
from minigan.gan.networks import dcgan_discriminator
from minigan.metrics.classifier import Classifier, network
from minigan.nn import Module

vanishing, infogan, probing = map(example, ("13_vanishing_gradients", "15_infogan", "18_dcgan_features"))
COMMON = {"seed": 3, "device": "cpu", "resume": False, "smoke": False, "batch": 4, "width": 2, "every": 2}
ARGUMENTS = {
    vanishing: {**COMMON, "data": "glyphs", "lr": 2e-4, "epoch": 1, "d_width": 3, "d_steps": 4},
    infogan: {**COMMON, "data": "glyphs", "lr_d": 2e-4, "lr_g": 1e-3, "information": 1.0},
    probing: {**COMMON, "lr": 2e-4, "labels": 50, "judged": 70},
}


@pytest.fixture(autouse=True)
def no_garments(monkeypatch):
    """Noise in the place of Fashion-MNIST, which may not be here, and an eye that saw nothing."""

    def source(split="train"):
        rng = np.random.default_rng(len(split))
        return ArraySource(rng.integers(0, 256, (150, 28, 28, 1), dtype=np.uint8), rng.integers(10, size=150))

    monkeypatch.setattr(probing, "fashion_mnist", source)
    eye = Classifier(*network((28, 28, 1), 10, np.random.default_rng(0)), (28, 28, 1))
    monkeypatch.setattr(probing, "own_classifier", lambda *_, **__: eye)


@pytest.mark.parametrize("module", [vanishing, infogan, probing], ids=["13", "15", "18"])
def test_a_run_that_was_stopped_goes_on_to_the_last_bit(module, tmp_path):
    def run(out, steps, resume=False):
        with np.errstate(all="ignore"):
            module.train(argparse.Namespace(**ARGUMENTS[module] | {"out": out, "steps": steps, "resume": resume}))
        return {path.name: path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}

    whole = run(tmp_path / "whole", 10)
    run(tmp_path / "parts", 4)
    parts = run(tmp_path / "parts", 10, resume=True)
    assert {"verdict.json", "metrics.jsonl", "000010.png"} <= whole.keys() <= parts.keys()
    named = {"run.json", "checkpoint.safetensors"}  # they hold the folder's name
    assert [name for name in whole.keys() - named - {"samples.gif"} if parts[name] != whole[name]] == []
    one, other = (checkpoint.read(tmp_path / name / "checkpoint.safetensors") for name in ("whole", "parts"))
    for part in ("G", "D", "opt_G", "opt_D"):
        assert all(np.array_equal(value, other[part][name]) for name, value in one[part].items())
    assert one["rng"] == other["rng"] and one["batches"]["rng"] == other["batches"]["rng"]
    claims = json.loads(whole["verdict.json"])["claims"]
    assert all(isinstance(claim["value"], float) for claim in claims)


# ---- 13: vanishing gradients --------------------------------------------------------------------------------


class Line(Module):
    """Images that are z · θ, and a discriminator that is a sum of them, shifted."""

    def __init__(self, theta=None, shift=0.0):
        self.theta, self.shift = theta, shift

    def forward(self, x):
        return x @ self.theta if self.theta is not None else mg.ops.sum(x, axis=1) + self.shift


@given(st.integers(1, 4), st.integers(1, 6), st.floats(-60, 3), st.integers(0, 2**32))
def test_the_norms_are_those_of_the_formulas(features, n, shift, seed):
    rng = np.random.default_rng(seed)
    theta, fixed = rng.normal(size=(features, 3)), [rng.normal(size=(n, features)) for _ in range(3)]
    G = Line(mg.tensor(theta, requires_grad=True))
    minimax, nonsaturating, noise = vanishing.gradients(G, Line(shift=shift), [mg.tensor(z) for z in fixed])

    def by_hand(weight):  # d cost / dθ[i, j] = E weight(l) z[i], for l = Σ_j (z θ)[j] + shift
        slopes = [weight((z @ theta).sum(axis=1) + shift)[:, None] * z for z in fixed]
        return np.array([np.repeat(slope.mean(axis=0), 3) for slope in slopes])

    first = by_hand(lambda logit: -1 / (1 + np.exp(-logit)))
    second = by_hand(lambda logit: -1 / (1 + np.exp(logit)))
    np.testing.assert_allclose(minimax, np.linalg.norm(first.mean(axis=0)), rtol=1e-6)
    np.testing.assert_allclose(nonsaturating, np.linalg.norm(second.mean(axis=0)), rtol=1e-6)
    spread = np.sqrt(((second - second.mean(axis=0)) ** 2).sum(axis=1).mean())
    np.testing.assert_allclose(noise, spread, rtol=1e-6, atol=1e-12)


def test_a_discriminator_that_is_sure_leaves_a_gradient_in_float32():
    G = Line(mg.tensor(np.ones((2, 3), np.float32), requires_grad=True))
    z = mg.tensor(np.array([[0.5, -0.5]], np.float32))
    minimax, nonsaturating, _ = vanishing.gradients(G, Line(shift=-70.0), [z])
    assert minimax == pytest.approx(np.exp(-70) * np.sqrt(1.5), rel=1e-4)
    assert nonsaturating == pytest.approx(np.sqrt(1.5))


def curves_like_the_papers():
    t = np.arange(0.0, 4001, 20)
    return {"steps": t, "minimax": 10 ** (-t / 1000), "non-saturating": 10 ** (t / 2000), "noise": 1 + t}


@pytest.mark.parametrize("name, curve, wrong", [
    (None, None, 0),
    ("minimax", lambda t: 10 ** (t / 1000), 2),           # grows: the sign, and no fall
    ("minimax", lambda t: 10 ** (-t / 4000), 1),          # falls by one decade, not two
    ("non-saturating", lambda t: 10 ** (-t / 4000), 1),
    ("noise", lambda t: 2 - t / 4000, 1),
])  # fmt: skip
def test_the_verdict_tells_curves_like_the_papers_from_others(name, curve, wrong, tmp_path, capsys):
    rows = curves_like_the_papers()
    if name:
        rows[name] = curve(rows["steps"])
    assert vanishing.judge({1: rows}, tmp_path) == (wrong == 0)
    assert capsys.readouterr().out.count("FAIL") == wrong


# ---- 15: InfoGAN --------------------------------------------------------------------------------------------


@given(st.data(), st.integers(1, 8))
def test_the_information_loss_is_minus_the_log_likelihood_of_the_code(data, n):
    numbers = arrays(np.float64, (n, 14), elements=st.floats(-5, 5))
    x, k = data.draw(numbers), np.eye(10)[data.draw(arrays(np.int64, n, elements=st.integers(0, 9)))]
    logits, means, u = x[:, :10], x[:, 10:12], x[:, 12:]
    probability = np.exp(logits - logits.max(axis=1, keepdims=True))
    probability = (probability / probability.sum(axis=1, keepdims=True) * k).sum(axis=1)
    gaussian = np.exp(-0.5 * (u - means) ** 2) / np.sqrt(2 * np.pi)
    by_hand = -np.mean(np.log(probability) + np.log(gaussian).sum(axis=1)) - np.log(2 * np.pi)
    loss = infogan.information_loss(*(mg.tensor(part) for part in (k, u, logits, means))).item()
    np.testing.assert_allclose(loss, by_hand, rtol=1e-9, atol=1e-9)


def test_both_players_are_given_the_information():
    rng = np.random.default_rng(0)
    G, D = infogan.generator(4, 2, rng), infogan.DiscriminatorQ(2, rng)
    drawn = rng.normal(size=(4, 4)), np.eye(10)[:4], rng.normal(size=(4, 2))
    z, k, u = (mg.tensor(part, dtype=np.float32) for part in drawn)
    logit, logits, means = D(infogan.generate(G, z, k, u))
    assert (logit.shape, logits.shape, means.shape) == ((4, 1), (4, 10), (4, 2))
    loss = infogan.information_loss(k, u, logits, means)
    for module in (G, D.body, D.q):
        assert all(np.abs(gradient.numpy()).max() > 0 for gradient in mg.grad(loss, module.parameters()))
    assert all(not gradient.numpy().any() for gradient in mg.grad(loss, D.d.parameters()))


@given(st.integers(0, 2**32))
def test_a_code_that_is_the_class_under_another_name_has_no_error(seed):
    rng = np.random.default_rng(seed)
    classes = np.tile(np.arange(10), 40)
    assert infogan.code_error(rng.permutation(10)[classes], classes) == 0
    wrong = np.where(np.arange(400) % 400 < 380, classes, (classes + 1) % 10)  # the last 20 of the second half of 200
    assert infogan.code_error(rng.permutation(10)[wrong], classes) == pytest.approx(0.1)
    guesses, truths = rng.integers(10, size=(2, 40000))
    assert infogan.code_error(guesses, truths) == pytest.approx(0.9, abs=0.02)


def test_two_codes_may_stand_for_one_class():
    classes = np.tile([0, 0, 1], 20)
    assert infogan.code_error(np.tile([4, 7, 2], 20), classes) == 0
    assert infogan.code_error(np.tile([4, 4, 4], 20), classes) == pytest.approx(1 / 3)


def test_rank_correlation():
    assert infogan.rank_correlation(np.array([1, 2, 3, 4]), np.array([1, 3, 2, 4])) == pytest.approx(0.8)
    x = np.random.default_rng(0).normal(size=1000)
    assert infogan.rank_correlation(x, np.exp(3 * x)) == pytest.approx(1)
    assert infogan.rank_correlation(x, -x) == pytest.approx(-1)
    assert abs(infogan.rank_correlation(x, np.random.default_rng(1).normal(size=1000))) < 0.1


def test_a_code_may_run_either_way_within_a_class():
    rng = np.random.default_rng(0)
    classes, u = np.repeat(np.arange(10), 50), rng.normal(size=500)
    assert infogan.order(u, np.where(classes < 5, u, -u) ** 3, classes) == pytest.approx(1)
    assert infogan.order(u, rng.normal(size=500), classes) < 0.3


def test_factors_that_are_bent_into_both_codes_can_still_be_read():
    rng = np.random.default_rng(0)
    classes, factors = np.tile(np.arange(10), 300), rng.uniform(-1, 1, (2, 3000))
    turn = np.pi * np.hypot(*factors) + classes  # another spiral in every class
    u = np.stack([factors[0] * np.cos(turn) - factors[1] * np.sin(turn),
                  factors[0] * np.sin(turn) + factors[1] * np.cos(turn)], axis=1)  # fmt: skip
    assert all(infogan.order(u[:, i], factor, classes) < 0.7 for i in (0, 1) for factor in factors)
    assert all(infogan.readable(u, factor, classes) > 0.9 for factor in factors)
    assert infogan.readable(u, rng.permutation(factors[0]), classes) < 0.2


def test_in_every_row_of_the_picture_one_code_runs():
    rng = np.random.default_rng(0)

    def draw_code(n):
        k = np.eye(10)[rng.integers(10, size=n)]
        return [mg.tensor(part, dtype=np.float32) for part in (rng.normal(size=(n, 62)), k, rng.normal(size=(n, 2)))]

    parts = [part.numpy().reshape(9, 10, -1) for part in infogan.sweeps(draw_code, "cpu")]
    changes = np.array([[np.ptp(part[row], axis=0).any() for part in parts] for row in range(9)])
    assert changes.tolist() == [[False, True, False]] * 3 + [[False, False, True]] * 6
    assert [np.ptp(parts[2][row], axis=0).astype(bool).tolist() for row in (3, 6)] == [[True, False], [False, True]]
    assert parts[1][0].argmax(axis=1).tolist() == list(range(10))


def test_the_digits_of_the_verdict_have_known_factors():
    sample = infogan.digits(np.random.default_rng(0), 200)
    assert set(sample.character) == set(range(10)) and len(set(sample.face)) == 1
    assert np.ptp(sample.scale) == 0 and not sample.position.any()
    assert np.ptp(sample.slant) > 0.4 and np.ptp(sample.weight) > 0.06


# ---- 18: features of DCGAN's discriminator ------------------------------------------------------------------


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(0, 2**32))
def test_each_cell_of_the_grid_holds_its_largest_value(n, times, channels, seed):
    maps = np.random.default_rng(seed).normal(size=(n, 7 * times, 7 * times, channels))
    found = probing.pooled(maps).reshape(n, 7, 7, channels)
    for i, j in np.ndindex(7, 7):
        cell = maps[:, i * times : (i + 1) * times, j * times : (j + 1) * times]
        np.testing.assert_array_equal(found[:, i, j], cell.reshape(n, -1, channels).max(axis=1))


def test_features_are_of_every_convolution_and_of_each_image_alone():
    D = dcgan_discriminator(28, 1, np.random.default_rng(0), width=3)
    images = np.random.default_rng(1).uniform(-1, 1, (520, 28, 28, 1)).astype(np.float32)
    rows = probing.features(D, images)
    assert rows.shape == (520, 49 * (3 + 6))
    np.testing.assert_allclose(probing.features(D, images[510:512]), rows[510:512], rtol=1e-4, atol=1e-6)


def test_the_probe_finds_a_line_where_there_is_one_and_only_there():
    rng = np.random.default_rng(0)
    x, x_test = rng.normal(size=(2, 600, 20)).astype(np.float32)
    line = rng.normal(size=(20, 10))
    y, y_test = (x @ line).argmax(axis=1), (x_test @ line).argmax(axis=1)
    assert probing.probe(x, y, x_test, y_test, steps=1500) > 0.7
    assert probing.probe(x, rng.permutation(y), x_test, y_test, steps=1500) < 0.3
