"""Every op: its values against NumPy, its derivatives to order 3 against differences, in float64 and float32.

The rows of ops/table.py are walked, and the table is held against the library: an op without a row fails here.
"""

import importlib
import inspect
import itertools
import pkgutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigan as mg
from minigan import ops
from minigan.autograd import Op, _history
from minigan.ops import table
from minigan.ops.matmul import linear_composite, linear_fused
from minigan.testing import gradcheck, strategies

ROWS = {str(row): row for row in table.rows}
every_row = pytest.mark.parametrize("row", table.rows, ids=str)


def ops_of_the_library():
    """{name: Op} of every op that a module of minigan.ops defines or uses."""
    modules = [importlib.import_module(f"minigan.ops.{m.name}") for m in pkgutil.iter_modules(ops.__path__)]
    return {op.name: op for module in modules for _, op in inspect.getmembers(module, lambda v: isinstance(v, Op))}


def ops_in(y):
    return {node.op.name for node in _history(y) if node.op}


def inputs(row, dtype=np.float64, seed=0):
    drawn = row.draw(np.random.default_rng(seed))
    return [mg.tensor(x.astype(dtype), requires_grad=True) if x.dtype.kind == "f" else mg.tensor(x) for x in drawn]


# ------------------------------------------------------------------------------------------- the table is whole


def test_rows_are_named_apart():
    assert len(ROWS) == len(table.rows)


def test_every_public_op_has_a_row():
    assert set(ops.__all__) <= {row.name for row in table.rows}


def test_every_op_object_has_a_row_that_runs_it():
    library = ops_of_the_library()
    assert {"conv2d", "put", "join", "batch_norm_fused", "leaky_relu_gradient", "matrix_product"} <= library.keys()
    for name in library:
        runs = [row for row in table.rows if row.name == name and name in ops_in(row.function(*inputs(row)))]
        assert runs, f"no row of ops/table.py runs {name}"


def test_every_vjp_is_run_by_the_rows_of_its_op(monkeypatch):
    ran = set()
    library = ops_of_the_library()
    for op in library.values():
        for argument, rule in list(op.vjps.items()):

            def counted(*args, _key=(op.name, argument), _rule=rule, **options):
                ran.add(_key)
                return _rule(*args, **options)

            monkeypatch.setitem(op.vjps, argument, counted)
    for row, recorded in itertools.product(table.rows, (False, True)):  # a fused op has VJPs for the recorded sweep
        xs = inputs(row)
        mg.grad(row.function(*xs).sum(), [x for x in xs if x.requires_grad], create_graph=recorded)
    assert ran == {(op.name, argument) for op in library.values() for argument in op.vjps}


def test_every_argument_of_every_op_has_a_vjp():
    held_fixed = {("where", "condition")}
    for op in ops_of_the_library().values():
        if not hasattr(op, "composite"):
            wanted = {op.variadic} if op.variadic else set(op.arguments)
            assert wanted - op.vjps.keys() == {a for name, a in held_fixed if name == op.name}, op.name


# ---------------------------------------------------------------------------------------------- derivatives


@every_row
@pytest.mark.parametrize("order", [1, 2, 3])
def test_derivatives(row, order, device):
    xs = [mg.tensor(x, device=device) for x in row.draw(np.random.default_rng(order))]
    assert gradcheck(row.function, xs, order=order, seed=order)


@every_row
def test_float32_stays_float32_and_near_float64(row, rng):
    narrow, wide = inputs(row, np.float32), inputs(row)
    ys = row.function(*narrow), row.function(*wide)
    gy = rng.normal(size=ys[0].shape)
    gradients = [
        mg.grad(y, [x for x in xs if x.requires_grad], gy.astype(y.dtype)) for y, xs in zip(ys, (narrow, wide))
    ]
    for got, want in zip([ys[0], *gradients[0]], [ys[1], *gradients[1]]):
        assert got.dtype == np.float32 and got.shape == want.shape
        scale = max(1.0, np.abs(want.data).max(initial=0))
        np.testing.assert_allclose(got.data, want.data, rtol=0, atol=3e-5 * scale)


