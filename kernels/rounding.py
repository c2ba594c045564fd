"""How exactly products are formed on a GPU's tensor cores, and how numbers lie in memory there.

    tf32   factors are rounded to 11 significant bits, sums are float32: the default, as in PyTorch's convolutions
    bf16   factors are rounded to 8, to nearest and ties to even, sums are float32
    fp32   all 24 bits, without tensor cores

Factors are what a product reads: activations, weights, incoming gradients. For TF32 they are rounded on their way into
the tensor cores. bf16 has half the bits, and arrays of it half the traffic: those that are bf16 already are read as
they lie, float32 ones are rounded to a copy first. What is computed with bf16 arrays is computed in float32. The CPU
always keeps all bits, and has no kernels for bf16.

Not yet measured on a GPU.  Stands on NumPy. Read cuda/product.py next.
"""

import contextlib
import functools
import os

import numpy as np

KNOWN = ("tf32", "fp32", "bf16")
_chosen = None


def precision(name=None):
    """Choose "tf32", "fp32" or "bf16" for all products from now on; returns what held until now. None only asks.

    Before the first choice it is "tf32", or "fp32" under $MINIGAN_TF32=0.
    """
    global _chosen
    if name not in (None, *KNOWN):
        raise ValueError(f"precision: got {name!r}; know {', '.join(KNOWN)}")
    before = _chosen or ("fp32" if os.environ.get("MINIGAN_TF32") == "0" else "tf32")
    _chosen = name or _chosen
    return before


@functools.cache
def bfloat16():
    """The dtype, which NumPy and CuPy take from ml_dtypes; RuntimeError that says how to get that."""
    try:
        from ml_dtypes import bfloat16
    except ImportError:
        raise RuntimeError("bf16: arrays of it need ml_dtypes: pip install ml_dtypes") from None
    return np.dtype(bfloat16)


def is_bfloat16(dtype):
    """Whether a dtype is bfloat16, which is none of NumPy's own kinds."""
    return dtype.kind == "V" and dtype.name == "bfloat16"


def real(dtype):
    """The dtype that numbers of a dtype are computed in: float32 for bfloat16, else the same."""
    return np.dtype(np.float32) if is_bfloat16(dtype) else dtype


def floating(dtype):
    """Whether numbers of a dtype have fractions."""
    return dtype.kind == "f" or is_bfloat16(dtype)


@contextlib.contextmanager
def using(name):
    """Context in which products are formed in a precision; None: as they were."""
    global _chosen
    kept = _chosen
    precision(name)
    try:
        yield
    finally:
        _chosen = kept  # None again, if nothing was chosen
