"""A step captured as a CUDA graph gives the numbers of one that is not, and one that cannot be captured is refused.

On a GPU with CuPy; elsewhere with their stand-in, which computes nothing while it captures.
"""

import numpy as np
import pytest

import minigan as mg
from minigan import nn, ops
from minigan.gan.losses import minimax_d, nonsaturating_g
from minigan.optim import Adam, RMSprop

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("cuda")]


class Game:
    """A small convolutional GAN on the device, data and noise and all."""

    def __init__(self, cuda, optimiser=Adam):
        rng = np.random.default_rng(0)
        self.images = cuda.asarray(rng.standard_normal((20, 4, 4, 1), dtype=np.float32))
        self.rng = mg.generator(1, "cuda")
        self.G = nn.Sequential(
            nn.Linear(3, 8, rng=rng), nn.Reshape(2, 2, 2), nn.BatchNorm2d(2), nn.ReLU(),
            nn.ConvTranspose2d(2, 1, 4, 2, 1, rng=rng), nn.Tanh(),
        ).to("cuda")  # fmt: skip
        self.D = nn.Sequential(
            nn.Conv2d(1, 4, 4, 2, 1, rng=rng), nn.BatchNorm2d(4), nn.LeakyReLU(0.2),
            nn.Flatten(), nn.Linear(16, 1, rng=rng),
        ).to("cuda")  # fmt: skip
        self.opt_G, self.opt_D = optimiser(self.G.parameters(), 1e-2), optimiser(self.D.parameters(), 1e-2)

    def step(self):
        real = mg.tensor(self.images[self.rng.integers(20, size=6)])
        loss_D = minimax_d(self.D(real), self.D(self.fake().detach()))
        self.opt_D.step(mg.grad(loss_D, self.D.parameters()))
        loss_G = nonsaturating_g(self.D(self.fake()))
        self.opt_G.step(mg.grad(loss_G, self.G.parameters()))
        return {"loss_D": loss_D, "loss_G": loss_G}

    def fake(self):
        return self.G(mg.tensor(self.rng.standard_normal((6, 3), np.float32)))

    def numbers(self):
        """Every number that a step changes."""
        parts = {"G": self.G, "D": self.D, "opt_G": self.opt_G, "opt_D": self.opt_D, "rng": self.rng}
        return {f"{part}.{k}": np.asarray(v) for part, x in parts.items() for k, v in x.state_dict().items()}


def same(a, b):
    return {k for k in a if not np.array_equal(a[k], b[k])} == set() and a.keys() == b.keys()


@pytest.mark.parametrize("optimiser", [Adam, RMSprop])
def test_a_captured_run_equals_an_uncaptured_one(cuda, optimiser):
    plain, captured = Game(cuda, optimiser), Game(cuda, optimiser)
    step = mg.cuda_graph(captured.step)
    losses = []
    for _ in range(5):
        want, got = plain.step(), step()
        assert {k: v.item() for k, v in want.items()} == {k: v.item() for k, v in got.items()}
        losses.append(got["loss_D"].item())
    assert same(plain.numbers(), captured.numbers())
    assert len(set(losses)) == 5 and step.calls == 5 and step.graph is not None
    assert captured.opt_D.steps == 5


def test_a_checkpoint_taken_between_replays_goes_on(cuda, tmp_path):
    game = Game(cuda)
    step = mg.cuda_graph(game.step)
    parts = {"G": game.G, "D": game.D, "opt_G": game.opt_G, "opt_D": game.opt_D, "rng": game.rng}
    for _ in range(3):
        step()
    mg.checkpoint.save(tmp_path / "x", **parts)
    step(), step()
    wanted = game.numbers()
    mg.checkpoint.load(tmp_path / "x", **parts)  # into the arrays that the graph knows
    step(), step()
    assert same(wanted, game.numbers())