@every_row
def test_the_inputs_are_left_as_they_were(row):
    xs = inputs(row)
    before = [x.data.copy() for x in xs]
    y = row.function(*xs)
    mg.grad(y.sum(), [x for x in xs if x.requires_grad])
    assert all((x.data == b).all() for x, b in zip(xs, before))


@every_row
def test_a_row_of_a_fused_op_runs_its_fused_derivative(row):
    """First derivatives recorded (the composite, or VJPs) and not recorded (the kernel) are the same numbers."""
    xs = inputs(row)
    wanted = [x for x in xs if x.requires_grad]
    y = row.function(*xs)
    gy = np.random.default_rng(1).normal(size=y.shape)
    for a, b in zip(mg.grad(y, wanted, gy), mg.grad(y, wanted, gy, create_graph=True)):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0, 1.5])
def test_the_vjps_of_the_linear_layer_are_those_of_its_composite(slope, rng):
    xs = [mg.tensor(rng.normal(size=s), requires_grad=True) for s in ((5, 3), (3, 4), (4,))]
    gy, v = rng.normal(size=(5, 4)), [rng.normal(size=x.shape) for x in xs]
    found = []
    for layer in (linear_fused, linear_composite):
        y = layer(*xs, slope=slope)
        gxs = mg.grad(y, xs, gy, create_graph=True)
        second = mg.grad(sum(ops.sum(gx * w) for gx, w in zip(gxs, v)), xs)
        found.append([y, *gxs, *second])
    for a, b in zip(*found):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-12, atol=1e-14)


@given(strategies.conv_cases())
def test_conv2d_of_any_shape(case):
    gradcheck(lambda x, w: ops.conv2d(x, w, **case.options), case.arrays, order=2)


@given(strategies.conv_transpose_cases())
def test_conv_transpose2d_of_any_shape(case):
    gradcheck(lambda x, w: ops.conv_transpose2d(x, w, **case.options), case.arrays, order=2)


@given(strategies.conv_cases(), strategies.seeds)
def test_conv2d_weight_of_any_shape(case, seed):
    x, w = case.arrays
    g = np.random.default_rng(seed).normal(size=ops.conv2d(x, w, **case.options).shape)
    gradcheck(lambda x, g: ops.conv2d_weight(x, g, kernel_size=w.shape[:2], **case.options), [x, g], order=2)


@given(strategies.conv_cases(max_kernel=2, max_outputs=2, max_channels=2, max_batch=2))
def test_conv2d_to_order_three(case):
    gradcheck(lambda x, w: ops.conv2d(x, w, **case.options), case.arrays, order=3)


@given(strategies.norm_cases(), st.sampled_from([1.0, 0.2, 0.0]))
def test_batch_norm_of_any_shape(case, slope):
    gradcheck(lambda x, g, b: ops.batch_norm(x, g, b, slope=slope, **case.options), case.arrays, order=3)


@given(strategies.norm_cases(min_dims=3), st.sampled_from([ops.layer_norm, ops.instance_norm]))
def test_other_norms_of_any_shape(case, norm):
    x, gamma, beta = case.arrays
    if norm is ops.layer_norm:  # one value behind a statistic: the output is β whatever x is
        x, gamma, beta = (np.concatenate([a, a + 1, a - 0.5], -1) for a in (x, gamma, beta))
    else:
        x = np.concatenate([x, x[::-1] + 1, x * 0.5 - 1], 1)
    gradcheck(lambda x, g, b: norm(x, g, b, eps=1e-2), [x, gamma, beta], order=3)


@given(strategies.broadcastable(), st.data())
def test_arithmetic_of_any_broadcast(both, data):
    a, b = (data.draw(strategies.arrays_away_from_kinks(shape)) for shape in both)
    for op in (ops.add, ops.subtract, ops.multiply, ops.divide):
        gradcheck(op, [a, b], order=2)


