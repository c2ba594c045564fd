"""Modules: functions with parameters.

module.py is the machinery, layers.py the layers, init.py their first weights.
"""

from . import init
from .layers import (
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Embedding,
    Flatten,
    InstanceNorm2d,
    LayerNorm,
    LeakyReLU,
    Linear,
    ReLU,
    Reshape,
    Sigmoid,
    Tanh,
)
from .module import Module, Sequential

__all__ = [
    "BatchNorm1d", "BatchNorm2d", "Conv2d", "ConvTranspose2d", "Dropout", "Embedding", "Flatten", "InstanceNorm2d",
    "LayerNorm", "LeakyReLU", "Linear", "Module", "ReLU", "Reshape", "Sequential", "Sigmoid", "Tanh", "init",
]  # fmt: skip
