"""Optimisers: SGD, RMSprop and Adam, each one pass over all parameters.

`step(grads)` takes the list that `mg.grad` returns, in the order of the parameters; `step()` takes each parameter's
`.grad`. Parameters are changed in place. `state_dict` holds everything that the next step depends on.

Stands on kernels/ (`adam`, `rmsprop`, `sgd`). Read gan/algorithm1.py next.
"""

import numpy as np

from . import device as devices
from . import kernels
from .tensor import Tensor


class Optimiser:
    """Base class: keeps the parameters and, for each name in `slots`, one array per parameter."""

    slots = ()

    def __init__(self, params, lr, **settings):
        self.params = list(params)
        if not self.params or not all(isinstance(p, Tensor) and p.requires_grad for p in self.params):
            raise ValueError(f"{type(self).__name__}: params wants tensors with requires_grad, at least one")
        if not lr >= 0:
            raise ValueError(f"{type(self).__name__}: lr must be 0 or more, got {lr}")
        self.lr, self.settings, self._made = lr, settings, _counter(self.params[0].data)
        self.state = {slot: [np.zeros_like(p.data, order="C") for p in self.params] for slot in self.slots}

    @property
    def steps(self):
        """How many steps were made."""
        return int(self._made)

    def step(self, grads=None):
        """Change every parameter by one update; grads: tensors or arrays in the order of the parameters."""
        arrays = self._arrays([p.grad for p in self.params] if grads is None else list(grads))
        chosen = [i for i, g in enumerate(arrays) if g is not None]
        self._made += 1
        params = [self._contiguous(self.params[i]) for i in chosen]
        self._update(params, [arrays[i] for i in chosen], *([self.state[s][i] for i in chosen] for s in self.slots))

    def _update(self, params, grads, *slots):
        raise NotImplementedError

    def _arrays(self, grads):
        name = type(self).__name__
        if len(grads) != len(self.params):
            raise ValueError(f"{name}.step: got {len(grads)} gradients for {len(self.params)} parameters")
        arrays = [g.data if isinstance(g, Tensor) else g for g in grads]
        for i, (p, g) in enumerate(zip(self.params, arrays)):
            if g is not None and (g.shape != p.data.shape or g.dtype != p.data.dtype):
                raise ValueError(
                    f"{name}.step: gradient {i} is {g.shape} {g.dtype}, its parameter {p.shape} {p.dtype}"
                )
        if all(g is None for g in arrays):
            raise ValueError(f"{name}.step: no gradients; call backward() first, or pass mg.grad's list")
        return arrays

    @staticmethod
    def _contiguous(p):
        if not p.data.flags.c_contiguous:
            p.data = p.data.copy(order="C")
        return p.data

    def zero_grad(self):
        """Forget the gradients that backward() accumulated."""
        for p in self.params:
            p.grad = None

    def state_dict(self):
        """{"steps": how many were made, "slot.i": array}: what a resumed run needs to go on as if never stopped."""
        return {"steps": self.steps, **{name: np.array(devices.move(a, "cpu")) for name, a in self._named().items()}}

    def load_state_dict(self, state):
        """Take over what state_dict gave; ValueError, and nothing changed, if it belongs to other parameters."""
        wants = self._named()
        if state.keys() != {"steps", *wants} or any(np.shape(state[k]) != a.shape for k, a in wants.items()):
            raise ValueError(f"load_state_dict: the state does not belong to this {type(self).__name__}'s parameters")
        self._made += int(state["steps"]) - self.steps
        for name, array in wants.items():
            array[...] = devices.move(np.asarray(state[name], array.dtype), devices.device_of(array))

    def _named(self):
        return {f"{slot}.{i}": a for slot, arrays in self.state.items() for i, a in enumerate(arrays)}


def _counter(like):
    """A whole number, 0, that counts where the parameters lie: a CUDA graph that is replayed goes on counting."""
    xp = devices.array_module(like)
    return 0 if xp is np else xp.zeros((), np.int64)


class SGD(Optimiser):
    """p ← p - lr · g; with momentum μ: b ← μ·b + g, p ← p - lr · b."""

    slots = ("momentum",)

    def __init__(self, params, lr, momentum=0.0):
        super().__init__(params, lr, momentum_rate=momentum)

    def _update(self, params, grads, momentum):
        kernels.sgd(params, grads, momentum, lr=self.lr, **self.settings)


class RMSprop(Optimiser):
    """v ← α·v + (1-α)·g², p ← p - lr · g / (sqrt(v) + eps).  Source: Hinton, Coursera lecture 6e, 2012."""

    slots = ("square",)

    def __init__(self, params, lr=1e-2, alpha=0.99, eps=1e-8):
        super().__init__(params, lr, alpha=alpha, eps=eps)

    def _update(self, params, grads, square):
        kernels.rmsprop(params, grads, square, lr=self.lr, **self.settings)


class Adam(Optimiser):
    """Adam with bias correction.  Source: Kingma and Ba 2015, algorithm 1."""

    slots = ("m", "v")

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
        if not all(0 <= b < 1 for b in betas):
            raise ValueError(f"Adam: betas must be in [0, 1), got {betas}")
        super().__init__(params, lr, beta1=betas[0], beta2=betas[1], eps=eps)

    def _update(self, params, grads, m, v):
        kernels.adam(params, grads, m, v, lr=self.lr, step=self._made, **self.settings)
