"""The engine: what is recorded, what is computed backwards, what is freed, and what it says when a rule is wrong."""

import gc
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigan as mg
from minigan import ops
from minigan.autograd import fused
from minigan.testing import strategies


def leaf(*values, dtype=np.float64):
    return mg.tensor(np.array(values, dtype), requires_grad=True)


def live_tensors():
    return sum(type(x) is mg.Tensor for x in gc.get_objects())


# ---------------------------------------------------------------------------------------- what grad gives


def test_a_tensor_used_twice_gets_both_gradients():
    x = leaf(3.0)
    (gx,) = mg.grad(x * x + 2 * x, [x])
    assert gx.data.tolist() == [8]


def test_a_diamond_is_walked_once_per_node():
    """Forty doublings by addition: a sweep that follows paths instead of nodes takes 2^40 steps."""
    y = x = leaf(1.0)
    for _ in range(40):
        y = y + y
    assert mg.grad(y, [x])[0].item() == 2.0**40


def test_intermediate_and_upstream_tensors_at_once():
    x = leaf(1.0, 2.0)
    h = x * x
    y = ops.exp(h) + x
    gy, gh, gx = mg.grad(y, [y, h, x], np.array([1.0, 10.0]))
    np.testing.assert_allclose(gy.data, [1, 10])
    np.testing.assert_allclose(gh.data, np.exp([1, 4]) * [1, 10])
    np.testing.assert_allclose(gx.data, (np.exp([1, 4]) * [2, 4] + 1) * [1, 10])


def test_gradients_come_in_the_order_of_xs_and_twice_for_a_tensor_named_twice():
    a, b = leaf(2.0), leaf(5.0)
    assert [g.item() for g in mg.grad(a * b, [b, a, b])] == [2, 5, 2]


def test_what_y_does_not_depend_on_gets_zeros():
    x, other = leaf(1.0), leaf(1.0, 2.0, dtype=np.float32)
    gx, zero = mg.grad(x * 2, [x, other])
    assert gx.item() == 2 and zero.data.tolist() == [0, 0] and zero.dtype == np.float32


def test_the_incoming_gradient_is_used():
    x = leaf(1.0, 2.0, 3.0)
    gy = np.array([0.5, -1.0, 4.0])
    np.testing.assert_allclose(mg.grad(x**3, [x], gy)[0].data, 3 * x.data**2 * gy)


def test_create_graph_records_the_sweep_and_only_then():
    x = leaf(2.0)
    assert not mg.grad(x**4, [x])[0].requires_grad
    y, derivatives = x**4, []
    for _ in range(5):
        (y,) = mg.grad(y, [x], create_graph=True)
        derivatives.append(y.item())
    assert derivatives == [32, 48, 48, 24, 0]


def test_the_derivative_by_the_incoming_gradient():
    """A gradient is linear in gy, and recorded as such: what a Hessian-vector product needs."""
    x, gy = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (gx,) = mg.grad(x**2, [x], gy, create_graph=True)
    (back,) = mg.grad(gx, [gy], np.array([1.0, 1.0]))
    np.testing.assert_allclose(back.data, 2 * x.data)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=8), strategies.seeds)
def test_a_random_graph(choices, seed):
    """Any composition of smooth ops over a growing pool of tensors has right first and second derivatives."""
    moves = [
        lambda a, b: a * b,
        lambda a, b: a + b,
        lambda a, b: ops.tanh(a - b),
        lambda a, b: ops.sigmoid(a) * b,
        lambda a, b: a / (b * b + 1.0),
        lambda a, b: ops.softplus(b),
    ]

    def f(x, y):
        rng, pool = np.random.default_rng(seed), [x, y]
        for choice in choices:
            a, b = (pool[i] for i in rng.integers(len(pool), size=2))
            pool.append(moves[choice](a, b))
        return pool[-1] + x * y

    mg.gradcheck(f, list(np.random.default_rng(seed).normal(size=(2, 3))), order=2, seed=seed)


