"""Watching: what is measured is right and changes nothing, alarms ring once and only when they should, dashboards show.

The series are made up; examples/17_collapse.py is the real thing.
"""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigan as mg
from minigan.data import ring, ring_centers
from minigan.gan.alarms import IN_A_ROW, TO_GROW, Alarms
from minigan.gan.dashboard import alarm_episodes, dashboard
from minigan.gan.networks import dcgan_discriminator, dcgan_generator, mlp
from minigan.gan.watch import Watch, first_fault, largest_singular_value
from minigan.metrics import coverage, variety
from minigan.ops import exp, mean, softplus, sqrt
from minigan.optim import SGD, Adam
from minigan.plot import read_image
from minigan.run import Run, read_metrics

# ---- variety ------------------------------------------------------------------------------------------------


@given(st.integers(1, 8), st.integers(0, 1000))
def test_modes_of_a_ring_count_as_what_they_are(modes, seed):
    rng = np.random.default_rng(seed)
    real, fake = ring(rng, 800, sigma=0.01), ring(rng, 800, modes=modes, sigma=0.01)
    of_fake, of_real = variety(fake, real)
    assert abs(of_fake / modes - 1) < 0.1 and abs(of_real / 8 - 1) < 0.1


@given(st.integers(1, 8), st.integers(0, 1000), st.integers(40, 300))
def test_coverage_counts_the_modes_reached_and_forgives_a_blur_and_a_stray(modes, seed, n):
    rng = np.random.default_rng(seed)
    real, centres = ring(rng, n, sigma=0.01), ring_centers()
    fake = centres[np.arange(n) % modes] + np.float32(0.1) * rng.standard_normal((n, 2), dtype=np.float32)
    expected = (np.linalg.norm(real[:, None] - centres, axis=-1).argmin(1) < modes).mean()
    assert abs(coverage(fake, real) - expected) < 0.1
    if modes == 1:
        fake[0] = centres[4]  # one sample is no mode
        assert coverage(fake, real) < 0.4 or n < 60


def test_among_images_nobody_comes_near(rng):
    real = rng.standard_normal((64, 8, 8, 1))
    assert coverage(real, real) is None


