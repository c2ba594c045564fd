"""gradcheck itself: what it finds, what it lets pass, and what it says."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigan as mg
from minigan import nn, ops
from minigan.kernels import rounding
from minigan.testing import strategies
from minigan.testing.gradcheck import examine
from minigan.testing.precisions import against_float64
from minigan.testing.subject import Subject


def wrong_tanh():
    @mg.op
    def wrong(x, *, first=1.0):
        return np.tanh(x)

    def vjp(gy, y, x, first):
        slope = 1 - y.data**2
        return gy * mg.tensor(slope) * first  # first order right, its own derivative lost

    wrong.defvjp(x=vjp)
    return wrong


def test_gradcheck_finds_a_rule_that_is_right_only_once():
    x = np.linspace(-1, 1, 5)
    wrong = wrong_tanh()
    assert mg.gradcheck(wrong, [x])
    with pytest.raises(mg.GradientError, match=r"^wrong: wrong derivative of order 2 .* to x\[\d\]") as caught:
        mg.gradcheck(wrong, [x], order=2, seed=5)
    e = caught.value
    assert (e.function, e.argument, e.order, e.seed, e.analytic) == ("wrong", "x", 2, 5, 0)
    assert e.error > e.tolerance and "seed 5" in str(e)


@given(strategies.seeds, st.sampled_from([1.001, 0.0, -1.0, 0.9999]))
def test_gradcheck_finds_a_wrong_factor_for_every_seed(seed, factor):
    wrong = wrong_tanh()
    x = np.random.default_rng(seed).normal(size=4)
    with pytest.raises(mg.GradientError):
        mg.gradcheck(lambda x: wrong(x, first=factor), [x], seed=seed)


def test_gradcheck_names_the_one_wrong_element():
    @mg.op
    def copy(x):
        return x.copy()

    def vjp(gy, y, x):
        mask = np.ones(x.shape)
        mask[1, 2] = 0
        return gy * mg.tensor(mask)

    copy.defvjp(x=vjp)
    with pytest.raises(mg.GradientError, match=r"respect to x\[1, 2\]: reverse mode says 0") as caught:
        mg.gradcheck(copy, [np.ones((3, 4))])
    assert caught.value.index == (1, 2)


def test_gradcheck_uses_no_gradient_of_ones():
    """Softmax's sum is 1: against ones even the rule "zero" passes."""

    @mg.op
    def softmax(x):
        e = np.exp(x)
        return e / e.sum()

    softmax.defvjp(x=lambda gy, y, x: gy * 0.0)
    with pytest.raises(mg.GradientError):
        mg.gradcheck(softmax, [np.arange(3.0)])


def test_gradcheck_fails_on_nan():
    @mg.op
    def bad(x):
        return x * 1

    bad.defvjp(x=lambda gy, y, x: gy * np.nan)
    with pytest.raises(mg.GradientError, match="nan"):
        mg.gradcheck(bad, [np.ones(2)])


def test_gradcheck_tells_a_near_kink_from_a_wrong_rule():
    assert mg.gradcheck(ops.relu, [np.array([3e-6, -2e-6, 1.0])])


KINKED = {
    "relu": (ops.relu, 0.0),
    "leaky relu": (ops.leaky_relu, 0.0),
    "abs": (ops.abs, 0.0),
    "clip": (lambda x: ops.clip(x, low=-0.5, high=5.0), -0.5),
    "max": (lambda x: ops.max(x, axis=0), 3.0),
    "maximum": (lambda x: ops.maximum(x, x[::-1]), 3.0),
    "pooled relu": (lambda x: ops.mean(ops.relu(x)) ** 2, 0.0),
}


@pytest.mark.parametrize("f, kink", KINKED.values(), ids=KINKED)
@pytest.mark.parametrize("off", [0, 1e-12, -1e-9, 5e-8, 9.9e-8, 1e-7, 1.1e-7, -2e-7, 1e-6, 1e-5, -1e-4])
def test_a_kink_is_never_called_a_wrong_gradient(f, kink, off):
    """Near it a shorter step passes; nearer still it is a KinkError, which says so."""
    for seed in range(5):
        try:
            assert mg.gradcheck(f, [np.array([1.5, kink + off, 3.0, -2.0])], order=2, seed=seed)
        except mg.testing.KinkError as error:
            assert "has a kink at x" in str(error) and "move the input away" in str(error)
            assert abs(off) < 1e-6


