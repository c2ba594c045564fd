"""Planted faults: gradcheck finds every one, at the order where it is wrong, and says what it is.

The whole sweep, with 50 seeds and 1,000 for false alarms, is `python -m minigan faults`; here are a few of each.
"""

import numpy as np
import pytest

import minigan as mg
from minigan import ops
from minigan.ops import table
from minigan.testing import faults
from minigan.testing.planted import FAULTS

NAMED = {fault.name: fault for fault in FAULTS}
SAID = {
    "7 times too large": "7 times too large everywhere",
    "the sign of a subtraction": "right but for its sign",
    "zero everywhere": "zero everywhere",
    "missing unbroadcast": "the sum over the axes that broadcasting stretched is missing",
    "mean instead of sum in unbroadcast": "6 times too small",
    "swapped arguments": "given to b: two arguments are exchanged",
    "transpose forgotten": r"transposed \(axes \(1, 0\)\)",
    "kernel not flipped": "right with w flipped along axes 0 and 1",
    "kernel flipped along one axis": "right with w flipped along axis 1",
    "weight gradient flipped": "in the wrong place: flipped along axes 0 and 1",
    "channels exchanged in the transposed convolution": r"right with w transposed \(axes \(0, 1, 3, 2\)\)",
    "x and gy exchanged in the weight gradient": r"transposed \(axes \(0, 1, 3, 2\)\)",
    "matmul without the transpose": "right with b transposed",
    "getitem one row off": "rolled by one along axis 0",
    "mean without 1/n": "24 times too large",
    "NaN in one element": "not finite in 1 of 6 elements",
    "logsumexp without max subtraction": "the function itself is not finite",
    "wrong dtype": "changes the dtype from float64 to float32",
    "gy overwritten in place": "writes into an array that is not its own",
    "gy squared": "not linear in gy",
    "straight-through rounding": "does not change with this argument",
    "batch norm with ones for gy": "hand-written derivative .* ones where gy belongs",
    "batch norm without its mean term": "hand-written derivative .* off by a constant along axes 0 and 1 and 2",
    "variance held fixed in batch norm's composite": "only the composite",
    "a detached mean": "off by a constant along axis 1",
    "softmax without its coupling term": "the term that couples its elements is missing",
    "clip lets gradients through outside": "of 12 elements are wrong",
    "raw y in tanh": "right at order 1 but constant at order 2: a raw array",
    "raw gy": "right at order 1 but constant at order 2: a raw array",
    "raw half of sigmoid's product": "order 1 is right",
    "raw array two derivatives down": "order 2 is right",
}


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_planted_fault_is_caught_at_its_order(fault):
    for seed in range(3):
        error = faults.catch(fault, seed)
        assert error is not None, f"escaped with seed {seed}"
        assert error.order == fault.order


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.order > 1], ids=str)
def test_a_fault_of_a_higher_order_is_right_below_it(fault):
    assert faults.catch(fault._replace(order=fault.order - 1), 0) is None


@pytest.mark.parametrize("name", SAID)
def test_the_diagnosis_names_the_fault(name):
    error = faults.catch(NAMED[name], 1)
    assert error.diagnosis and error.diagnosis in str(error)
    with pytest.raises(mg.GradientError, match=SAID[name]):
        raise error


def test_faults_have_names_of_their_own_and_are_many():
    assert len(NAMED) == len(FAULTS) >= 40


def test_a_planted_fault_is_taken_out_again():
    rules = {op: dict(op.vjps) for op in vars(ops).values() if hasattr(op, "vjps")}
    for fault in FAULTS:
        with pytest.raises(ZeroDivisionError), fault.plant():
            raise ZeroDivisionError
    assert rules == {op: op.vjps for op in rules}
    assert mg.gradcheck(lambda x: x * x, [np.ones(3)], order=2)


def test_right_ops_raise_no_alarm():
    found = [faults.alarm(row, seed) for row in table.rows for seed in (11, 12)]
    assert found == [None] * len(found)


def test_the_sweep_counts_what_escapes_and_what_is_alarming(monkeypatch):
    right = faults.Fault("right", 1, ops.tanh, table.normal((3,)))
    wrong = table.Row("wrong", "", lambda x: ops.tanh(ops.tanh(x).detach()) + 0 * x, table.normal((3,)))
    monkeypatch.setattr("minigan.testing.planted.FAULTS", [NAMED["7 times too large"], right])
    monkeypatch.setattr(table, "rows", [table.rows[0], wrong])
    score = faults.sweep(seeds=2, alarms=3)
    assert score.escaped == [("right", 0), ("right", 1)]
    assert [(name, seed) for name, seed, _ in score.alarms] == [("wrong", 0), ("wrong", 1), ("wrong", 2)]
    assert str(score) == "caught 1 of 2 with each of 2 seeds; false alarms 3 of 6 checks (2 right ops x 3 seeds)"
