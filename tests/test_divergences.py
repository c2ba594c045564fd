"""Every row of f-divergences: its members fit one another, and the bound is the divergence where they say.

Stands on minigan.gan.divergences. The numbers come from quadrature and from sups over a grid, not from the formulas.
"""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

import minigan as mg
from minigan.gan.divergences import DIVERGENCES

GRID = np.linspace(-12, 12, 4801)
STEP = GRID[1] - GRID[0]
U = np.append(np.exp(np.linspace(-30, 12, 400_001)), 1.0)  # ratios of densities; total variation's kink among them

# D_f of two densities, written without f.
DEFINITIONS = {
    "kl": lambda p, q: p * np.log(p / q),
    "reverse-kl": lambda p, q: q * np.log(q / p),
    "pearson": lambda p, q: (p - q) ** 2 / q,
    "squared-hellinger": lambda p, q: (np.sqrt(p) - np.sqrt(q)) ** 2,
    "jensen-shannon": lambda p, q: p * np.log(2 * p / (p + q)) + q * np.log(2 * q / (p + q)),
    "gan": lambda p, q: p * np.log(p / (p + q)) + q * np.log(q / (p + q)),
    "total-variation": lambda p, q: abs(p - q) / 2,
}

rows = pytest.mark.parametrize("name", DIVERGENCES)


def values(member, x):
    return member(mg.tensor(np.asarray(x, np.float64))).numpy()


def normal(mean, scale):
    return np.exp(-(((GRID - mean) / scale) ** 2) / 2) / (scale * np.sqrt(2 * np.pi))


def integral(x):
    return x.sum() * STEP


P, Q = 0.3 * normal(-1, 0.8) + 0.7 * normal(1.5, 1.0), normal(0.5, 1.3)


def test_every_row_is_tested():
    assert set(DEFINITIONS) == set(DIVERGENCES)


@rows
def test_quadrature_of_f_is_the_divergence(name):
    d = DIVERGENCES[name]
    assert np.isclose(integral(Q * values(d.f, P / Q)), integral(DEFINITIONS[name](P, Q)), rtol=1e-9)


def test_two_gaussians_have_the_divergences_of_their_closed_forms():
    p, q = normal(0, 1), normal(0.5, 1.5)
    u = mg.tensor(p / q)
    closed = {
        "kl": np.log(1.5) + (1 + 0.25) / 4.5 - 0.5,
        "reverse-kl": -np.log(1.5) + (2.25 + 0.25) / 2 - 0.5,
        "squared-hellinger": 2 - 2 * np.sqrt(3 / 3.25) * np.exp(-0.25 / 13),
    }
    for name, exact in closed.items():
        assert np.isclose(integral(q * DIVERGENCES[name].f(u).numpy()), exact, rtol=1e-8)
    assert np.isclose(integral(q * DIVERGENCES["gan"].f(u).numpy()) + np.log(4),
                      integral(q * DIVERGENCES["jensen-shannon"].f(u).numpy()))  # fmt: skip
    assert np.isclose(integral(p), 1)


@rows
def test_the_conjugate_is_the_sup_over_all_ratios(name):
    d = DIVERGENCES[name]
    f = values(d.f, U)
    inside = {"pearson": (-1.9, 5), "kl": (-5, 5)}.get(name, (-2, 2))  # there the best u lies within U
    for t in values(d.activation, np.linspace(*inside, 9)):
        assert np.isclose(np.max(U * t - f), values(d.conjugate, t), rtol=1e-6, atol=1e-6)


@rows
def test_no_output_of_a_network_is_above_the_divergence_and_the_best_reaches_it(name, rng):
    d = DIVERGENCES[name]
    exact = integral(DEFINITIONS[name](P, Q))

    def bound(t, conjugate):
        return integral(P * t) - integral(Q * conjugate)

    best = values(d.derivative, P / Q)
    assert np.isclose(bound(best, values(d.conjugate, best)), exact, rtol=1e-7)
    for _ in range(20):
        v = rng.normal() + rng.normal() * GRID / 4 + rng.normal() * np.tanh(GRID)
        assert bound(values(d.activation, v), values(d.conjugate_at, v)) <= exact + 1e-9