def test_the_same_image_over_and_over_counts_once(rng):
    real = rng.standard_normal((64, 8, 8, 1), dtype=np.float32)
    assert variety(real, real) == pytest.approx((64, 64), rel=1e-3)
    for different in (1, 4):
        assert variety(np.tile(real[:different], (64 // different, 1, 1, 1)), real)[0] == pytest.approx(different)
    with pytest.raises(ValueError, match="variety: the 5 real samples are all the same"):
        variety(real[:5], np.repeat(real[:1], 5, 0))
    with pytest.raises(ValueError, match="at least 2 samples, got 1 and 64"):
        variety(real[:1], real)


# ---- alarms on made-up series -------------------------------------------------------------------------------

HEALTHY = {"variety": 0.95, "coverage": 1.0, "variety of G": 7.6, "variety of data": 8.0, "spread": 1.0,
           "accuracy": 0.6, "gap": 0.4, "|∇G|": 1.0, "|∇D|": 1.0, "weights G": 12.0, "weights D": 12.0,
           "loss_D": 0.69, "loss_G": 0.8}  # fmt: skip


def play(looks):
    """What alarms say to a series of looks, each the healthy one but for what is given: [(look, name)], [over]."""
    alarms, raised, over = Alarms(), [], []
    for i, look in enumerate(looks):
        new, gone = alarms.judge(i, HEALTHY | look)
        raised += [(i, name) for name in new]
        over += [(i, name) for name in gone]
        assert all(isinstance(seen, str) and any(c.isdigit() for c in seen) for seen in new.values())  # with figures
    return raised, over


def noisy(seed, n=100):
    """Healthy looks: every figure wanders by a factor of 1.5 or so; D may be right nearly always."""
    rng = np.random.default_rng(seed)
    wander = np.exp(0.4 * rng.standard_normal((n, 6)))
    for w in wander:
        yield {"|∇G|": w[0], "|∇D|": w[1], "loss_G": 3 * w[2], "loss_D": 0.1 * w[3], "variety": min(1, 0.8 * w[4]),
               "accuracy": min(1.0, 0.95 * w[5])}  # fmt: skip


@pytest.mark.parametrize("seed", range(20))
def test_a_healthy_series_is_silent(seed):
    start = [{"variety": 0.02, "|∇G|": 30.0, "accuracy": 1.0}] * (TO_GROW - IN_A_ROW)  # as DCGAN begins
    assert play([*start, *noisy(seed)]) == ([], [])


FEW = {"variety": 0.13, "variety of G": 1.04, "spread": 0.001}
ILL = {
    "mode collapse": FEW,
    "D too strong": {"accuracy": 0.995, "|∇G|": 1e-3},
    "divergence": {"loss_G": -4000.0},
}
ALSO = [("mode collapse", {"coverage": 0.25}), ("divergence", {"|∇D|": 2e4}), ("divergence", {"weights G": 400.0})]


@pytest.mark.parametrize("name, ill", [*ILL.items(), *ALSO], ids=str)
@pytest.mark.parametrize("before", [IN_A_ROW * 2, 40])
def test_each_alarm_rings_once_in_an_episode(name, ill, before):
    well, sick = [{}] * before, [ill] * 10
    first = before + IN_A_ROW - 1
    assert play(well + sick) == ([(first, name)], [])
    end = before + 10 + IN_A_ROW - 1
    assert play(well + sick + [{}] * 10) == ([(first, name)], [(end, name)])
    raised, over = play(well + sick + [{}] * 10 + sick)
    assert raised == [(first, name), (first + 20, name)] and over == [(end, name)]  # a second episode, a second alarm


@pytest.mark.parametrize("name", ILL)
def test_one_bad_batch_rings_nothing(name):
    assert play([{}] * 10 + ([ILL[name]] * (IN_A_ROW - 1) + [{}]) * 5) == ([], [])


@pytest.mark.parametrize("half", [{"accuracy": 1.0}, {"|∇G|": 1e-3}, {"spread": 0.01}], ids=str)
def test_half_a_symptom_rings_nothing(half):
    assert play([{}] * 10 + [half] * 20) == ([], [])


def test_a_g_that_never_varied_gets_its_time():
    raised, _ = play([FEW] * (TO_GROW + 10))
    assert raised == [(TO_GROW + IN_A_ROW - 1, "mode collapse")]
    grows = [FEW | {"variety": min(1.0, 0.4 * i / TO_GROW)} for i in range(TO_GROW * 3)]
    assert play(grows) == ([], [])


def test_a_critic_without_figures_of_its_own_is_no_error():
    alarms = Alarms()
    for step in range(30):
        assert alarms.judge(step, {"loss_D": 0.1, "|∇D|": 1.0, "weights D": 3.0}) == ({}, [])


# ---- measuring ----------------------------------------------------------------------------------------------


def system(seed=0, images=False):
    """(G, D, watch, steps): steps(n) makes n more steps of a GAN and yields (t, row)."""
    rng = np.random.default_rng(seed)
    if images:
        G, D = dcgan_generator(28, 1, rng, latent=2, width=4), dcgan_discriminator(28, 1, rng, width=4)
    else:
        G, D = mlp([2, 16, 2], rng), mlp([2, 16, 1], rng)
    opt_G, opt_D, watch = Adam(G.parameters(), 1e-3), SGD(D.parameters(), 1e-2), Watch(G=G, D=D, every=5)

    def steps(n, watch=watch, shape=(28, 28, 1) if images else (2,)):
        for t in range(watch.t + 1, watch.t + n + 1):
            real = mg.tensor(rng.standard_normal((8, *shape), dtype=np.float32))
            fake = G(rng.standard_normal((8, 2), dtype=np.float32)).detach()
            l_real, l_fake = D(real), D(fake)
            loss = mean(softplus(-l_real)) + mean(softplus(l_fake))
            watch.step(opt_D, loss, mg.grad(loss, D.parameters()))
            watch.samples(real, fake, l_real, l_fake)
            loss_G = mean(softplus(-D(G(rng.standard_normal((8, 2), dtype=np.float32)))))
            watch.step(opt_G, loss_G, mg.grad(loss_G, G.parameters()))
            yield t, watch.look(t, {"loss_D": loss.item(), "loss_G": loss_G.item()})

    return {"G": G, "D": D, "opt_G": opt_G, "opt_D": opt_D, "rng": rng, "watch": watch}, steps


class Nothing:
    """In Watch's place: the optimiser steps, and that is all."""

    t = 0
    step = staticmethod(lambda optimiser, loss, grads: optimiser.step(grads))
    samples = staticmethod(lambda *_: None)
    look = staticmethod(lambda t, seen: seen)


@pytest.mark.parametrize("images", [False, True])
def test_watching_changes_no_bit_of_the_run(images):
    watched, alone = system(images=images), system(images=images)
    rows = list(watched[1](12)), list(alone[1](12, watch=Nothing()))
    assert [{k: row[k] for k in ("loss_D", "loss_G")} for _, row in rows[0]] == [row for _, row in rows[1]]
    for name in "GD":
        a, b = watched[0][name].state_dict(), alone[0][name].state_dict()
        assert all(a[key].tobytes() == b[key].tobytes() for key in a)
    assert [t for t, row in rows[0] if "layers" in row] == [1, 5, 10]


def test_the_figures_are_what_they_are_called(rng):
    D = mlp([3, 4, 1], rng)
    before = [p.data.copy() for p in D.parameters()]
    x = rng.standard_normal((6, 3), dtype=np.float32)
    loss = mean(D(x) ** 2)
    grads = mg.grad(loss, D.parameters())
    watch = Watch(D=D)
    watch.step(SGD(D.parameters(), 0.1), loss, grads)
    l_real, l_fake = mg.tensor([1.0, 2.0, -1.0, 5.0]), mg.tensor([-1.0, 1.0, 0.5, -3.0])
    watch.samples(mg.tensor(x[:4]), mg.tensor(x[2:]), l_real, l_fake)
    row = watch.look(1, {})
    g = [np.linalg.norm(g.data) for g in grads]
    w = [np.linalg.norm(b) for b in before]
    assert row["|∇D|"] == pytest.approx(np.linalg.norm(g), rel=1e-4)
    assert row["more"]["weights D"] == pytest.approx(np.linalg.norm(w), rel=1e-4)
    layers = row["layers"]
    assert list(layers["gradient"]) == ["D.0", "D.2"]
    assert layers["gradient"]["D.0"] == pytest.approx(np.linalg.norm(g[:2]), rel=1e-4)
    ratio = 0.1 * np.linalg.norm(g[2:]) / np.linalg.norm(w[2:])  # SGD's step is lr times the gradient
    assert layers["update / weight"]["D.2"] == pytest.approx(ratio, rel=1e-3)
    assert layers["spectral norm"]["D.0"] == pytest.approx(np.linalg.norm(D[0].weight.data, 2), rel=1e-4)
    assert row["accuracy"] == (3 / 4 + 2 / 4) / 2 and row["gap"] == pytest.approx(7 / 4 + 2.5 / 4)


def test_a_spectral_norm_is_the_largest_singular_value(rng):
    for shape in [(3, 5), (5, 3), (2, 2, 3, 4), (4, 4, 1, 7), (1, 1)]:
        w = rng.standard_normal(shape)
        assert largest_singular_value(w) == pytest.approx(np.linalg.svd(w.reshape(-1, shape[-1]))[1][0])


def test_a_stranger_and_no_player_are_refused(rng):
    x = mg.tensor(np.ones(3), requires_grad=True)
    loss = mean(x * x)
    with pytest.raises(ValueError, match=r"Watch.step: a parameter of shape \(3,\) belongs to none of \['D'\]"):
        Watch(D=mlp([2, 1], rng)).step(SGD([x], 0.1), loss, mg.grad(loss, [x]))
    with pytest.raises(ValueError, match="players such as G=G, D=D"):
        Watch(every=5)


# ---- NaN ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "loss, says",
    [
        (lambda x: mean(exp(x * 1000)), "exp made the first value that is not finite, from inputs of shapes (3,)"),
        (lambda x: mean(sqrt(x - x.detach())), "sqrt: "),  # 0 forward, infinite backward
    ],
    ids=["forward", "backward"],
)
@pytest.mark.parametrize("t", [0, 3], ids=["at a look", "between looks"])
def test_a_nan_is_told_with_the_name_of_its_op(capsys, loss, says, t):
    class Player:
        x = mg.tensor(np.ones(3, np.float32), requires_grad=True)
        named_parameters = lambda self: [("x", self.x)]

    x, watch = Player.x, Watch(G=Player())
    x.data[:], watch.t = 1, t
    opt = SGD([x], 0.1)
    with np.errstate(all="ignore"):
        y = loss(x)
        watch.step(opt, y, mg.grad(y, [x]))
        row = watch.look(t + 1, {})
        assert row["alarms"]["NaN"].startswith(says)
        said = capsys.readouterr().err
        assert f"step {t + 1}: NAN: {says}" in said and "What usually helps: " in said
        y = loss(x)
        watch.step(opt, y, mg.grad(y, [x]))
        assert "alarms" not in watch.look(t + 2, {})  # once
    assert first_fault([x], y).startswith("1 of 1 parameters are not finite before the step")


# ---- a run --------------------------------------------------------------------------------------------------


def train(out, steps, resume=False):
    parts, more = system()
    with Run(out, {"steps": steps}, resume=resume) as run:
        start = run.restore(**parts)
        assert start == parts["watch"].t
        for t, row in more(steps - start):
            run.log(t, row | ({"variety": 0.1} if t == 7 else {}))
        run.save(steps, **parts)
    return parts["watch"]


@pytest.mark.parametrize("stop", [3, 5, 12])
def test_a_resumed_run_is_watched_as_if_it_had_never_stopped(tmp_path, stop):
    whole = train(tmp_path / "whole", 24)
    train(tmp_path / "parts", stop)
    parts = train(tmp_path / "parts", 24, resume=True)
    assert parts.state_dict() == whole.state_dict() and len(whole.alarms.looks) == 5
    assert (tmp_path / "whole/metrics.jsonl").read_bytes() == (tmp_path / "parts/metrics.jsonl").read_bytes()


def test_alarms_go_on_where_they_were():
    looks = [HEALTHY] * 9 + [HEALTHY | FEW] * 6 + [HEALTHY] * 6
    whole = Alarms()
    said = [whole.judge(i, look) for i, look in enumerate(looks)]
    for stop in range(len(looks)):
        first, then = Alarms(), Alarms()
        before = [first.judge(i, look) for i, look in enumerate(looks[:stop])]
        then.load_state_dict(json.loads(json.dumps(first.state_dict())))
        assert before + [then.judge(stop + i, look) for i, look in enumerate(looks[stop:])] == said
        assert then.state_dict() == whole.state_dict()


def series(path, alarm):
    """A run's folder, made up, with or without an episode of an alarm."""
    _, more = system()
    with Run(path, {}) as run:
        for t, row in more(60):
            row |= {"D(x)": 0.6, "D(G(z))": 0.4}
            if alarm and t == 20:
                row |= {"alarms": {"mode collapse": "G's batch is worth 1.2 different samples"}}
            if alarm and t == 40:
                row |= {"over": ["mode collapse"]}
            run.log(t, row)
        run.samples(60, np.zeros((4, 6, 6, 1)))


def test_a_dashboard_shows_the_run_and_marks_its_alarms(tmp_path, capsys):
    red = {}
    for name, alarm in (("well", False), ("ill", True)):
        series(tmp_path / name, alarm)
        path = dashboard(tmp_path / name)
        assert path == tmp_path / name / "dashboard.png" and capsys.readouterr().out.strip() == str(path)
        picture = read_image(path).astype(int)
        assert picture.shape[1] == 2250 and picture.std() > 10
        r, g, b = np.moveaxis(picture, -1, 0)
        red[name] = int(((r > 170) & (g < 90) & (b < 80)).sum())
        panels = [picture[i * 400 + 60 : (i + 1) * 400, j * 1125 : (j + 1) * 1125] for i in range(4) for j in range(2)]
        assert all(panel.std() > 5 for panel in panels)  # none is empty
    assert red["ill"] > red["well"] + 5000
    rows = read_metrics(tmp_path / "ill" / "metrics.jsonl")
    assert alarm_episodes(rows) == [(1, "mode collapse", "G's batch is worth 1.2 different samples", 20, 40)]


def test_a_folder_without_figures_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is it the folder of a run"):
        dashboard(tmp_path)


def test_the_live_line_keeps_what_is_not_measured_at_every_step(tmp_path, capsys):
    with Run(tmp_path, {}) as run:
        for t in run.progress(range(1, 4), total=3):
            run.log(t, {"loss_D": 0.5, "layers": {"gradient": {"D.0": 1.0}}, **({"variety": 0.25} if t == 1 else {})})
        assert run._shown == {"loss_D": 0.5, "variety": 0.25}
    assert "variety=0.25" in capsys.readouterr().err
    assert read_metrics(tmp_path / "metrics.jsonl")[2]["layers"] == {"gradient": {"D.0": 1.0}}