def test_a_kink_is_said_to_be_one_with_both_slopes():
    with pytest.raises(mg.testing.KinkError, match=r"relu has a kink at x\[1\]: its slope .* 0 on the left"):
        mg.gradcheck(ops.relu, [np.array([1.0, 0.0])])
    with pytest.raises(mg.testing.KinkError, match=r"abs has a kink .* derivative of order 1 jumps there"):
        mg.gradcheck(ops.abs, [np.array([1.0, 0.0])], order=2)


def test_a_kink_hides_no_wrong_rule():
    @mg.op
    def rectified(x):
        return np.maximum(x, 0)

    rectified.defvjp(x=lambda gy, y, x: gy * mg.tensor(2.0 * (x.data > 0)))
    with pytest.raises(mg.GradientError, match=r"x\[[12]\]"):
        mg.gradcheck(rectified, [np.array([0.0, 1.0, 2.0, -1.0])])


def test_one_wrong_element_of_many_is_found():
    """Halving a direction leads to it in log₂ steps."""

    @mg.op
    def copy(x):
        return x.copy()

    mask = np.ones((200, 150))
    mask[123, 45] = 1.01
    copy.defvjp(x=lambda gy, y, x: gy * mg.tensor(mask))
    with pytest.raises(mg.GradientError) as caught:
        mg.gradcheck(copy, [np.ones(mask.shape)])
    assert caught.value.index == (123, 45)


def test_the_seed_draws_other_numbers_than_the_inputs_were_drawn_with():
    """With gy = x a weight gradient with both exchanged passes."""

    @mg.op
    def outer(x, w):
        return x @ w

    T = ops.transpose
    outer.defvjp(x=lambda gy, y, x, w: ops.matmul(gy, T(w)), w=lambda gy, y, x, w: ops.matmul(T(gy), x))
    rng = np.random.default_rng(3)
    x, w = rng.normal(size=(4, 2)), rng.normal(size=(2, 2))
    with pytest.raises(mg.GradientError, match="transposed"):
        mg.gradcheck(outer, [x, w], seed=3)


def block(x, w, gamma, beta):
    """What DCGAN's D is made of: a convolution that halves the image, batch norm, leaky ReLU."""
    return ops.batch_norm(ops.conv2d(x, w, stride=2, padding=1), gamma, beta, slope=0.2)


def dcgan_sized(seed):
    rng = np.random.default_rng(seed)
    x, w = rng.normal(size=(4, 16, 16, 64)), rng.normal(size=(4, 4, 64, 128)) * 0.02
    return [x, w, rng.uniform(0.5, 1.5, 128), rng.normal(size=128)]


def test_a_block_of_dcgans_own_size_is_checked_to_order_2_in_less_than_a_second():
    """Among 32,768 outputs some lie near the kink, and any direction crosses a few: no seed may stumble over them."""
    mg.gradcheck(block, dcgan_sized(0), order=2)  # compiles
    times = []
    for seed in range(8):
        inputs, start = dcgan_sized(seed), time.perf_counter()
        assert mg.gradcheck(block, inputs, order=2, seed=seed)
        times.append(time.perf_counter() - start)
    assert sorted(times)[4] < 1, times


# ------------------------------------------------------------------------------------------------------ modules


def test_a_modules_parameters_are_checked_by_name_and_left_alone():
    layer = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.LeakyReLU(0.2))
    before = layer.state_dict()
    x = np.random.default_rng(0).normal(size=(3, 4, 4, 2))
    names = [f.argument for f in examine(Subject(layer, [x]))]
    assert names == ["x", "0.weight", "0.bias", "1.weight", "1.bias"]
    assert mg.gradcheck(layer, [x.astype(np.float32)], order=2)
    after = layer.state_dict()
    assert before.keys() == after.keys()
    assert all((before[k] == after[k]).all() and after[k].dtype == np.float32 for k in before)


def test_a_wrong_parameter_gradient_is_named():
    class Scaled(nn.Module):
        def __init__(self):
            self.inner = nn.Linear(3, 2)
            self.scale = nn.init.parameter(np.ones(2))

        def forward(self, x):
            return self.inner(x) * self.scale.detach() + 0 * self.scale

    with pytest.raises(mg.GradientError, match=r"^Scaled: .* with respect to scale\[\d\](.|\n)*zero everywhere"):
        mg.gradcheck(Scaled(), [np.ones((4, 3))])


