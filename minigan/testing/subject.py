"""What gradcheck checks: a function of float64 tensors, each with a name, and what keeps a function from being checked.

An op, a layer and a lambda become the same thing here. A module's parameters are arguments like the others, under the
names of `named_parameters`; its buffers (running means) are copies at every call, so that a check leaves no trace.
Inputs that lie on a GPU are moved there at every call: the function runs on its device, the check on the CPU.

Stands on autograd.py, ops/ and nn/module.py. Read gradcheck.py next.
"""

import inspect
from pathlib import Path

import numpy as np

from ..autograd import Op, _history
from ..nn import Module
from ..ops import copy_to
from ..tensor import Tensor


class Subject:
    """f and its arguments: `label` and `names` to speak of them, `xs` to call it with (inputs, then parameters)."""

    def __init__(self, f, inputs):
        inputs = [inputs] if isinstance(inputs, Tensor | np.ndarray) else list(inputs)
        self.f, self.count = f, len(inputs)
        self.label, self.names = _names(f, len(inputs))
        self.device = next((x.device for x in inputs if isinstance(x, Tensor) and x.device != "cpu"), "cpu")
        self.xs = [promoted(x) for x in inputs]
        self.slots = _slots(f) if isinstance(f, Module) else []
        self.parameters = {}  # tensor of the module: its place among xs
        if isinstance(f, Module):
            for name, x in f.named_parameters():
                self.parameters[x] = len(self.xs)
                self.names.append(name)
                self.xs.append(promoted(x))

    def __call__(self, *xs, dtype=np.float64):
        """f at these arguments; dtype: what they are in, and so the module's buffers."""
        places = [(home, name, home[name]) for home, name in self.slots]
        xs = [self._on(self.device, x) for x in xs]
        copies = {
            x: xs[self.parameters[x]] if x in self.parameters else self._on(self.device, promoted(x, dtype))
            for _, _, x in places
        }
        try:
            for home, name, x in places:
                home[name] = copies[x]
            with np.errstate(all="ignore"):  # what is not finite is reported with its place
                return self._on("cpu", self.f(*xs[: self.count]))
        finally:
            for home, name, x in places:
                home[name] = x

    def _on(self, device, x):
        """x there, differentiably; what is not a tensor is found out later."""
        return x if self.device == "cpu" or not isinstance(x, Tensor) else copy_to(x, device=device)

    def check(self):
        """ValueError or TypeError, in one sentence, for what no gradient check can be made of."""
        if not any(x.requires_grad for x in self.xs):
            kinds = ", ".join(str(x.dtype) for x in self.xs) or "none"
            raise ValueError(f"gradcheck: {self.label} has no floating input to differentiate by, got {kinds}")
        before = [x.data.copy() for x in self.xs]
        y = self(*self.xs)
        self._check_result(y)
        for name, x, old in zip(self.names, self.xs, before):
            if not np.array_equal(x.data, old, equal_nan=x.dtype.kind == "f"):
                raise ValueError(f"gradcheck: {self.label} changes its input {name} in place; let it make a new array")
        if not np.allclose(y.data, self(*self.xs).data, rtol=1e-9, equal_nan=True):
            raise ValueError(
                f"gradcheck: {self.label} gives other numbers when called again; fix its random draws "
                f"(dropout? call .eval(), or make its generator inside the function)"
            )
        self._check_dependence(y)

    def _check_result(self, y):
        if not isinstance(y, Tensor):
            hint = f"; check one at a time: lambda *xs: {self.label}(*xs)[0]" if isinstance(y, tuple | list) else ""
            raise TypeError(f"gradcheck: {self.label} must return one tensor, got {type(y).__name__}{hint}")
        if y.dtype != np.float64:
            raise TypeError(
                f"gradcheck: {self.label} must compute in float64, its result is {y.dtype}; are weights float32? "
                f"Give the module itself, or weights.to(dtype='float64')"
            )
        if not y.requires_grad:
            raise ValueError(
                f"gradcheck: the result of {self.label} does not depend on any input (detach, no_grad, .data?)"
            )

    def _check_dependence(self, y):
        """Neither the graph nor the numbers know an input: more likely forgotten than meant."""
        reached = {y, *(x for node in _history(y) for x in node.inputs)}
        for i, (name, x) in enumerate(zip(self.names, self.xs)):
            if x.requires_grad and x.size and x not in reached:
                moved = [*self.xs[:i], promoted(x.data + 0.1 + 0.1 * np.abs(x.data)), *self.xs[i + 1 :]]
                if np.array_equal(self(*moved).data, y.data, equal_nan=True):
                    raise ValueError(f"gradcheck: the result of {self.label} does not depend on {name}; leave it out")


def promoted(x, dtype=np.float64):
    """A leaf with a copy of x's numbers: floating ones in float64 and differentiated, others held fixed."""
    x = x.numpy() if isinstance(x, Tensor) else np.asarray(x)
    x = np.array(x, dtype if x.dtype.kind == "f" else x.dtype)
    return Tensor(x, requires_grad=x.dtype.kind == "f")


def _slots(module):
    """(attributes, name) of every place in a module that holds a tensor."""
    return [
        (vars(part), name)
        for _, part in module.named_modules()
        for name, value in vars(part).items()
        if isinstance(value, Tensor)
    ]


def _names(f, count):
    """What to call f and its arguments in a message."""
    label = getattr(f, "__name__", type(f).__name__)
    if label == "<lambda>":
        code = getattr(f, "function", f).__code__  # an op's, or its own
        label = f"lambda ({Path(code.co_filename).name}:{code.co_firstlineno})"
    if isinstance(f, Op):
        names = [f"{f.variadic}[{i}]" for i in range(count)] if f.variadic else list(f.arguments)
    else:
        try:
            parameters = inspect.signature(f.forward if isinstance(f, Module) else f).parameters.values()
            names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        except (TypeError, ValueError):
            names = []
    return label, names[:count] + [f"inputs[{i}]" for i in range(len(names), count)]
