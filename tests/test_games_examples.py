"""The two examples of the mode table, tiny: every game runs on both mixtures, goes on where it stopped, and is judged.

The examples are loaded as modules and trained in this process.
"""

import json

import numpy as np
import pytest
from conftest import example

import minigan as mg
from minigan import checkpoint
from minigan.gan.packing import pack
from minigan.run import arguments, read_metrics

games, pacgan = example("05_games"), example("06_pacgan")


def options(out, **more):
    """The arguments of a tiny run."""
    parser = arguments("", steps=10, out=str(out), batch=8, every=1000)
    parser.set_defaults(**{"data": "ring", **more})
    return parser.parse_args([])


def play(out, **more):
    passed = games.train(options(out, **{"game": "non-saturating", **more}))
    return passed, json.loads((out / "verdict.json").read_text())["claims"]


@pytest.fixture
def small(monkeypatch):
    """Small networks, and no pictures: they are half of a tiny run."""
    for module in (games, pacgan):
        monkeypatch.setattr(module, "WIDTHS", [8])
        monkeypatch.setattr(module, "picture", lambda *_: None)


# ---- any game ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", ["ring", "grid"])
@pytest.mark.parametrize("game", sorted({*games.GAMES, *games.PLAYS}))
def test_every_game_runs_and_is_judged(tmp_path, small, game, data):
    passed, claims = play(tmp_path, game=game, data=data)
    assert not passed  # ten steps of eight neurons cover no mixture
    rows = read_metrics(tmp_path / "metrics.jsonl")
    assert len(rows) == 10 // games.PLAYS.get(game, games.Play()).k
    assert all(np.isfinite(row["loss_D"]) and np.isfinite(row["loss_G"]) for row in rows)
    names = [claim["name"] for claim in claims]
    if game == "maximum-likelihood":
        assert len(names) == 1 and "carries G's gradient" in names[0]
    else:
        modes = games.DATA[data].centers
        assert names[0] == "modes covered" and 0 <= claims[0]["value"] < len(modes)
        assert all(claim["paper"] for claim in claims)


def test_another_name_is_another_game(tmp_path, small):
    """From one seed the first losses of D are those of the formulas, on the same samples; G's updates differ."""
    rows, weights = {}, {}
    for game in ("minimax", "non-saturating", "hinge"):
        play(tmp_path / game, game=game)
        rows[game] = read_metrics(tmp_path / game / "metrics.jsonl")
        weights[game] = checkpoint.read(tmp_path / game / "checkpoint.safetensors")["G"]
    assert rows["minimax"][0]["loss_D"] == rows["non-saturating"][0]["loss_D"] != rows["hinge"][0]["loss_D"]
    a, b = (next(iter(weights[game].values())) for game in ("minimax", "non-saturating"))
    assert not np.array_equal(a, b)


def test_clipping_holds_the_critics_weights(tmp_path, small):
    play(tmp_path, game="wasserstein")
    held = checkpoint.read(tmp_path / "checkpoint.safetensors")["D"]
    largest = max(np.abs(x).max() for x in held.values())
    assert largest == pytest.approx(games.PLAYS["wasserstein"].bound)


@pytest.mark.parametrize("n", [1, 5, 64])
def test_carriers_counts_the_samples_that_pull(n):
    assert games.carriers(np.full((n, 1), -0.3, np.float32)) == pytest.approx(1)
    assert games.carriers(np.eye(n, 1, dtype=np.float32)) == pytest.approx(1 / n)
    assert games.carriers(np.zeros((n, 1), np.float32)) == 0  # every one saturated


def perfect(data, rng, n=2500):
    return data.draw(rng, n, sigma=data.sigma)


@pytest.mark.parametrize("data", ["ring", "grid"])
def test_real_samples_pass_and_a_collapse_fails(tmp_path, rng, data):
    data = games.DATA[data]
    assert games.judge(perfect(data, rng), data, tmp_path)
    one = data.centers[0] + np.float32(data.sigma) * rng.standard_normal((2500, 2), dtype=np.float32)
    assert not games.judge(one, data, tmp_path)
    noise = rng.uniform(-data.edge, data.edge, (2500, 2))  # all modes, no quality
    assert not games.judge(noise, data, tmp_path)