@rows
def test_the_activation_reaches_every_best_t_and_only_where_the_conjugate_is_finite(name):
    d = DIVERGENCES[name]
    v = np.linspace(-60, 60, 100_001) if name in ("kl", "pearson") else np.linspace(-12, 12, 100_001)
    t = values(d.activation, v)
    assert (np.diff(t) >= 0).all() and np.isfinite(values(d.conjugate_at, v)).all()
    if name != "total-variation":  # whose best T is at the edge of the range
        wanted = values(d.derivative, np.exp(np.linspace(-3, 3, 50)))
        assert t[0] < wanted.min() and wanted.max() < t[-1]


@rows
def test_the_simplified_form_is_the_conjugate_of_the_activation(name):
    d = DIVERGENCES[name]
    v = np.linspace(-6, 6, 101)
    assert np.allclose(values(d.conjugate_at, v), values(d.conjugate, values(d.activation, v)), rtol=1e-9, atol=1e-12)


@rows
def test_derivatives_to_second_order(name, rng):
    d = DIVERGENCES[name]
    v, u = rng.normal(size=5), np.exp(rng.choice([-1, 1], 5) * rng.uniform(0.2, 1.5, 5))
    t = values(d.activation, v)
    smooth = name != "total-variation"
    assert mg.gradcheck(d.f, [u], order=2 if smooth else 1)
    assert mg.gradcheck(d.conjugate, [t], order=2 if smooth else 1)
    assert mg.gradcheck(d.conjugate_at, [v], order=2)
    assert mg.gradcheck(d.activation, [v], order=1 if name in ("kl", "pearson") else 2)
    x = mg.tensor(u, requires_grad=True)
    assert np.allclose(mg.grad(d.f(x), [x], np.ones(5))[0].data, values(d.derivative, u))


@pytest.mark.parametrize("name", ["jensen-shannon", "gan", "total-variation", "pearson"])
def test_large_outputs_stay_finite_where_rounding_would_have_reached_the_edge(name):
    d = DIVERGENCES[name]
    v = mg.tensor(np.array([-1e4, -100, 100, 1e4], np.float32), requires_grad=True)
    for member in (d.activation, d.conjugate_at):
        y = member(v)
        (slope,) = mg.grad(y, [v], np.ones(4, np.float32))
        assert np.isfinite(y.data).all() and np.isfinite(slope.data).all()


# --------------------------------------------------------------------------------------------------- the example

EXAMPLE = Path(__file__).parent.parent / "examples" / "12_f_gan.py"


def test_the_examples_optima_are_least_divergences():
    """That of KL(P ‖ Q) has the target's moments; no neighbour of any is better."""
    example = runpy.run_path(str(EXAMPLE))
    weights, means, scales = example["WEIGHTS"], example["MEANS"], example["SCALES"]
    mean = (weights * means).sum()
    scale = np.sqrt((weights * (scales**2 + means**2)).sum() - mean**2)
    assert np.allclose(example["optimum"]("kl"), [mean, scale], atol=1e-4)
    for name in DIVERGENCES:
        best = example["optimum"](name)
        least = example["divergence"](name, *best)
        for step in ((0.01, 0), (-0.01, 0), (0, 0.01), (0, -0.01)):
            assert example["divergence"](name, *(best + step)) > least


def test_the_example_passes_with_the_optima_and_fails_beside_them(capsys):
    example = runpy.run_path(str(EXAMPLE))
    best = {name: example["optimum"](name) for name in example["COLOURS"]}
    assert all(claim.passed for claim in example["claims"](best, best))
    beside = best | {"kl": best["kl"] + [0.06, 0]}
    assert [claim.name for claim in example["claims"](best, beside) if not claim.passed] == ["mean, kl"]
    swapped = best | {"kl": best["reverse-kl"], "reverse-kl": best["kl"]}
    assert not list(example["claims"](best, swapped))[-1].passed


def test_the_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["12_f_gan.py", "--smoke", "--out", str(tmp_path / "run")])
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(EXAMPLE), run_name="__main__")
    assert left.value.code == 0 and "--smoke" in capsys.readouterr().out
    assert (tmp_path / "run" / "fits.png").exists() and (tmp_path / "run" / "verdict.json").exists()
