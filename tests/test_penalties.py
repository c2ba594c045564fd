"""What holds a critic's slope: values by hand and by finite differences, second derivatives, flat critics, resuming.

Stands on minigan.gan.penalties.
"""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigan as mg
from minigan import checkpoint, nn, ops
from minigan.gan.networks import mlp
from minigan.gan.penalties import (
    PLACES,
    SpectralNorm,
    between,
    clip_weights,
    gradient_penalty,
    r1_penalty,
    spectral_norm,
    wasserstein_divergence_penalty,
)

PENALTIES = {
    "gradient_penalty": lambda C, x: gradient_penalty(C, x, x[::-1].copy(), np.random.default_rng(5)),
    "wasserstein_divergence_penalty": lambda C, x: wasserstein_divergence_penalty(C, x),
    "r1_penalty": lambda C, x: r1_penalty(C, x),
}
penalties = pytest.mark.parametrize("name", PENALTIES)


def critic(*weights):
    """Two layers with a smooth activation between them: x · W₁ → softplus → · w₂, as a function of its weights."""
    return lambda x: ops.matmul(ops.softplus(ops.matmul(x, weights[0])), weights[1])


def slopes(C, x, eps=1e-6):
    """‖∇C‖ at each point, by central differences."""
    found = np.zeros_like(x)
    for index in np.ndindex(*x.shape[1:]):
        step = np.zeros(x.shape[1:])
        step[index] = eps
        up, down = (C(mg.tensor(x + s)).numpy().reshape(len(x)) for s in (step, -step))
        found[(slice(None), *index)] = (up - down) / (2 * eps)
    return np.sqrt((found**2).reshape(len(x), -1).sum(1))


# ----------------------------------------------------------------------------------------------------- penalties


@given(n=st.integers(1, 4), inside=st.sampled_from([(2,), (3,), (2, 2, 1)]))
def test_values_are_the_formulas_of_the_slope(n, inside):
    rng = np.random.default_rng(n)
    real, fake = rng.normal(size=(2, n, *inside))
    weights = [mg.tensor(rng.normal(size=s)) for s in ((int(np.prod(inside)), 4), (4, 1))]
    C = lambda x: critic(*weights)(ops.reshape(x, shape=(n, -1)))
    x = between(real, fake, np.random.default_rng(1)).data
    expected = ((slopes(C, x) - 2) ** 2).mean()
    penalty = gradient_penalty(C, mg.tensor(real), mg.tensor(fake), np.random.default_rng(1), target=2)
    assert np.isclose(penalty.item(), expected, rtol=1e-6)
    assert np.isclose(wasserstein_divergence_penalty(C, real).item(), 2 * (slopes(C, real) ** 6).mean(), rtol=1e-6)
    assert np.isclose(wasserstein_divergence_penalty(C, real, k=3, p=2).item(), 3 * (slopes(C, real) ** 2).mean())
    assert np.isclose(r1_penalty(C, real).item(), 0.5 * (slopes(C, real) ** 2).mean(), rtol=1e-6)


@penalties
def test_their_gradients_by_the_weights_and_those_gradients(name, rng):
    """Order 2 here is a third derivative of the critic."""
    x, weights = rng.normal(size=(3, 2)), [rng.normal(size=s) for s in ((2, 4), (4, 1))]
    assert mg.gradcheck(lambda *w: PENALTIES[name](critic(*w), x), weights, order=2)


@penalties
def test_through_the_layers_that_people_use(name, rng):
    """Linear layers with leaky ReLU fused in, and convolutions: both at their second derivative."""
    x = rng.normal(size=(2, 4, 4, 2))
    C = nn.Sequential(
        nn.Conv2d(2, 3, 4, stride=2, padding=1, rng=rng), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(12, 5, rng=rng),
        nn.LeakyReLU(0.2), nn.Linear(5, 1, rng=rng),
    )  # fmt: skip

    class Penalty(nn.Module):
        def __init__(self):
            self.C = C

        def forward(self):
            return PENALTIES[name](self.C, x.astype(self.C[0].weight.dtype))

    penalised = Penalty().to(dtype=np.float64)
    parameters = penalised.parameters()
    direction = [rng.normal(size=p.shape) for p in parameters]
    slope = sum((g.data * d).sum() for g, d in zip(mg.grad(penalised(), parameters), direction))
    values = []
    for step in (1e-6, -2e-6):
        for p, d in zip(parameters, direction):
            p.data += step * d
        values.append(penalised().item())
    assert np.isclose(slope, (values[0] - values[1]) / 2e-6, rtol=1e-5)


