"""A stand-in for CuPy: its arrays lie in a device's memory that nobody but CuPy may read; here that memory is NumPy's.

What it is for: that code written for CuPy arrays runs on CuPy arrays, on machines that have none. It holds to what
makes CuPy another library than NumPy:

    no array of the one is taken for one of the other: np.asarray(x), x + numpy_array, f(numpy_array, x) are TypeErrors
    kernels are launched by RawModule, with its signature; the emulator runs them
    while a stream captures, nothing is computed: what would be is written down, and what a host reads is an error;
    a Graph does it when it is launched, with the arrays of then. So a step that depends on the host's work shows.

Sources: CuPy 14's documentation and _core/core.pyx (array, __array_ufunc__, fill), cuda/memory.pyx (what is refused
while capturing). What a GPU computes, and how fast, no stand-in says.

Stands on NumPy and the emulator.  conftest.py puts it in CuPy's place.
"""

import operator
import sys
import types

import numpy as np

from minigan.kernels import emulator

_capturing = None  # the list of what a launch of the graph shall do
FREE, HELD, CACHED = 2 << 30, 5 << 30, 1 << 30  # bytes of memory, as far as anybody asks


class Device:
    compute_capability = "90"
    attributes = types.MappingProxyType({"MultiProcessorCount": 4})

    def __init__(self, device=0):
        self.id = device

    def synchronize(self):
        _refuse_capture("a synchronisation")


def _refuse_capture(what):
    if _capturing is not None:
        raise RuntimeError(f"the current stream is capturing, so {what} is not allowed")


class ndarray:
    """A device's array.  `_host` is for this file alone."""

    __array_priority__ = 100
    __slots__ = ("_host",)

    def __init__(self, host):
        self._host = host

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct one")

    def __array_ufunc__(self, ufunc, method, *inputs, out=(None,), **options):
        if method != "__call__":
            return getattr(sys.modules["cupy"], f"_{method}")  # no such thing: CuPy has few of them
        return compute(ufunc, *inputs, out=out[0], **options)

    def __array_function__(self, function, types, args, kwargs):
        return getattr(sys.modules["cupy"], function.__name__)(*args, **kwargs)

    shape = property(lambda self: self._host.shape)
    strides = property(lambda self: self._host.strides)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    itemsize = property(lambda self: self._host.itemsize)
    nbytes = property(lambda self: self._host.nbytes)
    flags = property(lambda self: self._host.flags)
    data = property(lambda self: types.SimpleNamespace(ptr=self._host.ctypes.data))
    T = property(lambda self: self.transpose())

    def get(self):
        _refuse_capture("a D2H transfer")
        return self._host.copy()

    def set(self, array):
        _refuse_capture("a H2D transfer")
        self._host[...] = array

    def item(self):
        return self.get().item()

    def tolist(self):
        return self.get().tolist()

    def __len__(self):
        return len(self._host)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    __float__ = __int__ = __bool__ = __index__ = None  # below

    def __getitem__(self, index):
        return compute(operator.getitem, self, _index(index))

    def __setitem__(self, index, value):
        change(operator.setitem, self, _index(index), value)

    def __repr__(self):
        return repr(self.get())


def _index(index):
    """An index with its lists and NumPy arrays on the device: of all functions, indexing takes those."""
    if isinstance(index, tuple):
        return tuple(_index(part) for part in index)
    if isinstance(index, ndarray) and index.dtype == bool:
        _refuse_capture("a mask's count")
    return array(index) if isinstance(index, list | np.ndarray) else index


def compute(function, *args, out=None, **options):
    """A function of device arrays and numbers → device array: now, or when the graph is launched."""
    if out is not None:
        write = lambda y, *xs, **kw: np.copyto(y, function(*xs, **kw), casting="same_kind")
        return change(write, out, *args, **options)
    hosts, options = _hosts(args), {name: _host(value) for name, value in options.items()}
    with np.errstate(all="ignore" if _capturing is not None else None):
        result = function(*hosts, **options)
    if not isinstance(result, np.ndarray | np.generic):
        return result
    result = np.asarray(result)
    if _capturing is None or any(np.may_share_memory(result, x) for x in _arrays(hosts)):
        return ndarray(result)
    _capturing.append(lambda: np.copyto(result, function(*hosts, **options)))
    result.fill(np.nan if result.dtype.kind == "f" else 0)  # not computed yet
    return ndarray(result)