# ---- going on ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "train, more",
    [
        (games.train, {"game": "non-saturating"}),
        (games.train, {"game": "wgan-gp", "data": "grid"}),
        (pacgan.train, {"pack": 2}),
    ],
    ids=["saddle", "critic", "packed"],
)
def test_stopping_and_going_on_loses_nothing(tmp_path, small, monkeypatch, train, more):
    """Stopped by an error at its second picture, the run goes on from the checkpoint of the first, to the same bits."""
    k = games.PLAYS.get(more.get("game"), games.Play()).k
    more = {"every": 4 * k, "steps": 10 * k, **more}
    train(options(tmp_path / "whole", **more))
    module, looks = (pacgan if "pack" in more else games), []

    def stop(*_):
        looks.append(1)
        if len(looks) == 2:
            raise RuntimeError("stopped")

    monkeypatch.setattr(module, "picture", stop)
    with pytest.raises(RuntimeError, match="stopped"):
        train(options(tmp_path / "parts", **more))
    assert checkpoint.load(tmp_path / "parts" / "checkpoint.safetensors")["step"] == 4
    train(options(tmp_path / "parts", **more, resume=True))
    whole, parts = (checkpoint.read(tmp_path / name / "checkpoint.safetensors") for name in ("whole", "parts"))
    for name in whole:
        if name.startswith(("G", "D")):
            for key, value in whole[name].items():
                assert np.array_equal(value, parts[name][key]), (name, key)
    assert (tmp_path / "whole/metrics.jsonl").read_bytes() == (tmp_path / "parts/metrics.jsonl").read_bytes()


# ---- packing -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("m", [2, 3, 4])
@pytest.mark.parametrize("data", ["ring", "grid"])
def test_packing_grows_the_input_of_D_alone(tmp_path, small, data, m):
    pacgan.train(options(tmp_path, data=data, pack=m))
    claims = json.loads((tmp_path / "verdict.json").read_text())["claims"]
    assert len(claims) == 3 and all(claim["paper"] for claim in claims)
    held = checkpoint.read(tmp_path / "checkpoint.safetensors")
    shapes = {name: [x.shape for x in held[name].values()] for name in ("G1", f"G{m}", "D1", f"D{m}")}
    assert shapes["G1"] == shapes[f"G{m}"]
    first, *rest = shapes[f"D{m}"]
    assert first == (2 * m, 8) and shapes["D1"] == [(2, 8), *rest]


def test_D_judges_groups_of_m(small):
    pair = pacgan.Pair(3, options("unused"))
    samples = pair.generate()
    assert samples.shape == (24, 2) and pair.judge(samples).shape == (8, 1)
    expected = pair.D(mg.tensor(samples.numpy().reshape(8, 6))).numpy()
    assert np.array_equal(pair.judge(samples).numpy(), expected)
    assert np.array_equal(pack(samples, 3).numpy(), samples.numpy().reshape(8, 6))


def test_the_verdict_compares_the_two(tmp_path, small, rng, capsys):
    """Fed with mixtures of known weights: more modes and a lower reverse KL pass, fewer or the same do not."""
    data, z = pacgan.DATA["ring"], None

    class Fixed:
        def __init__(self, m, modes):
            points = data.centers[np.arange(2500) % modes]
            self.m, self.G = m, lambda z: mg.tensor(points)

    assert pacgan.judge([Fixed(1, 6), Fixed(2, 8)], z, data, tmp_path)
    assert not pacgan.judge([Fixed(1, 8), Fixed(2, 6)], z, data, tmp_path)
    assert not pacgan.judge([Fixed(1, 8), Fixed(2, 8)], z, data, tmp_path)
    assert "m = 1: 6 modes" in capsys.readouterr().out