@penalties
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_flat_critic_has_a_finite_penalty_and_a_finite_gradient(name, dtype, rng):
    C = mlp([2, 8, 1], rng).to(dtype=dtype)
    C[0].bias.data[...] = -100  # every ReLU is off, the slope is exactly 0
    penalty = PENALTIES[name](C, rng.normal(size=(4, 2)).astype(dtype))
    assert np.isclose(penalty.item(), 1 if name == "gradient_penalty" else 0, atol=1e-5)
    assert all(np.isfinite(g.data).all() for g in mg.grad(penalty, C.parameters()))


@penalties
def test_a_flat_but_not_dead_critic_too(name, rng):
    """The weights are 0, so that the slope is 0 and its derivative by them is not."""
    w = mg.tensor(np.zeros((2, 1), np.float32), requires_grad=True)
    penalty = PENALTIES[name](lambda x: ops.matmul(x, w), rng.normal(size=(4, 2)).astype(np.float32))
    assert np.isfinite(mg.grad(penalty, [w])[0].data).all()


def test_a_linear_critic_of_slope_one_costs_nothing(rng):
    w = mg.tensor(np.array([[0.6], [0.8]]), requires_grad=True)
    C = lambda x: ops.matmul(x, w)
    assert gradient_penalty(C, rng.normal(size=(5, 2)), rng.normal(size=(5, 2)), rng).item() < 1e-20


def test_points_are_data_and_the_generator_decides_where_they_lie(rng):
    C = mlp([2, 4, 1], rng)
    real = mg.tensor(rng.normal(size=(4, 2)).astype(np.float32), requires_grad=True)
    fake = 1 - real
    first, again, other = (gradient_penalty(C, real, fake, np.random.default_rng(s)) for s in (0, 0, 1))
    assert first.item() == again.item() != other.item()
    assert not mg.grad(first, [real])[0].data.any()


@pytest.mark.parametrize("place", PLACES)
def test_places_are_where_their_names_say(place, rng):
    real, fake = rng.normal(size=(6, 2)) + 10, rng.normal(size=(6, 2)) - 10
    points = mg.tensor(PLACES[place](real, fake, rng)).data
    assert points.shape == (6, 2)
    near_real, near_fake = (points[:, 0] > 5).sum(), (points[:, 0] < -5).sum()
    wanted = {"real": (6, 0), "between real": (6, 0), "fake": (0, 6), "between fake": (0, 6), "real and fake": (3, 3)}
    assert (near_real, near_fake) == wanted.get(place, (near_real, near_fake))
    if place == "between real and fake":
        share = (points - fake) / (real - fake)
        assert np.allclose(share[:, 0], share[:, 1]) and (share >= 0).all() and (share <= 1).all()
        assert len(set(share[:, 0])) == 6


@pytest.mark.parametrize("call, words", [
    (lambda C, x: gradient_penalty(C, x, x[:2], np.random.default_rng(0)),
     "between: wants two batches of one shape, got (4, 2) and (2, 2)"),
    (lambda C, x: gradient_penalty(lambda x: x, x, x, np.random.default_rng(0)),
     "gradient_penalty: the critic wants to give one number a point, got shape (4, 2) for 4 points of shape (2,)"),
    (lambda C, x: r1_penalty(lambda x: C(x).detach(), x), "r1_penalty: the critic's graph was not recorded"),
    (lambda C, x: wasserstein_divergence_penalty(C, x, p=1),
     "wasserstein_divergence_penalty: p, the power of the slope, wants 2 or more, got 1"),
    (lambda C, x: clip_weights(C, 0), "clip_weights: bound must be above 0, got 0"),
    (lambda C, x: spectral_norm(C, np.random.default_rng(0), iterations=0),
     "SpectralNorm: iterations must be at least 1, got 0"),
])  # fmt: skip
def test_bad_input_is_told_what_is_wanted(call, words, rng):
    C, x = mlp([2, 4, 1], rng), rng.normal(size=(4, 2)).astype(np.float32)
    with pytest.raises(ValueError, match=re.escape(words)):
        call(C, x)


def test_no_grad_leaves_nothing_to_penalise(rng):
    with mg.no_grad(), pytest.raises(ValueError, match="leave no_grad"):
        r1_penalty(mlp([2, 4, 1], rng), rng.normal(size=(4, 2)).astype(np.float32))


def test_clipped_weights_lie_within_the_bound_and_keep_what_lay_there(rng):
    C = mlp([2, 50, 1], rng)
    before = [p.data.copy() for p in C.parameters()]
    arrays = [p.data for p in C.parameters()]
    clip_weights(C, 0.05)
    for p, old, array in zip(C.parameters(), before, arrays):
        assert p.data is array and abs(p.data).max() <= np.float32(0.05)
        assert np.array_equal(p.data, np.clip(old, -0.05, 0.05))


# ------------------------------------------------------------------------------------------------- spectral norm

