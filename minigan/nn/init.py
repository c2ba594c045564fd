"""The first weights of a layer.

Every layer takes the generator of its weights as `rng`. Without one it draws from `fallback`, seeded with 0, so that a
program that never thought about it still gives the same numbers twice.

Stands on NumPy. Read layers.py next.
"""

import numpy as np

from ..tensor import Tensor

fallback = np.random.default_rng(0)


def uniform(shape, fan_in, rng=None):
    """A parameter uniform in ±1/sqrt(fan_in): the default of PyTorch's linear and convolution layers."""
    bound = 1 / np.sqrt(fan_in)
    return parameter((rng or fallback).uniform(-bound, bound, shape))


def parameter(array):
    """A float32 leaf that optimisers may change."""
    return Tensor(np.array(array, np.float32), requires_grad=True)


def buffer(array):
    """A float32 tensor that is saved with a module but not trained."""
    return Tensor(np.array(array, np.float32))


def dcgan(module, rng):
    """Weights of DCGAN: N(0, 0.02) for convolutions and linear layers, N(1, 0.02) for norms' scales, biases 0.

    Source: Radford et al. 2015, section 4, and its published code for the norms.  Returns the module.
    """
    for name, x in module.named_parameters():
        if name.endswith("bias"):
            x.data[...] = 0
        else:
            mean = 1.0 if x.ndim == 1 else 0.0
            x.data[...] = rng.normal(mean, 0.02, x.shape)
    return module
