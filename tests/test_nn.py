"""Modules: their state and its names, training and evaluation, shapes, and the same numbers as PyTorch where it is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigan as mg
from minigan import nn, ops
from minigan.testing.strategies import conv_cases, conv_transpose_cases, norm_cases


def images(rng, *shape, dtype=np.float32):
    return mg.tensor(rng.normal(size=shape).astype(dtype))


def net(seed=0):
    rng = np.random.default_rng(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 4, stride=2, padding=1, rng=rng),
        nn.BatchNorm2d(4),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(64, 3, rng=rng),
    )


class Pair(nn.Module):
    """Children by attribute and by list, a buffer, and one tensor reached twice."""

    def __init__(self):
        self.first = nn.Linear(2, 3, rng=np.random.default_rng(0))
        self.rest = [nn.Linear(3, 3, rng=np.random.default_rng(1)), "not a module", nn.BatchNorm1d(3)]
        self.tied = self.first.weight
        self.scale = mg.tensor(np.float32(2))

    def forward(self, x):
        return self.rest[2](self.rest[0](self.first(x))) * self.scale


# --------------------------------------------------------------------------------------------- names and state


def test_names_read_as_the_code_does():
    assert list(dict(Pair().named_tensors())) == [
        "tied", "scale", "first.bias", "rest.0.weight", "rest.0.bias", "rest.2.weight", "rest.2.bias",
        "rest.2.running_mean", "rest.2.running_var",
    ]  # fmt: skip
    assert [name for name, _ in net().named_parameters()] == [
        "0.weight", "0.bias", "1.weight", "1.bias", "4.weight", "4.bias",
    ]  # fmt: skip
    assert "scale" not in dict(Pair().named_parameters())


def test_state_dict_round_trip(rng):
    a, b = net(seed=1), net(seed=2)
    x = images(rng, 5, 8, 8, 1)
    a(x)  # moves the running statistics
    assert not np.array_equal(a.eval()(x).data, b.eval()(x).data)
    b.load_state_dict(a.state_dict())
    np.testing.assert_array_equal(a(x).data, b(x).data)


def test_state_dict_is_a_snapshot(rng):
    a = net()
    state = a.state_dict()
    before = {name: array.copy() for name, array in state.items()}
    for p in a.parameters():
        p.data += 1
    a.train()(images(rng, 5, 8, 8, 1))
    assert all((state[name] == before[name]).all() for name in state)
    a.load_state_dict(state)
    for p in a.parameters():
        p.data += 1
    assert all((state[name] == before[name]).all() for name in state)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda s: s.pop("0.weight"), r"load_state_dict: the state lacks 0.weight for Sequential"),
        (lambda s: s.update(extra=np.ones(1)), r"load_state_dict: the state has unknown extra for Sequential"),
        (lambda s: s.update({"4.bias": np.ones(4)}), r"load_state_dict: 4.bias is \(4,\) in the state, wants \(3,\)"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, message):
    a = net()
    state = {name: array + 1 for name, array in a.state_dict().items()}
    change(state)
    before = a.state_dict()
    with pytest.raises(ValueError, match=message):
        a.load_state_dict(state)
    after = a.state_dict()
    assert all((before[name] == after[name]).all() for name in before)


def test_to_changes_every_tensor_in_place_and_computes_there(rng):
    a = net()
    parameters = a.parameters()
    a.to(dtype=np.float64)
    assert a.parameters() == parameters and all(x.dtype == np.float64 for _, x in a.named_tensors())
    assert all(p.requires_grad for p in parameters)
    y = a(images(rng, 2, 8, 8, 1, dtype=np.float64))
    assert y.dtype == np.float64 and mg.grad(y.sum(), parameters)[0].dtype == np.float64


def test_train_and_eval_reach_every_module():
    a = Pair()
    assert a.eval() is a and not any(m.training for _, m in a.named_modules())
    assert a.train() is a and all(m.training for _, m in a.named_modules())


def test_zero_grad_forgets():
    a = nn.Linear(2, 1)
    a(mg.tensor(np.ones((3, 2), np.float32))).sum().backward()
    assert all(p.grad is not None for p in a.parameters())
    a.zero_grad()
    assert all(p.grad is None for p in a.parameters())


def test_a_module_without_forward_says_so():
    with pytest.raises(NotImplementedError, match="Empty: write forward"):
        type("Empty", (nn.Module,), {})()(1)


def test_sequential_wants_layers():
    with pytest.raises(TypeError, match="Sequential: layer 1 is a int, wants a Module or a function"):
        nn.Sequential(nn.Tanh(), 3)


def test_repr_shows_the_tree():
    tree = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.BatchNorm2d(3), nn.Sequential(nn.Tanh())), nn.ReLU())
    assert repr(tree).splitlines() == [
        "Sequential(",
        "  (0): Linear(2, 3)",
        "  (1): Sequential(",
        "    (0): BatchNorm2d(3, eps=1e-05, momentum=0.1)",
        "    (1): Sequential(",
        "      (0): Tanh()",
        "    )",
        "  )",
        "  (2): ReLU(0.0)",
        ")",
    ]


def test_the_same_generator_gives_the_same_weights():
    a, b, c = net(seed=3), net(seed=3), net(seed=4)
    same = [(x.data == y.data).all() for x, y in zip(a.parameters(), b.parameters())]
    assert all(same) and not (a.layers[0].weight.data == c.layers[0].weight.data).all()
    bound = 1 / np.sqrt(16)
    assert 0.9 * bound < np.abs(a.layers[0].weight.data).max() <= bound


def test_dcgan_weights():
    a = nn.init.dcgan(nn.Sequential(nn.Conv2d(32, 64, 4), nn.BatchNorm2d(64)), np.random.default_rng(0))
    w, b, gamma, beta = (p.data for p in a.parameters())
    assert abs(w.std() - 0.02) < 5e-4 and abs(w.mean()) < 5e-4 and abs(gamma.mean() - 1) < 0.01
    assert not b.any() and not beta.any() and w.dtype == np.float32


# ------------------------------------------------------------------------------------------------ layers


@pytest.mark.parametrize(
    "layer, x, y",
    [
        (nn.Linear(3, 5), (4, 3), (4, 5)),
        (nn.Linear(3, 5, bias=False), (2, 4, 3), (2, 4, 5)),
        (nn.Conv2d(2, 3, 4, 2, 1), (5, 8, 6, 2), (5, 4, 3, 3)),
        (nn.Conv2d(2, 3, (1, 3), (1, 2), (0, 1), bias=False), (5, 8, 6, 2), (5, 8, 3, 3)),
        (nn.ConvTranspose2d(2, 3, 4, 2, 1), (5, 4, 3, 2), (5, 8, 6, 3)),
        (nn.ConvTranspose2d(2, 3, 3, 2, 1, output_padding=(1, 0)), (5, 4, 3, 2), (5, 8, 5, 3)),
        (nn.BatchNorm2d(2), (5, 4, 3, 2), (5, 4, 3, 2)),
        (nn.BatchNorm1d(2), (5, 2), (5, 2)),
        (nn.LayerNorm(2), (5, 2), (5, 2)),
        (nn.InstanceNorm2d(2), (5, 4, 3, 2), (5, 4, 3, 2)),
        (nn.Reshape(2, 3), (5, 6), (5, 2, 3)),
        (nn.Flatten(), (5, 2, 3), (5, 6)),
        (nn.Dropout(0.5, rng=np.random.default_rng(0)), (5, 6), (5, 6)),
    ],
    ids=repr,
)
def test_shapes_and_gradients_of_layers(layer, x, y, rng):
    x = mg.tensor(rng.normal(size=x).astype(np.float32), requires_grad=True)
    out = layer(x)
    assert out.shape == y and out.dtype == np.float32
    gradients = mg.grad(out, [x, *layer.parameters()], rng.normal(size=y).astype(np.float32))
    assert all(np.abs(g.data).max() > 0 for g in gradients)


@pytest.mark.parametrize(
    "layer, x",
    [
        (nn.Linear(3, 2), (4, 3)),
        (nn.Conv2d(2, 3, 3, 2, 1), (2, 5, 4, 2)),
        (nn.ConvTranspose2d(2, 3, 3, 2, 1, 1), (2, 3, 2, 2)),
        (nn.BatchNorm2d(3), (4, 2, 2, 3)),
        (nn.BatchNorm2d(3).eval(), (4, 2, 2, 3)),
        (nn.LayerNorm(4), (3, 4)),
        (nn.InstanceNorm2d(2), (2, 3, 3, 2)),
    ],
    ids=repr,
)
def test_derivatives_of_layers_by_input_and_parameters(layer, x, rng):
    layer.to(dtype=np.float64)
    places = [
        (module, name) for _, module in layer.named_modules() for name in ("weight", "bias") if name in vars(module)
    ]
    values = [rng.normal(size=p.shape) for p in layer.parameters()]

    def f(x, *values):
        for (module, name), value in zip(places, values):
            setattr(module, name, value)
        return layer(x)

    assert len(places) == len(values)
    assert mg.gradcheck(f, [rng.normal(size=x), *values], order=2)


def test_linear_is_a_matrix_product_plus_bias(rng):
    layer, x = nn.Linear(3, 2), rng.normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_allclose(layer(x).data, x @ layer.weight.data + layer.bias.data, rtol=1e-5, atol=1e-6)


def test_embedding_looks_up_and_sums_repeated_gradients():
    layer = nn.Embedding(4, 2)
    labels = np.array([3, 1, 3])
    y = layer(labels)
    assert (y.data == layer.weight.data[labels]).all()
    (g,) = mg.grad(y, layer.parameters(), np.float32([[1, 2], [3, 4], [5, 6]]))
    assert g.data.tolist() == [[0, 0], [3, 4], [0, 0], [6, 8]]


def test_dropout_only_in_training():
    layer, x = nn.Dropout(0.5, rng=np.random.default_rng(0)), mg.tensor(np.ones((50, 50), np.float32))
    assert set(np.unique(layer(x).data)) == {0, 2} and layer.eval()(x) is x


# -------------------------------------------------------------------------------------------------- batch norm


def test_running_statistics_are_pytorchs(rng):
    """running ← 0.9·running + 0.1·batch, with the unbiased variance, in training and only there."""
    layer = nn.BatchNorm2d(3)
    mean, var = np.zeros(3), np.ones(3)
    for _ in range(3):
        x = (rng.normal(size=(2, 3, 2, 3)) * [1, 2, 3] + [4, 5, 6]).astype(np.float32)
        layer(x)
        mean = 0.9 * mean + 0.1 * x.mean((0, 1, 2))
        var = 0.9 * var + 0.1 * x.reshape(-1, 3).var(0, ddof=1)
    np.testing.assert_allclose(layer.running_mean.data, mean, rtol=1e-5)
    np.testing.assert_allclose(layer.running_var.data, var, rtol=1e-5)
    layer.eval()
    y = layer(x)
    np.testing.assert_allclose(y.data, (x - mean) / np.sqrt(var + 1e-5), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer.running_mean.data, mean, rtol=1e-5)
    assert layer.running_var.dtype == np.float32


ACTIVATIONS = [nn.LeakyReLU(0.2), nn.LeakyReLU(), nn.ReLU()]


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
@pytest.mark.parametrize("training", [True, False])
def test_a_fused_activation_gives_the_same_numbers(activation, training, rng):
    """Sequential(norm, activation) against the two called apart: values, first and second derivatives."""
    together = nn.Sequential(nn.BatchNorm2d(3), activation).to(dtype=np.float64).train(training)
    apart = nn.BatchNorm2d(3).to(dtype=np.float64).train(training)
    for module in (together.layers[0], apart):
        module.weight.data, module.bias.data = np.array([1.0, -0.5, 2.0]), np.array([0.1, 0.2, -0.3])
        module.running_var.data = np.array([0.5, 1.0, 2.0])
    data = rng.normal(size=(4, 3, 2, 3))
    gy, ggx = rng.normal(size=data.shape), rng.normal(size=data.shape)
    results = []
    for f, norm in (
        (together, together.layers[0]),
        (lambda x: ops.leaky_relu(apart(x), slope=activation.slope), apart),
    ):
        x = mg.tensor(data, requires_grad=True)
        y = f(x)
        leaves = [x, norm.weight, norm.bias]
        first = mg.grad(y, leaves, gy)
        (gx,) = mg.grad(y, [x], gy, create_graph=True)
        second = mg.grad(gx, [x, norm.weight], ggx)
        results.append([y, *first, gx, *second, norm.running_mean, norm.running_var])
    for a, b in zip(*results):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-9, atol=1e-11)


def test_sequential_runs_every_layer_once_and_in_order(rng):
    """Also around fused pairs: norm, ReLU, norm, norm, ReLU, ReLU."""
    layers = [nn.BatchNorm1d(2), nn.ReLU(), nn.BatchNorm1d(2), nn.BatchNorm1d(2), nn.LeakyReLU(0.3), nn.ReLU(), ops.exp]
    x = mg.tensor(rng.normal(size=(6, 2)))
    model = nn.Sequential(*layers).to(dtype=np.float64)
    together, apart = model(x).data, x
    for layer in layers:
        apart = layer(apart)
    np.testing.assert_allclose(together, apart.data, rtol=1e-9)


# --------------------------------------------------------------------------------------------- beside PyTorch


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


def nchw(torch, x):
    return torch.tensor(np.ascontiguousarray(np.moveaxis(x, -1, 1)), requires_grad=True)


def nhwc(x):
    return np.moveaxis(x.detach().numpy(), 1, -1)


def near(got, want):
    np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-10)


def beside(torch, theirs, ours, x, w, permuted, seed):
    """Values and gradients of a convolution here and there; `permuted` is w's axes as PyTorch has them."""
    tx = nchw(torch, x)
    tw = torch.tensor(np.ascontiguousarray(w.transpose(permuted)), requires_grad=True)
    ty = theirs(tx, tw)
    mx, mw = mg.tensor(x, requires_grad=True), mg.tensor(w, requires_grad=True)
    my = ours(mx, mw)
    near(my.data, nhwc(ty))
    gy = np.random.default_rng(seed).normal(size=my.shape)
    ty.backward(nchw(torch, gy).detach())
    gx, gw = mg.grad(my, [mx, mw], gy)
    near(gx.data, nhwc(tx.grad))
    near(gw.data.transpose(permuted), tw.grad.numpy())