def test_a_parameter_that_is_shared_or_forgotten():
    class Shared(nn.Module):
        def __init__(self, use):
            self.a = self.b = nn.init.parameter(np.ones(3))
            self.c = nn.init.parameter(np.ones(3))
            self.use = use

        def forward(self, x):
            y = x * self.a + ops.exp(self.b)
            return y + self.c if self.use else y

    assert mg.gradcheck(Shared(True), [np.ones(3)], order=2)
    with pytest.raises(ValueError, match="the result of Shared does not depend on c"):
        mg.gradcheck(Shared(False), [np.ones(3)])


def test_gradcheck_refuses_a_function_that_changes_its_input():
    def greedy(x):
        x.data += 1
        return x * 2

    with pytest.raises(ValueError, match="greedy changes its input x in place"):
        mg.gradcheck(greedy, [np.ones(3)])
    with pytest.raises(TypeError, match=r"got tuple; check one at a time: lambda \*xs: split\(\*xs\)\[0\]"):
        mg.gradcheck(split, [np.ones(3)])


def split(x):
    return x[:1], x[1:]


def test_an_error_says_how_to_repeat_the_check():
    with pytest.raises(mg.GradientError) as caught:
        mg.gradcheck(wrong_tanh(), [np.ones(3)], order=2, seed=9)
    assert str(caught.value).endswith("To repeat: mg.gradcheck(wrong, inputs, order=2, seed=9)")
    assert "raw array" in caught.value.diagnosis


def test_gradcheck_holds_integers_fixed_and_promotes_float32():
    assert mg.gradcheck(lambda x, i: ops.take(x, i), [np.ones((3, 2), np.float32), np.array([0, 2, 2])], order=2)


@pytest.mark.parametrize(
    "f, xs, error, message",
    [
        (lambda x: (x, x), [np.ones(2)], TypeError, "must return one tensor, got tuple"),
        (lambda x: 3.0, [np.ones(2)], TypeError, "must return one tensor, got float"),
        (lambda x: x.detach(), [np.ones(2)], ValueError, "does not depend on any input"),
        (lambda x, b: x * 2, [np.ones(2), np.ones(3)], ValueError, "does not depend on b; leave it out"),
        (lambda i: i, [np.arange(2)], ValueError, "no floating input to differentiate by, got int64"),
        (lambda: 0, [], ValueError, "no floating input to differentiate by, got none"),
        (lambda x: x.to(dtype=np.float32) * 1, [np.ones(2)], TypeError, "must compute in float64, .* is float32"),
    ],
)
def test_gradcheck_says_what_it_cannot_check(f, xs, error, message):
    with pytest.raises(error, match=rf"gradcheck: .*lambda \(test_gradcheck.py:\d+\).*{message}"):
        mg.gradcheck(f, xs)


def test_gradcheck_wants_a_function_that_repeats_itself(rng):
    with pytest.raises(ValueError, match="gives other numbers when called again"):
        mg.gradcheck(lambda x: ops.dropout(x, rate=0.5, rng=rng), [np.ones(50)])
    with pytest.raises(ValueError, match="order must be 1 or more, got 0"):
        mg.gradcheck(ops.exp, [np.ones(2)], order=0)


# ---------------------------------------------------------------------------- float32 and coarser, against float64


def test_precisions_pass_a_layer_with_kinks_and_batch_statistics(rng):
    block = nn.Sequential(nn.Conv2d(2, 4, 3, rng=rng), nn.BatchNorm2d(4), nn.LeakyReLU(0.2))
    found = list(against_float64(Subject(block, [rng.normal(size=(2, 6, 6, 2))])))
    assert {c.precision for c in found} == set(rounding.KNOWN)
    assert {c.what for c in found} == {"y", "x", *(name for name, _ in block.named_parameters())}
    assert all(c.passed for c in found)


@pytest.mark.parametrize("fault", ["y", "gradient"])
def test_precisions_find_a_kernel_that_is_wrong_in_float32_alone(rng, fault):
    @mg.op
    def scale(x):
        return x * (1.2 if x.dtype == np.float32 and fault == "y" else 1)

    scale.defvjp(x=lambda gy, y, x: gy * (1.2 if x.dtype == np.float32 and fault == "gradient" else 1))
    subject = Subject(scale, [rng.normal(size=(3, 4))])
    assert {c.what for c in against_float64(subject) if not c.passed} == {"y" if fault == "y" else "x"}


def test_precisions_refuse_a_layer_that_leaves_float32(rng):
    factor = mg.tensor(rng.normal(size=(2, 4)))
    with pytest.raises(TypeError, match="makes float64 of float32 inputs; is there a constant of float64 in it"):
        list(against_float64(Subject(lambda x: x * factor, [rng.normal(size=(2, 4))])))
