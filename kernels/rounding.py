"""How exactly products of float32 are formed on a GPU's tensor cores.

    tf32   factors are rounded to 11 significant bits, sums are float32: the default, as in PyTorch's convolutions
    bf16   factors are rounded to 8, to nearest and ties to even, sums are float32
    fp32   all 24 bits, without tensor cores

Factors are what a product reads: activations, weights, incoming gradients. They are rounded on their way into the
tensor cores; arrays stay float32 in memory, so that bf16 saves none. The CPU always keeps all bits.

Not yet measured on a GPU.  Stands on nothing. Read cuda/product.py next.
"""

import contextlib
import os

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