def test_reset_takes_a_new_rate(cuda):
    game = Game(cuda)
    step = mg.cuda_graph(game.step)
    for _ in range(3):
        step()
    game.opt_D.lr = game.opt_G.lr = 0.0
    before = game.numbers()
    step()
    assert not same({"w": before["D.0.weight"]}, {"w": game.numbers()["D.0.weight"]})  # the graph has the old one
    step.reset()
    before = game.numbers()
    for _ in range(3):
        step()
    assert same({"w": before["D.0.weight"]}, {"w": game.numbers()["D.0.weight"]})


X = np.ones((4, 3), np.float32)


@pytest.mark.parametrize(
    "act",
    [
        lambda x: ops.mean(x).item(),
        lambda x: float(ops.mean(x)),
        lambda x: x if ops.mean(x) > 0 else -x,
        lambda x: x + mg.tensor(X, device="cuda"),
        lambda x: ops.take(x, np.array([0, 1])),
        lambda x: x[x.data > 0],
        lambda x: x.numpy(),
    ],
    ids=["item", "float", "condition", "host array", "host indices", "mask", "numpy"],
)
def test_a_step_that_needs_the_host_is_refused_and_can_go_on_without_a_graph(cuda, act):
    x = mg.tensor(X, device="cuda")
    step = mg.cuda_graph(lambda: act(x))
    step()
    with pytest.raises(RuntimeError, match=r"cuda_graph: the step cannot be captured: .* return tensors, and read"):
        step()
    act(x)  # the stream does not capture any more


def test_bad_steps():
    with pytest.raises(TypeError, match="cuda_graph: wants a function of no arguments, got int"):
        mg.cuda_graph(3)


# --------------------------------------------------------------------------------------------- random numbers


def test_the_generator_has_numpys_names_and_repeats_itself(device):
    a, b = mg.generator(3, device), mg.generator(3, device)
    for draw in (
        lambda rng: rng.standard_normal((5, 2), np.float32),
        lambda rng: rng.random(7),
        lambda rng: rng.integers(3, 9, 50),
    ):
        x, y = mg.tensor(draw(a)), mg.tensor(draw(b))
        assert x.device == device and np.array_equal(x.numpy(), y.numpy())
    assert x.dtype == np.int64 and set(x.numpy()) == {3, 4, 5, 6, 7, 8}
    assert not np.array_equal(x.numpy(), mg.tensor(a.integers(3, 9, 50)).numpy())


def test_the_devices_generator_goes_on_from_its_state():
    rng = mg.generator(3, "cuda")
    rng.random(5)
    state = rng.state_dict()
    x = mg.tensor(rng.random(5)).numpy()
    other = mg.generator(0, "cuda")
    other.load_state_dict(state)
    assert np.array_equal(x, mg.tensor(other.random(5)).numpy())


def test_bad_seeds_and_sizes():
    with pytest.raises(ValueError, match="generator: seed must be in 0"):
        mg.generator(-1, "cuda")
    with pytest.raises(ValueError, match="integers: wants 1 to"):
        mg.generator(1, "cuda").integers(0)


# ---------------------------------------------------------------------------------------------------- memory


def test_a_full_gpu_says_what_was_asked_what_is_free_and_which_batch_would_fit(cuda, monkeypatch):
    def full(*_, **__):
        raise MemoryError(f"Out of memory allocating {16 << 30:,} bytes (allocated so far: 5,000 bytes).")

    x = mg.tensor(np.zeros((64, 3), np.float32), device="cuda")
    monkeypatch.setattr(cuda, "tanh", full)
    with pytest.raises(MemoryError, match=r"^tanh: the GPU's memory is full: asked for 16\.00 GiB, free ") as caught:
        ops.tanh(x)
    if "stand-in" in cuda.__version__:  # 64 · (2 + 1 + 5) / (16 + 5) = 24, half of it 12
        assert str(caught.value).endswith("free 3.00 GiB, held 5.00 GiB; with a batch of 64 now, try a batch of 8")
