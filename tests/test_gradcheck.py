"""gradcheck itself: what it finds, what it lets pass, and what it says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigan as mg
from minigan import ops
from minigan.testing import strategies


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


def test_gradcheck_holds_integers_fixed_and_promotes_float32():
    assert mg.gradcheck(lambda x, i: ops.take(x, i), [np.ones((3, 2), np.float32), np.array([0, 2, 2])], order=2)


@pytest.mark.parametrize(
    "f, xs, error, message",
    [
        (lambda x: (x, x), [np.ones(2)], TypeError, "must return one tensor, got tuple"),
        (lambda x: 3.0, [np.ones(2)], TypeError, "must return one tensor, got float"),
        (lambda x: x.detach(), [np.ones(2)], ValueError, "does not depend on any input"),
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
