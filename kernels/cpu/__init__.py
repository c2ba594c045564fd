"""The kernels on the CPU, compiled by Numba for the host's vector unit.

    simd.py         which vector unit, how large a register tile
    tile.py         the tile: the one inner loop, in LLVM vector code
    gemm.py         pack, gather, outer: tiles become matrix products
    conv.py         the three convolutions as matrix products;  matmul.py the plain one
    norm.py         batch norm and its activation;  elementwise.py;  optim.py
    memory.py       blocks used again, margins of zeros;  images.py padding
    jit.py          compiling once, finding again

Twins: ../reference.py, the same names. Read conv.py first.
"""

from ..reference import batch_norm_running, sgd  # some numbers a channel; one pass
from .conv import conv2d, conv2d_weight, conv_transpose2d
from .elementwise import add, leaky_relu, leaky_relu_backward, linear, linear_backward
from .matmul import matmul
from .norm import batch_norm, batch_norm_backward, batch_norm_moments
from .optim import adam, rmsprop

__all__ = [
    "adam", "add", "batch_norm", "batch_norm_backward", "batch_norm_moments", "batch_norm_running", "conv2d",
    "conv2d_weight", "conv_transpose2d", "leaky_relu", "leaky_relu_backward", "linear", "linear_backward", "matmul",
    "rmsprop", "sgd",
]  # fmt: skip