LAYERS = {
    "linear": (lambda rng: nn.Linear(6, 4, rng=rng), (5, 6), lambda w: w),
    "conv": (lambda rng: nn.Conv2d(2, 5, 3, padding=1, rng=rng), (2, 4, 4, 2), lambda w: w.reshape(-1, 5)),
    "transposed": (lambda rng: nn.ConvTranspose2d(2, 5, 4, stride=2, rng=rng), (2, 3, 3, 2),
                   lambda w: w.transpose(0, 1, 3, 2).reshape(-1, 5)),
}  # fmt: skip


@pytest.mark.parametrize("kind", LAYERS)
def test_the_layer_computes_with_a_weight_of_largest_singular_value_one(kind, rng):
    make, shape, matrix = LAYERS[kind]
    layer, x = make(np.random.default_rng(1)), mg.tensor(rng.normal(size=shape).astype(np.float32))
    normed = spectral_norm(make(np.random.default_rng(1)), rng)
    for _ in range(200):
        normed(x)
    exact = np.linalg.svd(matrix(layer.weight.data), compute_uv=False)[0]
    assert np.isclose(normed.sigma().item(), exact, rtol=1e-4)
    assert np.array_equal(normed.layer.weight.data, layer.weight.data)  # the parameter itself stays as it was
    layer.weight.data /= exact
    assert np.allclose(normed.eval()(x).data, layer(x).data, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", LAYERS)
def test_its_gradient_goes_through_sigma(kind, rng):
    """In evaluation u stands still, and σ = ‖W u‖ has the derivative that constant u and v give."""
    make, shape, _ = LAYERS[kind]
    normed = spectral_norm(make(rng), rng).eval()
    assert mg.gradcheck(normed, [rng.normal(size=shape)])


def test_a_penalty_on_a_normalised_critic_has_the_right_gradient(rng):
    W, w2, x = rng.normal(size=(3, 4)), rng.normal(size=(4, 1)), rng.normal(size=(5, 3))
    normed = spectral_norm(nn.Linear(3, 4, bias=False, rng=rng), rng).to(dtype=np.float64).eval()

    def penalty(W):
        normed.layer.weight = W
        return gradient_penalty(lambda x: ops.matmul(ops.softplus(normed(x)), w2), x, x, np.random.default_rng(0))

    assert mg.gradcheck(penalty, [W])


def test_every_layer_inside_is_wrapped_once(rng):
    net = nn.Sequential(nn.Conv2d(1, 2, 4, rng=rng), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(2, 1))
    net.extra = [nn.Linear(2, 2, rng=rng)]
    for _ in range(2):
        assert spectral_norm(net, rng) is net
    assert [type(layer).__name__ for layer in net] == ["SpectralNorm", "BatchNorm2d", "ReLU", "Flatten", "SpectralNorm"]
    assert isinstance(net.extra[0], SpectralNorm) and isinstance(net[0].layer, nn.Conv2d)
    assert [name for name, _ in net[0].named_parameters()] == ["layer.weight", "layer.bias"]


def test_the_activation_is_still_fused_into_a_wrapped_layer(rng):
    net = nn.Sequential(spectral_norm(nn.Linear(3, 4, rng=rng), rng), nn.ReLU()).eval()
    x = mg.tensor(rng.normal(size=(5, 3)).astype(np.float32))
    assert np.allclose(net(x).data, np.maximum(net[0](x).data, 0), atol=1e-6)


def test_a_resumed_run_goes_on_with_the_same_bits(tmp_path, rng):
    x = mg.tensor(rng.normal(size=(4, 6)).astype(np.float32))

    def make(seed):
        net = spectral_norm(mlp([6, 8, 1], np.random.default_rng(seed)), np.random.default_rng(seed))
        return {"net": net, "opt": mg.optim.Adam(net.parameters(), 1e-2)}

    def step(net, opt):
        opt.step(mg.grad(ops.mean(net(x) ** 2), net.parameters()))

    straight, resumed = make(0), make(1)
    for _ in range(3):
        step(**straight)
    checkpoint.save(tmp_path / "c.safetensors", **straight)
    checkpoint.load(tmp_path / "c.safetensors", **resumed)
    for parts in (straight, resumed):
        step(**parts)
    states = [parts["net"].state_dict() for parts in (straight, resumed)]
    assert "0.u" in states[0] and all(np.array_equal(states[0][k], states[1][k]) for k in states[0])


def test_a_weight_of_zeros_stays_finite(rng):
    layer = nn.Linear(3, 2, rng=rng)
    layer.weight.data[...] = 0
    assert np.isfinite(spectral_norm(layer, rng)(rng.normal(size=(2, 3)).astype(np.float32)).data).all()