# ------------------------------------------------------------------------------------ what is not computed


def calls(monkeypatch, op):
    """A list that grows by the inputs of each call of an op."""
    found, function = [], op.function
    monkeypatch.setattr(op, "function", lambda *xs, **options: found.append(xs) or function(*xs, **options))
    return found


def small_gan(rng):
    nn = mg.nn
    G = nn.Sequential(nn.Linear(3, 8), nn.Reshape(2, 2, 2), nn.ConvTranspose2d(2, 1, 4, 2, 1), nn.Tanh())
    D = nn.Sequential(nn.Conv2d(1, 2, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(2, 1, 2))
    return G, D, mg.tensor(rng.normal(size=(4, 3)).astype(np.float32))


def test_a_generator_step_forms_no_weight_gradient_of_the_discriminator(monkeypatch, rng):
    G, D, z = small_gan(rng)
    found = calls(monkeypatch, ops.conv2d_weight)
    loss = ops.softplus(-D(G(z))).mean()
    gradients = mg.grad(loss, G.parameters())
    assert len(found) == 1  # of G's one transposed convolution
    assert all(np.abs(g.data).max() > 0 for g in gradients)
    mg.grad(loss, D.parameters())
    assert len(found) == 3


def test_a_discriminator_step_on_detached_samples_stops_at_them(monkeypatch, rng):
    G, D, z = small_gan(rng)
    transposed = calls(monkeypatch, ops.conv_transpose2d)
    mg.grad(ops.softplus(D(G(z).detach())).mean(), D.parameters())
    assert len(transposed) == 2  # G forward, and back through D's second layer; never through the first, nor G


def test_no_grad_records_nothing(rng):
    x = leaf(1.0)
    with mg.no_grad():
        y = x * 2
        with mg.no_grad():
            pass
        assert not (x * 2).requires_grad
    assert y.op is None and not y.requires_grad and (x * 2).requires_grad


def test_no_grad_ends_with_an_exception():
    with pytest.raises(KeyError), mg.no_grad():
        raise KeyError
    assert (leaf(1.0) * 2).requires_grad


def test_detach_cuts_and_shares_the_array():
    x = leaf(3.0)
    cut = (x * x).detach()
    assert not cut.requires_grad
    assert mg.grad(cut * x, [x])[0].item() == 9
    assert x.detach().data is x.data


# ------------------------------------------------------------------------------------------------ backward


def test_backward_adds_to_grad():
    x, y = leaf(3.0), leaf(4.0)
    (x * y).backward()
    (x * y).backward()
    assert x.grad.tolist() == [8] and y.grad.tolist() == [6] and isinstance(x.grad, np.ndarray)


def test_backward_reaches_leaves_only_and_gives_each_its_own_array():
    a, b = leaf(1.0), leaf(1.0)
    h = a + b
    (h * 2).backward()
    assert h.grad is None and a.grad is not b.grad
    a.grad += 5
    assert b.grad.tolist() == [2]


def test_backward_takes_an_incoming_gradient():
    x = leaf(1.0, 2.0)
    (x * x).backward(np.array([1.0, 10.0]))
    assert x.grad.tolist() == [2, 40]


# ------------------------------------------------------------------------------------------- depth and memory


def test_a_chain_of_100_000_ops():
    x = leaf(1.0, dtype=np.float32)
    y = x
    for _ in range(100_000):
        y = y + 1.0
    assert mg.grad(y, [x])[0].item() == 1
    drawn = str(mg.graph(y))
    assert drawn.count("\n") == 99_999 and mg.graph(y).dot().count("->") == 200_000
    del y  # freed from the end to the start, without recursion


def test_freeing_a_deep_graph_does_not_overflow_a_small_stack():
    kilobytes = 256 if sys.version_info < (3, 13) else 1024  # CPython 3.13 lets itself nest 10,000 frames of C
    program = f"""
import threading, numpy as np, minigan as mg
def deep():
    y = x = mg.tensor(np.ones(1), requires_grad=True)
    for _ in range(30_000): y = mg.ops.tanh(y) + y
    mg.grad(y, [x], create_graph=True)
threading.stack_size({kilobytes} * 1024)
t = threading.Thread(target=deep); t.start(); t.join(); print("freed")
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert run.stdout == "freed\n", run.stderr


def test_graphs_are_freed_by_reference_counting_alone(rng):
    """No reference cycles: a training step's memory comes back when its loss goes, not when gc gets to it."""
    G, D, z = small_gan(rng)
    norm = mg.nn.BatchNorm2d(1)

    def step(create_graph):
        fake = norm(G(z))
        (gx,) = mg.grad(D(fake).sum(), [fake], create_graph=create_graph)
        if create_graph:
            mg.grad((gx * gx).mean(), D.parameters())
        ops.softplus(D(fake)).mean().backward()
        for module in (G, D, norm):
            module.zero_grad()

    step(True)
    gc.collect()
    gc.disable()
    try:
        before = live_tensors()
        for create_graph in (False, True):
            step(create_graph)
            assert live_tensors() == before
    finally:
        gc.enable()


# -------------------------------------------------------------------------------------------------- own ops


def test_an_op_of_ones_own():
    @mg.op
    def scale(x, *, by):
        """x times a constant."""
        return x * by

    scale.defvjp(x=lambda gy, y, x, by: gy * by)
    assert scale.name == "scale" and scale.__doc__ == "x times a constant."
    assert mg.gradcheck(lambda x: scale(x, by=3.0), [np.ones(3)], order=3)


def test_an_op_with_several_arguments_and_a_default():
    @mg.op
    def blend(a, b, *, share=0.25):
        return share * a + (1 - share) * b

    blend.defvjp(
        a=lambda gy, y, a, b, share: gy * share,
        b=lambda gy, y, a, b, share: gy * (1 - share),
    )
    a, b = leaf(1.0), leaf(2.0)
    assert [g.item() for g in mg.grad(blend(a, b), [a, b])] == [0.25, 0.75]
    assert [g.item() for g in mg.grad(blend(a, b, share=0.5), [a, b])] == [0.5, 0.5]
    assert mg.gradcheck(blend, [np.ones(2), np.zeros(2)], order=2)


def test_a_variadic_op():
    @mg.op
    def total(*xs, power):
        return sum(x**power for x in xs)

    total.defvjp(xs=lambda gy, y, *xs, index, power: gy * power * ops.power(xs[index], exponent=power - 1))
    assert mg.gradcheck(lambda a, b, c: total(a, b, c, power=3), [np.full(2, n) for n in (1.0, 2.0, 3.0)], order=3)


def test_a_fused_op_without_its_own_derivative_differentiates_its_composite():
    @fused(lambda x, *, by: ops.tanh(x) * by)
    def scaled_tanh(x, *, by):
        return np.tanh(x) * by

    assert mg.gradcheck(lambda x: scaled_tanh(x, by=2.0), [np.array([0.3, -1.0])], order=3)


def test_a_missing_vjp_is_named():
    @mg.op
    def opaque(x):
        return x

    x = leaf(1.0)
    with pytest.raises(NotImplementedError, match=r"opaque: has no VJP for its argument 'x'; give one"):
        mg.grad(opaque(x), [x])


@pytest.mark.parametrize(
    "rule, got",
    [
        (lambda gy, y, x: gy.sum(), "() float64"),
        (lambda gy, y, x: gy.to(dtype=np.float32), "(2,) float32"),
        (lambda gy, y, x: gy.reshape(1, 2), "(1, 2) float64"),
    ],
)
def test_a_vjp_of_the_wrong_shape_or_dtype_is_named(rule, got):
    @mg.op
    def mine(x):
        return x * 2

    mine.defvjp(x=rule)
    x = leaf(1.0, 2.0)
    with pytest.raises(ValueError, match=re.escape(f"mine: the VJP for 'x' returned {got}, but x is (2,) float64")):
        mg.grad(mine(x), [x], np.ones(2))


def test_a_wrong_gradient_of_a_variadic_op_names_its_position():
    @mg.op
    def pack(*xs):
        return np.concatenate(xs)

    pack.defvjp(xs=lambda gy, y, *xs, index: gy)
    a, b = leaf(1.0), leaf(2.0)
    with pytest.raises(ValueError, match=r"pack: the VJP for 'xs\[1\]' returned \(2,\)"):
        mg.grad(pack(a, b), [b], np.ones(2))


# ------------------------------------------------------------------------------------------------- dtypes


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x * 2, lambda x: 2.0 - x, lambda x: x / np.float64(3), lambda x: x + np.ones(2), lambda x: x**2,
        lambda x: x * np.arange(2), lambda x: ops.where(x > 0, x, 0.0), lambda x: ops.maximum(x, 0.5),
        lambda x: ops.where(np.array([True, False]), 1, x), lambda x: ops.clip(x, low=0, high=1.5), lambda x: x - True,
        lambda x: ops.softplus(x).mean(), lambda x: ops.dropout(x, rate=0.5, rng=np.random.default_rng(0)),
        lambda x: ops.sigmoid(x), lambda x: ops.logsumexp(x),
        lambda x: ops.batch_norm(x.reshape(2, 1), np.ones(1), np.zeros(1)),
    ],
)  # fmt: skip
def test_constants_do_not_widen_float32(f):
    x = leaf(0.3, 2.0, dtype=np.float32)
    y = f(x)
    (gx,) = mg.grad(y, [x], np.ones(y.shape, np.float32), create_graph=True)
    assert y.dtype == gx.dtype == np.float32