@given(strategies.broadcastable(max_dims=2), st.tuples(*[st.integers(1, 4)] * 3), st.data())
def test_matmul_of_any_batch(batches, sizes, data):
    m, k, n = sizes
    a = data.draw(strategies.arrays((*batches[0], m, k)))
    b = data.draw(strategies.arrays((*batches[1], k, n)))
    np.testing.assert_allclose(ops.matmul(a, b).data, a @ b, rtol=1e-12, atol=1e-12)
    gradcheck(ops.matmul, [a, b], order=3)


def test_a_block_of_dcgan_to_order_three(rng):
    """Convolution, batch norm, leaky ReLU: what D is made of, as the gradient penalty differentiates it."""

    def block(x, w, gamma, beta):
        y = ops.conv2d(x, w, stride=2, padding=1)
        return ops.batch_norm(y, gamma, beta, slope=0.2)

    gamma, beta = rng.uniform(0.3, 0.6, 3), np.array([2.0, -2.0, 3.0])
    x, w = rng.normal(size=(3, 4, 4, 2)), rng.normal(size=(4, 4, 2, 3))
    assert gradcheck(block, [x, w, gamma, beta], order=3)


def test_the_gradient_of_a_gradient_penalty(rng):
    """E (|∇D(x)| - 1)² differentiated by D's weights: Gulrajani et al. 2017, equation 3."""

    def penalty(x, w1, w2):
        h = ops.leaky_relu(ops.conv2d(x, w1, stride=2, padding=1), slope=0.2)
        y = ops.tanh(ops.matmul(ops.reshape(h, shape=(len(x), -1)), w2))
        (gx,) = mg.grad(y.sum(), [x], create_graph=True)
        norm = ops.sqrt((gx * gx).sum(axis=(1, 2, 3)))
        return ((norm - 1) ** 2).mean()

    x, w1, w2 = rng.normal(size=(3, 4, 4, 2)), rng.normal(size=(4, 4, 2, 3)), rng.normal(size=(12, 1)) / 3
    assert gradcheck(penalty, [x, w1, w2], order=2)


# --------------------------------------------------------------------------------------------- values

VALUES = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": lambda a, b=None: a * (a if b is None else b),
    "divide": np.divide,
    "negative": np.negative,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "tanh": np.tanh,
    "abs": np.abs,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softplus": lambda x: np.log1p(np.exp(x)),
    "relu": lambda x: np.maximum(x, 0),
    "maximum": np.maximum,
    "minimum": np.minimum,
    "where": lambda c, a, b=0.0: np.where(c, a, b),
    "softmax-": lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True),
    "log_softmax-": lambda x: np.log(np.exp(x) / np.exp(x).sum(-1, keepdims=True)),
    "logsumexp-axis (0, -1)": lambda x: np.log(np.exp(x).sum((0, -1))),
    "sum-axis (0, -1)": lambda x: x.sum((0, -1)),
    "mean-axis -1 keepdims True": lambda x: x.mean(-1, keepdims=True),
    "max-axis 1": lambda x: x.max(1),
    "power-exponent -1.5": lambda x: x**-1.5,
    "clip": lambda x: np.clip(x, -0.75, 0.75),
    "transpose-axes": lambda x: x.transpose(1, 2, 0),
    "swapaxes": lambda x: x.swapaxes(0, -1),
    "sum_to-": lambda x: x.sum((0, 2))[:, None],
    "getitem-repeated beside a slice": lambda x: x[:, [1, 1, -1]],
    "take-last axis": lambda x: x[:, [1, 0, 1]],
    "stack-last axis": lambda a, b: np.stack([a, b], -1),
    "concatenate-": lambda *xs: np.concatenate(xs),
    "pad-": lambda x: np.pad(x, 1),
    "pad-reflect": lambda x: np.pad(x, ((0, 0), (2, 1), (1, 1)), mode="reflect"),
    "avg_pool2d-": lambda x: x.reshape(2, 2, 2, 1, 2, 2).mean((2, 4)),
    "upsample_nearest2d-": lambda x: x.repeat(2, 1).repeat(2, 2),
    "layer_norm": lambda x, g, b: (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * g + b,
    "instance_norm": lambda x, g, b: (
        (x - x.mean((1, 2), keepdims=True)) / np.sqrt(x.var((1, 2), keepdims=True) + 1e-5) * g + b
    ),
    "batch_norm-": lambda x, g, b: (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-5) * g + b,
}