def change(function, target, *args, **options):
    """A function that writes into its first array: now, or when the graph is launched → that array."""
    hosts, options = _hosts(args), {name: _host(value) for name, value in options.items()}
    action = lambda: function(target._host, *hosts, **options)
    action() if _capturing is None else _capturing.append(action)
    return target


def _hosts(args):
    return [_host(x) for x in args]


def _host(x):
    if isinstance(x, ndarray):
        return x._host
    if isinstance(x, list | tuple):
        return type(x)(_hosts(x))
    if isinstance(x, np.ndarray) and x.ndim:
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    return x


def _arrays(hosts):
    for x in hosts:
        if isinstance(x, list | tuple):
            yield from _arrays(x)
        elif isinstance(x, np.ndarray):
            yield x


def _scalar(kind):
    return lambda self: kind(self.get())


for _kind in (float, int, bool):
    setattr(ndarray, f"__{_kind.__name__}__", _scalar(_kind))
ndarray.__index__ = lambda self: operator.index(self.get()[()])

for _name in ("add", "sub", "mul", "truediv", "pow", "mod", "floordiv", "matmul", "and", "or", "xor"):
    _function = getattr(operator, f"{_name}_" if _name in ("and", "or") else _name)
    setattr(ndarray, f"__{_name}__", lambda self, other, f=_function: _binary(f, self, other))
    setattr(ndarray, f"__r{_name}__", lambda self, other, f=_function: _binary(f, other, self))
    setattr(ndarray, f"__i{_name}__", lambda self, other, f=_function: compute(f, self, other, out=self))
for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    _function = getattr(operator, _name)
    setattr(ndarray, f"__{_name}__", lambda self, other, f=_function: _binary(f, self, other))
for _name in ("neg", "pos", "abs", "invert"):
    _function = getattr(operator, _name)
    setattr(ndarray, f"__{_name}__", lambda self, f=_function: compute(f, self))
for _name in (
    "all", "any", "argmax", "argmin", "argsort", "astype", "clip", "copy", "cumsum", "dot", "flatten", "max", "mean",
    "min", "prod", "ravel", "repeat", "reshape", "squeeze", "std", "sum", "swapaxes", "take", "transpose", "var",
    "view",
):  # fmt: skip
    _function = getattr(np.ndarray, _name)
    setattr(ndarray, _name, lambda self, *args, _f=_function, **kwargs: compute(_f, self, *args, **kwargs))
ndarray.fill = lambda self, value: change(lambda y, v: y.fill(v), self, value) and None
ndarray.__hash__ = None
ndarray.__module__ = "cupy"


def _binary(function, a, b):
    other = b if isinstance(a, ndarray) else a
    if hasattr(other, "__array_ufunc__") and other.__array_ufunc__ is None:
        return NotImplemented  # a Tensor: let it do the work
    return compute(function, a, b)


# -------------------------------------------------------------------------------------------------- the module


class Function:
    """A kernel of a RawModule."""

    max_dynamic_shared_size_bytes = 48 << 10

    def __init__(self, module, name):
        self.module, self.name = module, name

    def __call__(self, grid, block, args, *, shared_mem=0):
        args = [x._host if isinstance(x, ndarray) else x for x in args]
        if shared_mem > self.max_dynamic_shared_size_bytes:
            raise RuntimeError("CUDA_ERROR_INVALID_VALUE: invalid argument")
        action = lambda: self.module.launch(self.name, grid, block, args, shared_mem)
        action() if _capturing is None else _capturing.append(action)


class RawModule:
    def __init__(self, *, code, options=()):
        defines = tuple(option[2:] for option in options if option.startswith("-D"))
        self.emulated = emulator.Module("kernels.cu", defines, text=code)

    def get_function(self, name):
        _refuse_capture("the loading of a kernel") if self.emulated._library is None else None
        return Function(self.emulated, name)


