"""Module: a function with parameters, and the names by which they are saved.

A tensor that is an attribute of a module is part of its state: with requires_grad it is a parameter, without it a
buffer (a running mean). Modules, and lists of modules, that are attributes are walked in the order they were set, so
that names read as the code does: "critic.conv.weight", and "0.weight" in a Sequential.

Stands on ops/ and tensor.py. Read layers.py next.
"""

import numpy as np

from .. import device as devices
from .. import kernels
from ..autograd import as_tensor
from ..ops.shape import in_dtype
from ..tensor import Tensor


class Module:
    """Base class: write `__init__` that sets tensors and modules as attributes, and `forward`."""

    training = True

    def forward(self, *inputs):
        raise NotImplementedError(f"{type(self).__name__}: write forward(self, ...)")

    def __call__(self, *inputs, **options):
        return self.forward(*inputs, **options)

    def named_modules(self, prefix=""):
        """(name, module) for this module and all below it, parents first."""
        yield prefix.removesuffix("."), self
        for name, child in self._children():
            yield from child.named_modules(f"{prefix}{name}.")

    def _children(self):
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value
            elif isinstance(value, list | tuple):
                yield from ((f"{name}.{i}", item) for i, item in enumerate(value) if isinstance(item, Module))

    def named_tensors(self):
        """(name, tensor) for all parameters and buffers; a tensor reached by two ways is named once."""
        seen = set()
        for prefix, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, Tensor) and value not in seen:
                    seen.add(value)
                    yield f"{prefix}.{name}" if prefix else name, value

    def named_parameters(self):
        """(name, tensor) for what an optimiser may change."""
        return ((name, x) for name, x in self.named_tensors() if x.requires_grad)

    def parameters(self):
        """The list of parameters, in the order of named_parameters."""
        return [x for _, x in self.named_parameters()]

    def zero_grad(self):
        """Forget the gradients that backward() accumulated."""
        for x in self.parameters():
            x.grad = None

    def train(self, mode=True):
        """Set this module and all below it to training (batch statistics, dropout); returns the module."""
        for _, module in self.named_modules():
            module.training = mode
        return self

    def eval(self):
        """Set this module and all below it to evaluation (running statistics, no dropout); returns the module."""
        return self.train(False)

    def to(self, device=None, dtype=None):
        """Move parameters and buffers to a device and dtype, in place; returns the module."""
        for _, x in self.named_tensors():
            x.data = Tensor.to(x, device, dtype).data
            x.grad = None
        return self

    def state_dict(self):
        """{name: NumPy array} of all parameters and buffers: a snapshot, not views."""
        return {name: np.array(x.numpy()) for name, x in self.named_tensors()}

    def load_state_dict(self, state):
        """Take over what state_dict gave, in place. ValueError, and nothing changed, if names or shapes do not fit."""
        mine = dict(self.named_tensors())
        missing, unknown = sorted(mine.keys() - state.keys()), sorted(state.keys() - mine.keys())
        if missing or unknown:
            parts = [f"{what} {', '.join(n[:4])}{', ...' if len(n) > 4 else ''}" for what, n in
                     (("lacks", missing), ("has unknown", unknown)) if n]  # fmt: skip
            raise ValueError(f"load_state_dict: the state {' and '.join(parts)} for {type(self).__name__}")
        for name, x in mine.items():
            if np.shape(state[name]) != x.shape:
                raise ValueError(f"load_state_dict: {name} is {np.shape(state[name])} in the state, wants {x.shape}")
        for name, x in mine.items():
            x.data[...] = devices.move(np.asarray(state[name], x.dtype), x.device)

    def __repr__(self):
        lines = [f"({name}): {child!r}".replace("\n", "\n  ") for name, child in self._children()]
        inside = "".join(f"\n  {line}" for line in lines) + "\n" * bool(lines)
        return f"{type(self).__name__}({self.describe()}{inside})"

    def describe(self):
        """What the constructor was given, for repr."""
        return ""


class Sequential(Module):
    """Modules one after another.

    A batch norm or linear layer followed by a ReLU or leaky ReLU runs as one kernel: the layer is told the slope, the
    activation is skipped. The numbers are the same.

    Under mg.precision("bf16"), on a GPU, all that lies between the layers is bf16: half the traffic. What comes in and
    out, parameters and their gradients stay float32.
    """

    def __init__(self, *layers):
        for i, layer in enumerate(layers):
            if not callable(layer):
                raise TypeError(f"Sequential: layer {i} is a {type(layer).__name__}, wants a Module or a function")
        self.layers = list(layers)

    def forward(self, x):
        x = as_tensor(x)
        dtype = kernels.activations(x.data)
        return self._run(x) if x.dtype == dtype else in_dtype(self._run(in_dtype(x, dtype)), x.dtype)

    def _run(self, x):
        i = 0
        while i < len(self.layers):
            layer, following = self.layers[i], self.layers[i + 1] if i + 1 < len(self.layers) else None
            if getattr(layer, "fuses_slope", False) and getattr(following, "slope", -1.0) >= 0:
                x = layer(x, slope=following.slope)
                i += 2
            else:
                x = layer(x)
                i += 1
        return x

    def _children(self):
        return ((str(i), layer) for i, layer in enumerate(self.layers) if isinstance(layer, Module))

    def __getitem__(self, i):
        return self.layers[i]

    def __len__(self):
        return len(self.layers)

    def __iter__(self):
        return iter(self.layers)
