"""The kernels in CUDA C++, for CuPy arrays on a GPU and for NumPy arrays in the emulator.

    from minigan.kernels import cuda
    y = cuda.conv2d(x, w, stride=(2, 2), padding=(1, 1))                     # x NumPy's: every thread, on the CPU
    y = cuda.conv2d(x, w, stride=(2, 2), padding=(1, 1), version="plain")    # or "tiled", or "tensor"

    maps.cuh           index maps: where the numbers of a matrix lie that was never stored
    tile.cuh           the tiled product;  tensor_tile.cuh the same on tensor cores;  ptx.cuh all inline assembly
    gemm.cu            matrix products;  conv2d.cu, conv_transpose2d.cu, conv2d_weight.cu the conv triangle
    batch_norm.cu, elementwise.cu, optim.cu, random.cu, reduce.cu
    *.py               launchers: the same names as ../reference.py, one grid and argument list for GPU and emulator
    compile.py         NVRTC's options;  machine_code.py what it made of a main loop;  device.py CuPy

A matrix product has three versions, of one idea more each: plain, the definition moved over; tiled, with shared memory;
tensor, with tensor cores, which round the factors of float32 products to 11 bits (TF32, as PyTorch's convolutions do).
precision("fp32") keeps all 24 bits; float64, and GPUs older than sm_80, run the tiled version. Of the tensor version's
five tiles product.py picks one for a shape, and says how many blocks share a sum; version="tensor_64x64" is that tile.
Transposed convolutions to images have a fourth version, gather: one dense product, and a sum for each pixel.

Arrays may be bfloat16: half the traffic, and twice the products an instruction. What is computed with them is float32,
and so is what belongs to a channel: moments, scales, biases.

Compiled for every architecture (python -m minigan.kernels.cuda.compile), its instructions counted
(python -m minigan.kernels.cuda.machine_code) and run in the emulator; not yet measured on a GPU.

Twins: ../reference.py, the same names. Read gemm.cu first.
"""

from .conv import conv2d, conv2d_weight, conv_transpose2d
from .elementwise import add, leaky_relu, leaky_relu_backward, linear, linear_backward
from .matmul import matmul
from .norm import batch_norm, batch_norm_backward, batch_norm_moments, batch_norm_running
from .optim import adam, rmsprop, sgd

__all__ = [
    "adam", "add", "batch_norm", "batch_norm_backward", "batch_norm_moments", "batch_norm_running", "conv2d",
    "conv2d_weight", "conv_transpose2d", "leaky_relu", "leaky_relu_backward", "linear", "linear_backward", "matmul",
    "rmsprop", "sgd",
]  # fmt: skip