# ------------------------------------------------------------------------------------------------ anomaly


def test_anomaly_names_the_op_and_the_line_forward():
    x = leaf(-1.0, 4.0)
    with mg.anomaly(), pytest.raises(mg.AnomalyError) as caught:
        ops.log(x)  # the line
    text = str(caught.value)
    assert text.startswith("log: its result has 1 of 2 values that are NaN or infinite (shape (2,))")
    assert "test_autograd.py" in text and "ops.log(x)  # the line" in text


def test_anomaly_names_the_op_and_its_forward_line_backward():
    x = leaf(0.0, 4.0)
    with mg.anomaly(), pytest.raises(mg.AnomalyError) as caught:
        y = ops.sqrt(x)  # finite here, infinite backwards
        mg.grad(y.sum(), [x])
    text = str(caught.value)
    assert text.startswith("sqrt: in its gradient, divide: its result has 1 of 2 values that are NaN or infinite")
    assert "y = ops.sqrt(x)  # finite here" in text


def test_anomaly_names_an_op_whose_vjp_made_the_value_without_an_op():
    @mg.op
    def mine(x):
        return x * 1

    mine.defvjp(x=lambda gy, y, x: mg.tensor(np.full(x.shape, np.inf)))
    x = leaf(1.0)
    with (
        mg.anomaly(),
        pytest.raises(mg.AnomalyError, match=r"^mine: the gradient that it passes .*# here"),
    ):
        y = mine(x)  # here
        mg.grad(y, [x])


def test_anomaly_names_a_fused_op_with_its_line():
    x = leaf(1.0, 2.0, 4.0).reshape(3, 1)
    with mg.anomaly(), pytest.raises(mg.AnomalyError) as caught:
        y = ops.batch_norm(x, leaf(1e200), leaf(0.0))  # the norm
        mg.grad(y, [x], np.full((3, 1), 1e200), create_graph=True)
    assert str(caught.value).startswith("batch_norm_fused: in its gradient, ") and "# the norm" in str(caught.value)


def test_anomaly_is_off_outside_and_after_an_exception():
    with mg.anomaly(), pytest.raises(mg.AnomalyError):
        ops.log(leaf(-1.0))
    with np.errstate(invalid="ignore"):
        assert np.isnan(ops.log(mg.tensor(np.array(-1.0))).item())