@pytest.mark.parametrize("key", VALUES)
def test_values(key):
    """A key names all rows of an op, or with a dash the one row of that note."""
    name, dash, note = key.partition("-")
    rows = [row for row in table.rows if row.name == name and (not dash or row.note == note)]
    assert rows
    for row in rows:
        arrays = row.draw(np.random.default_rng(0))
        np.testing.assert_allclose(
            row.function(*map(mg.tensor, arrays)).data, VALUES[key](*arrays), rtol=1e-11, atol=1e-12
        )


def test_conv2d_is_the_sum_that_its_page_says(rng):
    """Seven loops over the definition, shared with no kernel."""
    (s0, s1), (p0, p1) = (2, 1), (1, 2)
    x, w = rng.normal(size=(2, 4, 3, 2)), rng.normal(size=(3, 2, 2, 3))
    y = ops.conv2d(x, w, stride=(s0, s1), padding=(p0, p1)).data
    want = np.zeros((2, 2, 6, 3))
    for n, i, j, k in np.ndindex(want.shape):
        for r, t, c in np.ndindex(3, 2, 2):
            row, column = i * s0 + r - p0, j * s1 + t - p1
            if 0 <= row < 4 and 0 <= column < 3:
                want[n, i, j, k] += x[n, row, column, c] * w[r, t, c, k]
    np.testing.assert_allclose(y, want, rtol=1e-12, atol=1e-12)


@given(strategies.conv_cases(), strategies.seeds)
def test_the_conv_triangle_is_one_number(case, seed):
    """<conv2d(x, w), g> = <x, conv_transpose2d(g, w)> = <w, conv2d_weight(x, g)>."""
    x, w = (mg.tensor(a, requires_grad=True) for a in case.arrays)
    y = ops.conv2d(x, w, **case.options)
    g = np.random.default_rng(seed).normal(size=y.shape)
    gx, gw = mg.grad(y, [x, w], g)
    s = (y.data * g).sum()
    np.testing.assert_allclose([(gx.data * x.data).sum(), (gw.data * w.data).sum()], [s, s], rtol=1e-10, atol=1e-10)


def test_extreme_inputs_stay_finite():
    x = mg.tensor(np.array([-1e4, -50.0, 0.0, 50.0, 1e4]), requires_grad=True)
    for op in (ops.softplus, ops.sigmoid, ops.tanh, ops.softmax, ops.log_softmax, ops.logsumexp):
        y = op(x)
        (gx,) = mg.grad(y, [x], np.arange(1.0, 1 + y.size).reshape(y.shape))
        assert np.isfinite(y.data).all() and np.isfinite(gx.data).all(), op
    assert ops.softplus(x).data[-1] == 1e4 and ops.sigmoid(x).data[0] == 0 and ops.logsumexp(x).item() == 1e4


def test_ties_share_the_gradient():
    a, b = mg.tensor([1.0, 2.0], requires_grad=True), mg.tensor([1.0, 0.0], requires_grad=True)
    for op, want in ((ops.maximum, [[1.5, 5], [1.5, 0]]), (ops.minimum, [[1.5, 0], [1.5, 5]])):
        assert [g.data.tolist() for g in mg.grad(op(a, b), [a, b], np.float32([3, 5]))] == want
    x = mg.tensor([[4.0, 4.0, 1.0]], requires_grad=True)
    assert mg.grad(x.max(axis=1), [x], np.float32([6]))[0].data.tolist() == [[3, 3, 0]]


def test_dropout_keeps_the_mean_and_its_mask(rng):
    x = mg.tensor(np.ones((200, 200)), requires_grad=True)
    y = ops.dropout(x, rate=0.25, rng=rng)
    assert set(np.unique(y.data)) == {0, 1 / 0.75} and abs(y.mean().item() - 1) < 0.02
    assert (mg.grad(y.sum(), [x])[0].data == y.data).all()


