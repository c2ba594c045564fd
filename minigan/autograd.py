"""Op and grad: reverse-mode differentiation, to any order.

An op is an array function with one VJP (vector-Jacobian product) per array argument. A VJP takes and returns tensors
and calls only ops, so what it computes can be differentiated again: gradients of gradients need no second mechanism.
`create_graph` only says whether the reverse sweep is recorded.

    x ──op──▶ y ──op──▶ loss          forward: each op makes a tensor that remembers its inputs
    gx ◀─vjp── gy ◀─vjp── 1           reverse: newest tensor first, each vjp turns gy into the inputs' gradients

Stands on tensor.py. Read ops/elementwise.py for the first ops, ops/conv.py for the ones that matter.
"""

import contextlib
import inspect
import itertools
import operator
import re

import numpy as np

from . import anomaly as anomalies
from . import device as devices
from .kernels.gpu import out_of_memory
from .kernels.rounding import floating
from .tensor import Tensor

_recording = True
_next_serial = itertools.count(1).__next__
_by_age = operator.attrgetter("serial")
_names_a_function = re.compile(r"[a-z]\w*: ").match


class Op:
    """An array function that tensors can be differentiated through.  Use it as the decorator `@op`.

    Positional arguments are arrays, keyword-only arguments are options:

        @op
        def scale(x, *, by): return x * by
        scale.defvjp(x=lambda gy, y, x, by: gy * by)
    """

    def __init__(self, function):
        parameters = inspect.signature(function).parameters.values()
        self.function, self.name, self.__doc__ = function, function.__name__, function.__doc__
        self.__name__, self.__module__, self.__wrapped__ = function.__name__, function.__module__, function
        self.arguments = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        self.variadic = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), None)
        self.defaults = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is not p.empty}
        self.vjps = {}

    def __call__(self, *inputs, **options):
        recorded = False
        arrays = []
        for x in inputs:
            if x.__class__ is not Tensor:
                return self(*_as_tensors(self, inputs), **options)
            arrays.append(x.data)
            if x.requires_grad:
                recorded = _recording
        if self.defaults:
            options = self.defaults | options
        try:
            data = self.function(*arrays, **options)
        except Exception as error:
            raise _explained(self, inputs, options, error) from error
        y = Tensor(np.asarray(data) if isinstance(data, np.generic) else data, recorded)  # NumPy makes () a number
        if recorded:
            y.op = self
            y.inputs = inputs
            y.options = options
            y.serial = _next_serial()
        if anomalies.active:
            anomalies.check_output(self.name, y)
        return y

    def defvjp(self, **vjps):
        """Give the VJP of each argument that has one: vjp(gy, y, *inputs, **options) -> a tensor of that input's shape.

        A variadic argument `*xs` has one rule for all: vjp(gy, y, *inputs, index, **options).
        """
        unknown = set(vjps) - {*self.arguments, self.variadic}
        if unknown:
            raise TypeError(f"{self.name}.defvjp: no argument {sorted(unknown)}; the arguments are {self.arguments}")
        self.vjps.update(vjps)
        return self

    def pullback(self, gy, y, needed):
        """Pairs (input, its gradient) for the inputs of y that are in the set `needed`."""
        inputs = y.inputs
        pairs = []
        for i, x in enumerate(inputs):
            if x in needed:
                if self.variadic:
                    pairs.append((x, self._rule(self.variadic)(gy, y, *inputs, index=i, **y.options)))
                else:
                    pairs.append((x, self._rule(self.arguments[i])(gy, y, *inputs, **y.options)))
        return pairs

    def _rule(self, argument):
        try:
            return self.vjps[argument]
        except KeyError:
            raise NotImplementedError(
                f"{self.name}: has no VJP for its argument {argument!r}; "
                f"give one with {self.name}.defvjp({argument}=...)"
            ) from None

    def __repr__(self):
        return f"<op {self.name}>"


op = Op


