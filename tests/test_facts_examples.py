"""The examples about known optima: each can fail, each passes where the answer is put in, each runs.

What is trained is judged by hand-made critics whose answer is known; the trainings themselves are the examples' own
business, but for --smoke.
"""

import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import example

import minigan as mg

EXAMPLES = Path(__file__).parent.parent / "examples"
NAMES = ["07_textbook_figures", "08_optimal_discriminator", "09_wasserstein_distance", "10_wgan_gp_surfaces",
         "11_wgan_div"]  # fmt: skip


textbook, optimal, wasserstein, surfaces, div = (example(name) for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_smoke(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [name, "--smoke", "--out", str(tmp_path / "run")])
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    assert left.value.code == 0
    said = capsys.readouterr().out
    assert "claim" in said and list((tmp_path / "run").glob("*.png"))
    claims = json.loads((tmp_path / "run" / "verdict.json").read_text())["claims"]
    assert claims and all(isinstance(claim["value"], (int, float)) for claim in claims)


# ---- 07 -----------------------------------------------------------------------------------------------------


def test_the_textbook_figures_come_out(tmp_path):
    path = tmp_path / "picture.png"
    claims = textbook.costs(path) + textbook.distances(path) + textbook.game(path, 0.2, 100)
    assert [claim.name for claim in claims if not claim.passed] == []


def test_a_wrong_cost_is_found(tmp_path, monkeypatch):
    monkeypatch.setitem(textbook.COSTS, "minimax", textbook.COSTS["non-saturating"])
    assert [claim.passed for claim in textbook.costs(tmp_path / "picture.png")] == [False, True, True]


def test_steps_in_turn_are_not_steps_at_once(tmp_path, monkeypatch):
    play = textbook.play
    monkeypatch.setattr(textbook, "play", lambda in_turn, eta, steps: play(not in_turn, eta, steps))
    assert [claim.passed for claim in textbook.game(tmp_path / "picture.png", 0.1, 200)] == [False, False, True]


def test_kl_covers_or_picks(tmp_path):
    claims = textbook.fits(tmp_path / "picture.png", np.random.default_rng(0))
    assert [claim.name for claim in claims if not claim.passed] == []


# ---- 08 -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift, passes", [(0.0, True), (0.15, False)])
def test_the_best_discriminator_is_the_density_ratio(tmp_path, shift, passes):
    def D(x):
        return mg.tensor(optimal.log_normal(x.data, *optimal.P) - optimal.log_normal(x.data, *optimal.Q) + shift)

    assert optimal.judge(D, tmp_path) is passes
    ratio, excess = json.loads((tmp_path / "verdict.json").read_text())["claims"]
    assert ratio["value"] == pytest.approx(shift, abs=1e-4)
    assert excess["value"] == pytest.approx(0, abs=1e-6) if passes else excess["value"] > 5e-4


# ---- 09 -----------------------------------------------------------------------------------------------------


def test_gaps_are_judged(tmp_path):
    w1 = np.array([0.6, 1.0, 1.5, 2.0, 3.0])
    best = w1 + w1**2 / 20
    assert wasserstein.judge(w1, best, 1e-3 * w1, tmp_path)
    for wrong in [(best * 1.05, 1e-3 * w1), (w1, 1e-3 * w1), (best, 1e-3 * w1[::-1]), (best, w1)]:
        assert not wasserstein.judge(w1, *wrong, tmp_path)


def test_the_gap_of_a_line_is_the_shift_of_the_mean():
    rng = np.random.default_rng(0)
    real, fake = wasserstein.p(rng, 50_000), wasserstein.q(rng, 50_000, 3.0)
    assert wasserstein.gap(lambda x: -x, real, fake) == pytest.approx(3, abs=0.02)
    assert mg.metrics.wasserstein_1d(real[:, 0], fake[:, 0]) == pytest.approx(3, abs=0.02)


# ---- 10 -----------------------------------------------------------------------------------------------------


def test_slopes_of_a_cone_and_of_a_sum():
    points = np.random.default_rng(0).standard_normal((50, 2)).astype(np.float32)
    cone = lambda x: 3 * mg.ops.sqrt(mg.ops.sum(x * x, axis=1))
    assert surfaces.slopes(cone, points) == pytest.approx(3 * np.ones(50), rel=1e-5)


@pytest.mark.parametrize("name", surfaces.DATA)
def test_the_data_have_the_papers_size(name):
    points = surfaces.DATA[name](np.random.default_rng(0), 20_000)
    assert points.shape == (20_000, 2) and points.std(axis=0) == pytest.approx([1, 1], abs=0.2)


def test_clipped_weights_gather_at_the_edge_and_penalised_do_not():
    args = SimpleNamespace(width=16, batch=64, steps=400, lr=2e-3)
    draw = surfaces.DATA["8 Gaussians"]
    clipped = surfaces.clipped(draw, args, np.random.default_rng(0))
    assert max(np.abs(w.data).max() for w in clipped.parameters()) <= surfaces.BOUND
    assert surfaces.at_the_edge(clipped) > 0.3
    assert surfaces.at_the_edge(surfaces.penalised(draw, args, np.random.default_rng(0))) < 0.05


# ---- 11 -----------------------------------------------------------------------------------------------------


def test_samples_of_the_ring_pass_and_a_missing_mode_fails(tmp_path):
    points = div.ring(np.random.default_rng(0), 2500, sigma=div.SIGMA)
    assert div.judge({"real": points}, tmp_path)
    assert not div.judge({"real": points, "fake": points[points[:, 0] < 0.9]}, tmp_path)


def test_one_place_alone_and_resume(tmp_path, monkeypatch, capsys):
    def run(*options):
        monkeypatch.setattr(sys, "argv", ["11_wgan_div.py", "--place", "real", "--width", "8", *options])
        with pytest.raises(SystemExit) as left:
            runpy.run_path(str(EXAMPLES / "11_wgan_div.py"), run_name="__main__")
        assert left.value.code in (0, 1), capsys.readouterr().err
        return json.loads(Path(options[1], "verdict.json").read_text())

    whole = run("--out", str(tmp_path / "whole"), "--steps", "6")
    run("--out", str(tmp_path / "parts"), "--steps", "4")
    assert run("--out", str(tmp_path / "parts"), "--steps", "6", "--resume") == whole