def test_copy_to_brings_the_gradient_back_in_the_inputs_dtype():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    y = (x * 1.0).to(dtype=np.float64)
    assert y.dtype == np.float64
    (gx,) = mg.grad(y, [x], np.array([3.0, 4.0]))
    assert gx.dtype == np.float32 and gx.data.tolist() == [3, 4]


# ------------------------------------------------------------------------------------- operators of Tensor


@pytest.mark.parametrize(
    "f",
    [
        lambda a: a + 2, lambda a: 2 + a, lambda a: a - 2, lambda a: 2 - a, lambda a: a * 2, lambda a: 2 * a,
        lambda a: a / 2, lambda a: 2 / a, lambda a: -a, lambda a: abs(a), lambda a: a**2, lambda a: a**-1,
        lambda a: a[1:, 0], lambda a: a.T, lambda a: a.reshape(-1), lambda a: a.reshape((3, 2)), lambda a: a.sum(0),
        lambda a: a.mean(axis=1), lambda a: a.max(axis=0, keepdims=True), lambda a: a.transpose(1, 0),
        lambda a: a @ a.T, lambda a: np.float64(2) * a, lambda a: np.ones((2, 3)) - a, lambda a: a - np.ones(3),
    ],
)  # fmt: skip
def test_operators_mean_what_numpys_do(f):
    x = np.array([[1.0, -2.0, 3.0], [0.5, 4.0, -0.7]])
    y = f(mg.tensor(x, requires_grad=True))
    assert isinstance(y, mg.Tensor) and y.requires_grad
    np.testing.assert_allclose(y.data, f(x), rtol=1e-14)
    assert gradcheck(f, [x], order=2)
    assert f(mg.tensor(x.astype(np.float32))).dtype == np.float32


def test_power_with_a_tensor_exponent(rng):
    assert gradcheck(lambda a, b: a**b, [rng.uniform(0.5, 2, 4), rng.normal(size=4)], order=3)


def test_comparisons_give_masks():
    x = mg.tensor([1.0, 2.0, 3.0])
    assert [(m.data.tolist(), m.requires_grad) for m in (x > 2, x >= 2, x < 2, x <= mg.tensor([0.0, 2, 4]))] == [
        ([False, False, True], False), ([False, True, True], False), ([True, False, False], False),
        ([False, True, True], False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "f", [lambda x: ops.relu(x[0]), lambda x: ops.leaky_relu(x.mean() - 1), lambda x: x.max() * x[1]]
)
def test_results_without_axes_are_arrays_like_all_others(f, rng):
    """NumPy's own functions turn () arrays into numbers, which no kernel takes."""
    x = mg.tensor(rng.normal(size=3) + 3, requires_grad=True)
    y = f(x)
    assert type(y.data) is np.ndarray and y.shape == () and type(y.numpy()) is np.ndarray
    assert gradcheck(f, [x], order=2)
    f(x).backward()
    f(x).backward()
    np.testing.assert_allclose(x.grad, 2 * mg.grad(f(x), [x])[0].data)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigmoid_keeps_its_digits_where_it_is_next_to_zero(dtype):
    """A generator's gradient in the minimax game is σ of a logit that a good D makes very negative."""
    logits = mg.tensor(np.array([-80.0, -30.0, -17.5, 0.0, 20.0, 80.0], dtype), requires_grad=True)
    wide = logits.numpy().astype(np.float64)
    exact, rest = np.exp(-np.logaddexp(0, -wide)), np.exp(-np.logaddexp(0, wide))
    close = {"rtol": 8 * np.finfo(dtype).eps}
    np.testing.assert_allclose(ops.sigmoid(logits).numpy(), exact, **close)
    (slope,) = mg.grad(ops.sum(ops.softplus(logits)), [logits], create_graph=True)
    np.testing.assert_allclose(slope.numpy(), exact, **close)
    (curvature,) = mg.grad(ops.sum(slope), [logits])
    np.testing.assert_allclose(curvature.numpy(), exact * rest, **close)
    extremes = ops.sigmoid(mg.tensor(np.array([-1e4, 1e4, np.nan], dtype))).numpy()
    assert extremes[0] == 0 and extremes[1] == 1 and np.isnan(extremes[2]) and extremes.dtype == dtype
