"""Tensor: an array, and how it was made.

A tensor that an op made remembers the op, its inputs and its options; that is the whole graph. autograd.py walks it
backwards. The arithmetic operators are attached by ops/, one floor up, because they are ops like all others.

Stands on device.py. Read autograd.py next.
"""

import numpy as np

from . import device as devices
from .kernels.rounding import floating


class Tensor:
    """An n-dimensional array that can be differentiated through.  Make one with `mg.tensor`.

    data           the NumPy or CuPy array
    requires_grad  whether gradients flow to it or through it
    grad           what backward() accumulated here: an array of data's shape, or None
    op, inputs, options   the op that made it, with its arguments; op is None for a leaf
    serial         order of creation: inputs are always older than what is made of them
    """

    __slots__ = ("__weakref__", "data", "grad", "inputs", "op", "options", "requires_grad", "serial")
    __array_ufunc__ = None  # ndarray + Tensor is our __radd__, not an object array

    def __init__(self, data, requires_grad=False):
        self.data = data
        self.requires_grad = requires_grad
        self.grad = None
        self.op = None
        self.inputs = ()
        self.options = None
        self.serial = 0

    shape = property(lambda self: self.data.shape)
    ndim = property(lambda self: self.data.ndim)
    size = property(lambda self: self.data.size)
    dtype = property(lambda self: self.data.dtype)
    device = property(lambda self: devices.device_of(self.data))

    def detach(self):
        """The same array, cut from the graph: no gradient flows back through the result."""
        return Tensor(self.data)

    def numpy(self):
        """The numbers as a NumPy array (not a copy on the CPU)."""
        return devices.move(self.data, "cpu")

    def item(self):
        """The one number of a tensor of size 1, as a Python float (or int, or bool)."""
        if self.data.size != 1:
            raise ValueError(f"item: wants a tensor of size 1, got shape {self.shape}")
        return self.data.item()

    def to(self, device=None, dtype=None):
        """A leaf on another device or in another dtype; itself when nothing changes. Not differentiable."""
        data = self.data if device is None else devices.move(self.data, device)
        if dtype is not None:
            data = data.astype(dtype, copy=False)
        return self if data is self.data else Tensor(data, self.requires_grad)

    def __float__(self):
        return float(self.item())

    def __int__(self):
        return int(self.item())

    def __bool__(self):
        return bool(self.item())

    def __len__(self):
        if not self.data.ndim:
            raise TypeError("len: a tensor of shape () has no length")
        return self.data.shape[0]

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __repr__(self):
        made = f", made by {self.op.name}" if self.op else ", requires_grad=True" if self.requires_grad else ""
        text = np.array2string(self.numpy(), prefix="tensor(", separator=", ", threshold=100, precision=4)
        return f"tensor({text}, {self.dtype}, {self.device}{made})"


def tensor(data, *, dtype=None, device=None, requires_grad=False):
    """A tensor from numbers, nested lists, an array or a tensor. The data is copied.

    dtype    default: an array keeps its own; Python floats become float32
    device   'cpu', 'cuda' or 'auto'; default: where the data is
    Errors: TypeError for data that is not numeric, or for requires_grad on integers.
    """
    if isinstance(data, Tensor):
        data = data.data
    if devices.array_module(data) is np and not isinstance(data, np.ndarray | np.generic):
        try:
            data = np.asarray(data)
        except ValueError as error:
            raise TypeError(f"tensor: wants numbers in a regular shape, got {type(data).__name__}: {error}") from None
        if dtype is None and data.dtype == np.float64:
            data = data.astype(np.float32)
    xp = devices.array_module(data)
    data = xp.array(data, dtype=dtype)
    if data.dtype.kind not in "iub" and not floating(data.dtype):
        raise TypeError(f"tensor: wants real numbers, got {type(data).__name__} of dtype {data.dtype}")
    if requires_grad and not floating(data.dtype):
        raise TypeError(f"tensor: requires_grad wants a floating dtype, got {data.dtype}")
    return Tensor(data if device is None else devices.move(data, device), requires_grad)