class Fused(Op):
    """An op with a hand-written forward and first derivative, and a composite definition made of other ops.

    composite   the same function of tensors; the page to read first, the test oracle, and what higher
                derivatives differentiate, unless it has VJPs that need not compute it again
    backward    array function (gy, y, *inputs, needs, **options) -> the inputs' gradients, in one go
    """

    composite = backward = None

    def pullback(self, gy, y, needed):
        if not _recording and self.backward is not None:
            arrays = [x.data for x in y.inputs]
            needs = [x in needed for x in y.inputs]
            try:
                gradients = self.backward(gy.data, y.data, *arrays, needs=needs, **y.options)
            except MemoryError as error:
                raise _explained(self, y.inputs, y.options, error) from error
            return [(x, Tensor(g)) for x, g, wanted in zip(y.inputs, gradients, needs) if wanted]
        if self.vjps:
            return super().pullback(gy, y, needed)
        with _record(True):
            inputs = [identity(x) for x in y.inputs]
            again = self.composite(*inputs, **y.options)
        wanted = [(x, alias) for x, alias in zip(y.inputs, inputs) if x in needed]
        found = grad(again, [alias for _, alias in wanted], gy, create_graph=_recording)
        return [(x, gx) for (x, _), gx in zip(wanted, found)]


def fused(composite):
    """Decorate an array function as the fast form of `composite`; attach its first derivative with `.backward = f`."""

    def decorate(function):
        made = Fused(function)
        made.composite = composite
        return made

    return decorate


@op
def identity(x):
    """x itself: another name for the same values, with its own place in the graph."""
    return x


identity.defvjp(x=lambda gy, y, x: gy)


@contextlib.contextmanager
def _record(on):
    global _recording
    before, _recording = _recording, on
    try:
        yield
    finally:
        _recording = before


def no_grad():
    """Context in which ops are computed but not recorded: `with mg.no_grad(): sample = G(z)`."""
    return _record(False)


def grad(y, xs, gy=None, *, create_graph=False):
    """The gradients Σ gy·∂y/∂x of a tensor with respect to tensors.

    y              a tensor; of one element unless gy is given
    xs             the tensors to differentiate by (parameters, or any tensor that y was made from)
    gy             the incoming gradient, of y's shape; default 1
    create_graph   record the sweep, so that the result can be differentiated again
    → a list of tensors, one for each of xs, in order; zeros where y does not depend on x

    Only what lies between y and xs is computed: a generator's step never forms the discriminator's weight gradients.
    Source: the reverse mode of Griewank and Walther, Evaluating Derivatives, chapter 3.
    """
    xs = _targets(xs)
    gradients = {y: _incoming(y, gy)}
    targets = set(xs)
    history, needed = _between(targets, y)
    with _record(create_graph):
        for node in reversed(history):
            gy = gradients.get(node) if node in targets else gradients.pop(node, None)
            if gy is None:
                continue
            try:
                pairs = node.op.pullback(gy, node, needed)
            except anomalies.AnomalyError as error:
                raise anomalies.in_gradient(node, error) from None
            for x, gx in pairs:
                if gx.data.shape != x.data.shape or (gx.data.dtype is not x.data.dtype and gx.dtype != x.dtype):
                    raise _wrong_gradient(node, x, gx)
                gradients[x] = gradients[x] + gx if x in gradients else gx
            if anomalies.active:
                anomalies.check_gradients(node, gradients)
    return [gradients[x] if x in gradients else Tensor(_zeros_like(x.data)) for x in xs]


def _between(targets, y):
    """The tensors on a path from the targets to y: (those made by ops, oldest first; all of them)."""
    history, needed = [], set(targets)
    for node in _history(y, since=min((x.serial for x in targets), default=0)):
        for x in node.inputs:  # oldest first: inputs are judged before what is made of them
            if x in needed:
                needed.add(node)
                history.append(node)
                break
    return history, needed


def _history(y, since=0):
    """The recorded tensors that y was made from, y included, oldest first: creation order is a topological order.

    What is not younger than the serial number `since` cannot depend on a tensor of that number and is left out.
    """
    if y.serial <= since:
        return []
    seen, found = {y}, [y]
    for node in found:
        for x in node.inputs:
            if x.serial > since and x not in seen:
                seen.add(x)
                found.append(x)
    found.sort(key=_by_age)
    return found


def backward(y, gy=None):
    """Accumulate ∂y/∂leaf into `.grad` of every leaf with requires_grad that y was made from."""
    leaves = [x for x in {x: None for node in _history(y) for x in node.inputs} if x.op is None and x.requires_grad]
    if y.op is None and y.requires_grad:
        leaves = [y]
    if not leaves:
        raise ValueError("backward: y was made from no tensor with requires_grad=True (or under no_grad)")
    for x, gx in zip(leaves, grad(y, leaves, gy)):
        if x.grad is None:
            x.grad = gx.data.copy()
        else:
            x.grad += gx.data


Tensor.backward = backward