@given(case=conv_cases(), seed=st.integers(0, 99))
def test_conv2d_is_pytorchs(torch, case, seed):
    x, w = case.arrays
    theirs = lambda x, w: torch.nn.functional.conv2d(x, w, **case.options)
    beside(torch, theirs, lambda x, w: ops.conv2d(x, w, **case.options), x, w, (3, 2, 0, 1), seed)


@given(case=conv_transpose_cases(), seed=st.integers(0, 99))
def test_conv_transpose2d_is_pytorchs(torch, case, seed):
    x, w = case.arrays
    theirs = lambda x, w: torch.nn.functional.conv_transpose2d(x, w, **case.options)
    beside(torch, theirs, lambda x, w: ops.conv_transpose2d(x, w, **case.options), x, w, (3, 2, 0, 1), seed)


@given(case=norm_cases(min_dims=4), momentum=st.sampled_from([0.1, 0.5]))
def test_batch_norm_is_pytorchs(torch, case, momentum):
    x, gamma, beta = case.arrays
    theirs = torch.nn.BatchNorm2d(len(gamma), **case.options, momentum=momentum, dtype=torch.float64)
    ours = nn.BatchNorm2d(len(gamma), **case.options, momentum=momentum).to(dtype=np.float64)
    for array, t, m in ((gamma, theirs.weight, ours.weight), (beta, theirs.bias, ours.bias)):
        t.data, m.data = torch.tensor(array), array.copy()
    tx, mx = nchw(torch, x), mg.tensor(x, requires_grad=True)
    ty, my = theirs(tx), ours(mx)
    near(my.data, nhwc(ty))
    gy = np.cos(np.arange(x.size)).reshape(x.shape)
    ty.backward(nchw(torch, gy).detach())
    gx, g_gamma, g_beta = mg.grad(my, [mx, ours.weight, ours.bias], gy)
    np.testing.assert_allclose(gx.data, nhwc(tx.grad), rtol=1e-8, atol=1e-8)
    near(g_gamma.data, theirs.weight.grad.numpy())
    near(g_beta.data, theirs.bias.grad.numpy())
    near(ours.running_mean.data, theirs.running_mean.numpy())
    near(ours.running_var.data, theirs.running_var.numpy())
    near(ours.eval()(mx).data, nhwc(theirs.eval()(tx)))
