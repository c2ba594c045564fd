"""Layers: the ops with their parameters, named and behaving as PyTorch's modules of the same names.

Two things differ, because images are channels-last here: a convolution's weight is (kh, kw, in, out), a transposed
convolution's (kh, kw, out, in), a linear layer's (in, out).

Stands on ops/ and module.py. Read optim.py next.
"""

import numpy as np

from .. import kernels, ops
from ..autograd import as_tensor
from ..kernels.rounding import is_bfloat16, real
from ..kernels.shapes import pair
from ..ops.norm import batch_norm_fused
from ..ops.shape import in_dtype
from .init import buffer, parameter, uniform
from .module import Module


def _beside(x, parameter):
    """A parameter as x wants it: rounded to bf16, where x is. Parameters themselves stay float32, and so learn."""
    return in_dtype(parameter, x.dtype) if is_bfloat16(x.dtype) else parameter


class Linear(Module):
    """y = x · W + b. x (..., in_features) → (..., out_features)."""

    def __init__(self, in_features, out_features, bias=True, *, rng=None):
        self.weight = uniform((in_features, out_features), in_features, rng)
        self.bias = uniform(out_features, in_features, rng) if bias else None
        self.fuses_slope = bias

    def forward(self, x, *, slope=1.0):
        if self.bias is None:
            return ops.matmul(as_tensor(x), _beside(x, self.weight))
        return ops.linear(x, _beside(x, self.weight), self.bias, slope=slope)

    def describe(self):
        return f"{self.weight.shape[0]}, {self.weight.shape[1]}{'' if self.bias is not None else ', bias=False'}"


class _Conv(Module):
    def __init__(self, fan_in, shape, channels, stride, padding, bias, rng):
        self.stride, self.padding = pair(stride, "stride", low=1), pair(padding, "padding")
        self.weight = uniform(shape, fan_in, rng)
        self.bias = uniform(channels, fan_in, rng) if bias else None

    def _shifted(self, y):
        return y if self.bias is None else y + _beside(y, self.bias)

    def describe(self):
        return f"{self.weight.shape}, stride={self.stride}, padding={self.padding}, bias={self.bias is not None}"


class Conv2d(_Conv):
    """2-D convolution. x (N, H, W, in_channels) → (N, H', W', out_channels); weight (kh, kw, in, out)."""

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, bias=True, *, rng=None):
        kh, kw = pair(kernel_size, "Conv2d: kernel_size", low=1)
        shape = (kh, kw, in_channels, out_channels)
        super().__init__(kh * kw * in_channels, shape, out_channels, stride, padding, bias, rng)

    def forward(self, x):
        return self._shifted(ops.conv2d(x, _beside(x, self.weight), stride=self.stride, padding=self.padding))


class ConvTranspose2d(_Conv):
    """Transposed 2-D convolution. x (N, H, W, in_channels) → (N, H', W', out_channels); weight (kh, kw, out, in)."""

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, output_padding=0, bias=True, *,
                 rng=None):  # fmt: skip
        kh, kw = pair(kernel_size, "ConvTranspose2d: kernel_size", low=1)
        self.output_padding = pair(output_padding, "output_padding")
        shape = (kh, kw, out_channels, in_channels)
        super().__init__(kh * kw * out_channels, shape, out_channels, stride, padding, bias, rng)

    def forward(self, x):
        y = ops.conv_transpose2d(
            x, _beside(x, self.weight), stride=self.stride, padding=self.padding, output_padding=self.output_padding
        )
        return self._shifted(y)


class BatchNorm2d(Module):
    """Batch norm over all axes but the last: batch statistics in training, running ones in evaluation.

    momentum: running ← (1 - momentum)·running + momentum·batch; the running variance is the unbiased one.
    """

    fuses_slope = True

    def __init__(self, channels, eps=1e-5, momentum=0.1):
        self.eps, self.momentum = eps, momentum
        self.weight, self.bias = parameter(np.ones(channels)), parameter(np.zeros(channels))
        self.running_mean, self.running_var = buffer(np.zeros(channels)), buffer(np.ones(channels))

    def forward(self, x, *, slope=1.0):
        x = as_tensor(x)
        if not self.training:
            scale = self.weight / ops.sqrt(self.running_var + self.eps)
            y = in_dtype((in_dtype(x, real(x.dtype)) - self.running_mean) * scale + self.bias, x.dtype)
            return y if slope == 1.0 else ops.leaky_relu(y, slope=slope)
        moments = kernels.batch_norm_moments(x.data)
        running = self.running_mean.data, self.running_var.data  # changed in place
        kernels.batch_norm_running(moments, *running, momentum=self.momentum, count=x.size // x.shape[-1])
        return batch_norm_fused(x, self.weight, self.bias, eps=self.eps, slope=slope, moments=moments)

    def describe(self):
        return f"{self.weight.shape[0]}, eps={self.eps}, momentum={self.momentum}"


BatchNorm1d = BatchNorm2d  # channels-last: the same statistics whatever lies before the last axis


class _Norm(Module):
    def __init__(self, channels, eps=1e-5):
        self.eps = eps
        self.weight, self.bias = parameter(np.ones(channels)), parameter(np.zeros(channels))

    def describe(self):
        return f"{self.weight.shape[0]}, eps={self.eps}"


class LayerNorm(_Norm):
    """Layer norm over the last axis."""

    def forward(self, x):
        return ops.layer_norm(x, self.weight, self.bias, eps=self.eps)


class InstanceNorm2d(_Norm):
    """Instance norm over the pixels of each image and channel, with scale and shift."""

    def forward(self, x):
        return ops.instance_norm(x, self.weight, self.bias, eps=self.eps)


class Embedding(Module):
    """A table of vectors looked up by integer. labels (...) → (..., features)."""

    def __init__(self, entries, features, *, rng=None):
        self.weight = uniform((entries, features), 1, rng)

    def forward(self, labels):
        return ops.take(self.weight, labels)


class LeakyReLU(Module):
    """x where x > 0, else slope·x."""

    def __init__(self, slope=0.01):
        self.slope = float(slope)

    def forward(self, x):
        return ops.leaky_relu(x, slope=self.slope)

    def describe(self):
        return f"{self.slope}"


class ReLU(LeakyReLU):
    """max(x, 0)."""

    def __init__(self):
        super().__init__(0.0)


class Tanh(Module):
    """Hyperbolic tangent."""

    def forward(self, x):
        return ops.tanh(x)


class Sigmoid(Module):
    """1 / (1 + e^-x)."""

    def forward(self, x):
        return ops.sigmoid(x)


class Dropout(Module):
    """In training, drops each element with probability `rate` and scales the rest; in evaluation, nothing."""

    def __init__(self, rate=0.5, *, rng):
        self.rate, self.rng = rate, rng

    def forward(self, x):
        return ops.dropout(as_tensor(x), rate=self.rate, rng=self.rng) if self.training else x


class Reshape(Module):
    """Each example in another shape: x (N, ...) → (N, *shape)."""

    def __init__(self, *shape):
        self.shape = shape

    def forward(self, x):
        return ops.reshape(x, shape=(x.shape[0], *self.shape))

    def describe(self):
        return f"{self.shape}"


class Flatten(Module):
    """Each example as one row: x (N, ...) → (N, features)."""

    def forward(self, x):
        return ops.reshape(x, shape=(x.shape[0], -1))
