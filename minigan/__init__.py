"""minigan: how GANs train, all the way down.

A GAN's loss is a formula, a formula is a line of code, a line of code is an op, an op is a kernel.

Reading order: examples/01_gan_ring.py → autograd.py → ops/conv.py → kernels/reference.py → kernels/cpu/.
"""

__version__ = "0.1.0"

from . import checkpoint, data, gan, kernels, metrics, nn, ops, optim, plot, run, testing
from .anomaly import AnomalyError, anomaly
from .autograd import grad, no_grad, op
from .cuda_graph import cuda_graph
from .device import DeviceError
from .graph import graph
from .kernels import precision
from .random import generator
from .tensor import Tensor, tensor
from .testing import GradientError, gradcheck

__all__ = [
    "AnomalyError", "DeviceError", "GradientError", "Tensor", "anomaly", "checkpoint", "cuda_graph", "data", "gan",
    "generator", "grad", "gradcheck", "graph", "kernels", "metrics", "nn", "no_grad", "op", "ops", "optim", "plot",
    "precision", "run", "tensor", "testing",
]  # fmt: skip
