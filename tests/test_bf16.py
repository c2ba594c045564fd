"""Networks in bf16: what lies between the layers is half as long, and what is learnt stays float32.

In the emulator; on a GPU with CuPy, and with CuPy's stand-in.
"""

import sys

import numpy as np
import pytest

import minigan as mg
from minigan import kernels, nn, ops
from minigan.gan.losses import minimax_d, nonsaturating_g
from minigan.gan.penalties import gradient_penalty
from minigan.kernels import emulator, rounding
from minigan.nn.module import Module
from minigan.optim import Adam

HALF = rounding.bfloat16()
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(emulator.compiler() is None, reason="the emulator needs a C++ compiler: apt install g++"),
]


@pytest.fixture(params=["emulator", "cuda"])
def place(request, monkeypatch):
    """The device of a network whose kernels are CUDA's."""
    if request.param == "cuda":
        request.getfixturevalue("cuda")
        return "cuda"
    monkeypatch.setattr(kernels, "_choice", "emulator")
    return "cpu"


class Seen(Module):
    """Notes the dtype of what passes."""

    def __init__(self):
        self.dtypes = set()

    def forward(self, x):
        self.dtypes.add(x.dtype.name)
        return x


def players(device, normed=True):
    rng, seen = np.random.default_rng(0), Seen()
    norm = nn.BatchNorm2d if normed else lambda channels: seen
    G = nn.Sequential(
        nn.Linear(5, 4 * 4 * 8, bias=not normed, rng=rng), nn.Reshape(4, 4, 8), seen, norm(8), nn.ReLU(), seen,
        nn.ConvTranspose2d(8, 3, 4, 2, 1, rng=rng), seen, nn.Tanh(),
    ).to(device)  # fmt: skip
    D = nn.Sequential(
        nn.Conv2d(3, 8, 4, 2, 1, bias=not normed, rng=rng), seen, norm(8), nn.LeakyReLU(0.2), seen,
        nn.Flatten(), nn.Linear(4 * 4 * 8, 1, bias=False, rng=rng), seen,
    ).to(device)  # fmt: skip
    return G, D, seen


def gradients(device, precision):
    """(losses, gradients of D's and of G's parameters, what was seen)"""
    rng = np.random.default_rng(1)
    with rounding.using(precision):
        G, D, seen = players(device)
        real, z = (mg.tensor(rng.standard_normal(s, np.float32), device=device) for s in ((16, 8, 8, 3), (16, 5)))
        loss_D = minimax_d(D(real), D(G(z).detach()))
        loss_G = nonsaturating_g(D(G(z)))
        of_D, of_G = mg.grad(loss_D, D.parameters()), mg.grad(loss_G, G.parameters())
    assert {g.dtype.name for g in of_D + of_G} == {"float32"} == {loss_D.dtype.name, loss_G.dtype.name}
    return [loss_D.item(), loss_G.item()], [g.numpy() for g in of_D + of_G], seen.dtypes


def test_a_step_in_bf16_is_near_the_step_in_float32(place):
    exact, rounded = gradients(place, "fp32"), gradients(place, "bf16")
    assert exact[2] == {"float32"} and rounded[2] == {"bfloat16"}
    np.testing.assert_allclose(rounded[0], exact[0], rtol=0.01)
    away = [np.linalg.norm(a - b) / np.linalg.norm(a) for a, b in zip(exact[1], rounded[1])]
    assert 1e-4 < max(away) < 0.25 and np.median(away) < 0.1  # a kink turns a share u of all elements: √u is 0.06


def test_a_gradient_penalty_in_bf16(place):
    """A second derivative: the critic's weights from the slope at its input."""
    found = []
    for precision in ("fp32", "bf16"):
        with rounding.using(precision):
            _, D, _ = players(place, normed=False)
            rng = np.random.default_rng(2)
            x, y = (mg.tensor(rng.standard_normal((8, 8, 8, 3), np.float32), device=place) for _ in range(2))
            penalty = gradient_penalty(D, x, y, np.random.default_rng(3))
            found.append(np.concatenate([g.numpy().ravel() for g in mg.grad(penalty, D.parameters())]))
    assert np.linalg.norm(found[1] - found[0]) < 0.1 * np.linalg.norm(found[0]) != 0


def test_composites_and_evaluation_in_bf16(place):
    """Norms and linear layers by their definitions, differentiated again; and by running statistics."""
    rng = np.random.default_rng(4)
    x = mg.tensor(rng.standard_normal((6, 4), np.float32), device=place, requires_grad=True)
    for layer in (nn.BatchNorm2d(4), nn.LayerNorm(4), nn.Linear(4, 3, rng=rng)):
        net, found = nn.Sequential(layer, nn.LeakyReLU(0.2)).to(place), []
        for precision in ("fp32", "bf16"):
            with rounding.using(precision):
                y = net(x)
                (gx,) = mg.grad(ops.sum(y * y), [x], create_graph=True)
                (ggx,) = mg.grad(ops.sum(gx * gx), [x])
                evaluated = net.eval()(x)
                net.train()
            found.append([t.numpy() for t in (y, gx, evaluated)])
            assert y.dtype == gx.dtype == ggx.dtype == evaluated.dtype == np.float32
        for a, b in zip(*found):
            assert np.abs(a - b).max() < 0.1 * np.abs(a).max()


def test_a_captured_step_in_bf16_is_the_uncaptured_one(cuda):
    def run(way):
        with rounding.using("bf16"):
            G, D, _ = players("cuda")
            rng, opts = mg.generator(1, "cuda"), [Adam(net.parameters(), 1e-2) for net in (D, G)]
            real = mg.tensor(np.random.default_rng(5).standard_normal((6, 8, 8, 3), np.float32), device="cuda")

            def step():
                z = mg.tensor(rng.standard_normal((6, 5), np.float32))
                opts[0].step(mg.grad(minimax_d(D(real), D(G(z).detach())), D.parameters()))
                opts[1].step(mg.grad(nonsaturating_g(D(G(z))), G.parameters()))
                return {"w": D.parameters()[0]}

            step = way(step)
            for _ in range(4):
                step()
            return [p.numpy() for p in [*G.parameters(), *D.parameters()]]

    assert all((a == b).all() for a, b in zip(run(lambda step: step), run(mg.cuda_graph)))


def test_on_the_cpu_a_precision_changes_nothing():
    with rounding.using("bf16"):
        G, _, seen = players("cpu")
        G(mg.tensor(np.ones((2, 5), np.float32)))
    assert seen.dtypes == {"float32"}
    x = np.ones((2, 2)).astype(HALF)
    with pytest.raises(TypeError, match=r"^matmul: bfloat16 is for CUDA kernels, on a GPU or under MINIGAN_KERNELS=em"):
        kernels.matmul(x, x)


def test_without_ml_dtypes_it_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(RuntimeError, match=r"^bf16: arrays of it need ml_dtypes: pip install ml_dtypes$"):
        rounding.bfloat16.__wrapped__()