class Stream:
    """A stream; inside `with` it is the current one."""

    null = None

    def __init__(self, null=False, non_blocking=False):
        self.null, self.non_blocking = null, non_blocking

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def begin_capture(self, mode=None):
        global _capturing
        if not self.non_blocking:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        _capturing = []

    def end_capture(self):
        global _capturing
        recorded, _capturing = _capturing, None
        return Graph(recorded)

    def is_capturing(self):
        return _capturing is not None

    def synchronize(self):
        _refuse_capture("a synchronisation")


class Graph:
    def __init__(self, recorded):
        self.recorded = recorded

    def launch(self, stream=None):
        for action in self.recorded:
            action()


class MemoryPool:
    malloc = None

    def used_bytes(self):
        return HELD

    def free_bytes(self):
        return CACHED

    def free_all_blocks(self):
        pass


class using_allocator:
    def __init__(self, allocator):
        self.allocator = allocator

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class CUDARuntimeError(RuntimeError):
    pass


def asarray(x, dtype=None, order=None):
    if isinstance(x, ndarray):
        return x if dtype in (None, x.dtype) else x.astype(dtype)
    return array(x, dtype)


def array(x, dtype=None, copy=True, order="K"):
    if isinstance(x, ndarray):
        return x.astype(dtype or x.dtype)
    host = np.array(x, dtype=dtype)
    if host.ndim:
        _refuse_capture("a H2D transfer")
        return ndarray(host)
    return compute(np.full, (), host[()], host.dtype)


def asnumpy(x):
    return x.get() if isinstance(x, ndarray) else np.asarray(x)


def ascontiguousarray(x, dtype=None):
    x = asarray(x, dtype)
    return x if x.flags.c_contiguous else x.copy(order="C")


def empty(shape, dtype=float):
    y = np.empty(shape, dtype)
    return ndarray(y if y.dtype.kind != "f" else np.full(shape, np.nan, dtype))


def empty_like(x, dtype=None):
    return empty(x.shape, dtype or x.dtype)


# Of NumPy's functions, those that CuPy has under the same name and that are used here.
SAME = (
    "abs", "add", "arange", "argmax", "argsort", "broadcast_to", "clip", "concatenate", "cos", "divide", "equal",
    "exp", "eye", "full", "full_like", "greater", "isfinite", "isnan", "linspace", "log", "logaddexp", "max", "maximum",
    "mean", "min", "minimum", "moveaxis", "multiply", "negative", "ones", "ones_like", "pad", "power", "prod", "sign",
    "sin", "sqrt", "square", "stack", "std", "subtract", "sum", "take", "tanh", "tile", "transpose", "var", "where",
    "zeros", "zeros_like",
)  # fmt: skip


def make():
    """The module, to be put into sys.modules."""
    runtime = types.SimpleNamespace(
        driverGetVersion=lambda: 13000, runtimeGetVersion=lambda: 13000, CUDARuntimeError=CUDARuntimeError,
        memGetInfo=lambda: (FREE, 80 << 30),
        getDeviceProperties=lambda device: {"name": b"Stand-in", "major": 9, "minor": 0, "multiProcessorCount": 4},
    )  # fmt: skip
    cuda = types.SimpleNamespace(
        runtime=runtime, is_available=lambda: True, Device=Device, Stream=Stream, Graph=Graph, MemoryPool=MemoryPool,
        using_allocator=using_allocator, set_allocator=lambda allocator: None, get_current_stream=Stream,
    )  # fmt: skip
    cupy = types.ModuleType("cupy")
    for name in SAME:
        function = getattr(np, name)
        setattr(cupy, name, lambda *args, _f=function, **kwargs: compute(_f, *args, **kwargs))
    vars(cupy).update(
        __version__="14 (stand-in)", ndarray=ndarray, array=array, asarray=asarray, asnumpy=asnumpy, empty=empty,
        empty_like=empty_like, ascontiguousarray=ascontiguousarray, RawModule=RawModule, cuda=cuda,
        get_default_memory_pool=MemoryPool, copyto=lambda y, x: change(np.copyto, y, x),
    )  # fmt: skip
    cupy.add.at = lambda y, index, x: change(np.add.at, y, _index(index), x)
    return cupy
