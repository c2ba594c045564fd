"""anomaly(): find the op that made the first NaN or infinity.

Inside `with mg.anomaly():` every op's result, and every gradient in the reverse sweep, is looked at. The first value
that is not finite raises mg.AnomalyError with the op's name and the line of the caller's code that ran it.

Stands on NumPy alone; autograd.py asks it. Not for everyday use: it keeps a line of source for every tensor.
"""

import contextlib
import os
import traceback
import weakref
from pathlib import Path

import numpy as np

from .kernels.rounding import floating

active = False
_lines = weakref.WeakKeyDictionary()  # tensor -> the user's line that made it
_PACKAGE = str(Path(__file__).parent) + os.sep


class AnomalyError(FloatingPointError):
    """The first non-finite value.  what: the op and what it gave; line: the caller's line that ran the op forward."""

    def __init__(self, what, line):
        super().__init__(f"{what}; made by {line}")
        self.what, self.line = what, line


@contextlib.contextmanager
def anomaly():
    """Context that raises AnomalyError at the first non-finite value, forward or backward."""
    global active
    before, active = active, True
    try:
        with np.errstate(all="ignore"):  # NumPy's warnings would say the same, without the line
            yield
    finally:
        active = before


def check_output(name, y):
    """Remember the line that made y, and raise if y is not finite."""
    line = _users_line()
    _lines[y] = line
    bad = _non_finite(y.data)
    if bad:
        raise AnomalyError(f"{name}: its result has {bad} (shape {y.shape})", line)


def check_gradients(node, gradients):
    """Raise if the gradient that a node just passed to one of its inputs is not finite."""
    for x in node.inputs:
        bad = _non_finite(gradients[x].data) if x in gradients else None
        if bad:
            what = f"{node.op.name}: the gradient that it passes back has {bad} (shape {x.shape})"
            raise AnomalyError(what, _line(node))


def in_gradient(node, error):
    """The error of an op that a VJP ran, told as an error of the node whose VJP it was, with the node's line."""
    return AnomalyError(f"{node.op.name}: in its gradient, {error.what}", _line(node))


def _line(node):
    return _lines.get(node, "a line outside of anomaly()")


def _non_finite(array):
    if not floating(array.dtype):
        return None
    bad = int(array.size - np.isfinite(array).sum())
    return f"{bad} of {array.size} values that are NaN or infinite" if bad else None


def _users_line():
    for frame in reversed(traceback.extract_stack()[:-2]):
        if not frame.filename.startswith(_PACKAGE):
            return f"{frame.filename}:{frame.lineno}: {frame.line}"
    return "an unknown line"