def as_tensor(x, like=None):
    """x if it is a tensor, else a constant; a number takes the dtype and device of the tensor `like`."""
    if isinstance(x, Tensor):
        return x
    xp = np if like is None else devices.array_module(like.data)
    if like is not None and floating(like.dtype) and type(x) in (int, float):
        return Tensor(xp.asarray(x, like.dtype))  # one kernel on a GPU
    if getattr(x, "ndim", 0):
        xp = devices.array_module(x)  # an array stays where it is: the op says that devices are mixed
    x = xp.asarray(x)
    if like is not None and x.dtype.kind in "fiu" and floating(like.dtype):
        x = x.astype(like.dtype, copy=False)
    return Tensor(x)


def _as_tensors(op, inputs):
    """Inputs where some are plain numbers or arrays: these are constants in the dtype of the first floating tensor."""
    if any(isinstance(x, list | tuple | str | dict) or x is None for x in inputs):
        kinds = ", ".join(type(x).__name__ for x in inputs)
        raise TypeError(f"{op.name}: wants tensors or arrays ({', '.join(op.arguments) or op.variadic}), got {kinds}")
    tensors = [x for x in inputs if isinstance(x, Tensor)]
    like = max(tensors, key=lambda x: floating(x.dtype), default=None)  # a mask does not say the dtype of a number
    return [as_tensor(x, like) for x in inputs]


def _incoming(y, gy):
    if gy is None:
        if y.data.size != 1:
            raise ValueError(
                f"grad: y has shape {y.shape}; give gy of that shape, or differentiate a scalar (a mean, a sum)"
            )
        return Tensor(devices.array_module(y.data).ones(y.shape, y.dtype))
    gy = as_tensor(gy, like=y)
    if gy.shape != y.shape or gy.dtype != y.dtype:
        raise ValueError(f"grad: gy is {gy.shape} {gy.dtype} but y is {y.shape} {y.dtype}")
    return gy


def _targets(xs):
    if isinstance(xs, Tensor):
        raise TypeError("grad: xs wants a list of tensors: grad(y, [x])")
    xs = list(xs)
    for i, x in enumerate(xs):
        if not isinstance(x, Tensor):
            raise TypeError(f"grad: xs[{i}] is a {type(x).__name__}, wants a tensor")
        if not x.requires_grad:
            raise ValueError(f"grad: xs[{i}] (shape {x.shape}) has requires_grad=False, so nothing was recorded for it")
    return xs


def _zeros_like(array):
    return devices.array_module(array).zeros(array.shape, array.dtype)


def _wrong_gradient(node, x, gx):
    index = next(i for i, other in enumerate(node.inputs) if other is x)
    argument = node.op.arguments[index] if index < len(node.op.arguments) else f"{node.op.variadic}[{index}]"
    floats = sorted({str(other.dtype) for other in node.inputs if floating(other.dtype)})
    if gx.shape == x.shape and len(floats) > 1:
        return TypeError(
            f"{node.op.name}: its inputs mix {' and '.join(floats)}, so that {argument} ({x.dtype}) would get a "
            f"{gx.dtype} gradient; convert one of them with .to(dtype=...)"
        )
    got, wanted = f"{gx.shape} {gx.dtype}", f"{x.shape} {x.dtype}"
    return ValueError(f"{node.op.name}: the VJP for {argument!r} returned {got}, but {argument} is {wanted}")


def _explained(op, inputs, options, error):
    """The same error; one that does not name its function yet gets the op, its shapes and dtypes in front."""
    text = str(error)
    mixed = {x.device for x in inputs}
    if len(mixed) > 1:
        places = ", ".join(f"{name} on {x.device}" for name, x in zip(op.arguments or itertools.count(), inputs))
        return ValueError(
            f"{op.name}: inputs are on different devices ({places}); move one with .to('cuda') or .to('cpu')"
        )
    if isinstance(error, MemoryError) and mixed == {"cuda"}:
        full = out_of_memory(error, max((len(x) for x in inputs if x.ndim), default=1))
        return full if full is error else MemoryError(f"{op.name}: {full}")
    if _names_a_function(text) or not isinstance(error, ValueError | TypeError | IndexError):
        return error
    if len(inputs) != len(op.arguments) and not op.variadic:
        wants = ", ".join(op.arguments) + "".join(f", {name}=..." for name in op.defaults)
        return TypeError(f"{op.name}: got {len(inputs)} array(s), wants ({wants}); options are keywords")
    got = ", ".join(f"{x.shape} {x.dtype}" for x in inputs)
    got += "".join(f", {k}={v!r}" for k, v in options.items() if not hasattr(v, "shape"))
    return type(error)(f"{op.name}: {text} (inputs {got})")
