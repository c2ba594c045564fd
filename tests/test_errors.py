"""Every wrong input gets one sentence that names the function, the argument, what came and what is wanted."""

import re

import numpy as np
import pytest

import minigan as mg
from minigan import kernels, nn, ops


def t(*shape, dtype=np.float32):
    return mg.tensor(np.ones(shape, dtype), requires_grad=np.dtype(dtype).kind == "f")


def a(*shape):
    return np.ones(shape, np.float32)


X, W = (2, 5, 5, 3), (3, 3, 3, 4)

CASES = [
    # ------------------------------------------------------------------------------------------- conv2d
    (lambda: ops.conv2d(t(64, 28, 28, 1), t(4, 4, 3, 64)), ValueError,
     "conv2d: w has 3 input channels (shape (4, 4, 3, 64)) but x has 1 (shape (64, 28, 28, 1)).\n"
     "x is (N, H, W, C) and w is (kh, kw, C, K)."),
    (lambda: ops.conv2d(t(5, 5, 3), t(*W)), ValueError, "conv2d: x wants 4 axes (N, H, W, C), got shape (5, 5, 3)"),
    (lambda: ops.conv2d(t(*X), t(3, 3, 4)), ValueError, "conv2d: w wants 4 axes (kh, kw, C, K), got shape (3, 3, 4)"),
    (lambda: ops.conv2d(t(0, 5, 5, 3), t(*W)), ValueError, "conv2d: x is empty, shape (0, 5, 5, 3)"),
    (lambda: ops.conv2d(t(*X), t(*W), stride=0), ValueError, "conv2d: stride: must be at least 1, got 0"),
    (lambda: ops.conv2d(t(*X), t(*W), stride=(1, 0)), ValueError, "conv2d: stride: must be at least 1, got (1, 0)"),
    (lambda: ops.conv2d(t(*X), t(*W), stride=1.5), TypeError,
     "conv2d: stride: wants an int or a pair of ints, got 1.5"),
    (lambda: ops.conv2d(t(*X), t(*W), stride=(1, 2, 3)), TypeError, "conv2d: stride: wants an int or a pair of ints"),
    (lambda: ops.conv2d(t(*X), t(*W), padding=-1), ValueError, "conv2d: padding: must be at least 0, got -1"),
    (lambda: ops.conv2d(t(*X), t(*W), padding="same"), TypeError,
     "conv2d: padding: wants an int or a pair of ints, got 'same'"),
    (lambda: ops.conv2d(t(1, 2, 2, 3), t(*W)), ValueError,
     "conv2d: a (3, 3) window does not fit into (2, 2) pixels with padding (0, 0)"),
    (lambda: ops.conv2d(t(*X), t(*W, dtype=np.float64)), TypeError,
     "conv2d: arrays of one dtype, please, got float32, float64"),
    (lambda: ops.conv2d([1.0], t(*W)), TypeError, "conv2d: wants tensors or arrays (x, w), got list, Tensor"),
    (lambda: ops.conv2d(t(*X)), TypeError, "conv2d: got 1 array(s), wants (x, w, stride=..., padding=...)"),
    (lambda: ops.conv2d(t(*X), t(*W), None), TypeError,
     "conv2d: wants tensors or arrays (x, w), got Tensor, Tensor, Non"),
    (lambda: ops.conv2d(t(*X), t(*W), t(4)), TypeError,
     "conv2d: got 3 array(s), wants (x, w, stride=..., padding=...)"),
    (lambda: ops.conv2d(t(*X), t(*W), strides=2), TypeError, "conv2d"),
    # --------------------------------------------------------------------------------- conv_transpose2d
    (lambda: ops.conv_transpose2d(t(*X), t(*W)), ValueError,
     "conv_transpose2d: w takes 4 channels (shape (3, 3, 3, 4)) but x has 3 (shape (2, 5, 5, 3))"),
    (lambda: ops.conv_transpose2d(t(2, 5, 5, 4), t(*W), stride=2, output_padding=2), ValueError,
     "conv_transpose2d: output_padding (2, 2) must be smaller than stride (2, 2)"),
    (lambda: ops.conv_transpose2d(t(1, 1, 1, 4), t(*W), padding=2), ValueError,
     "conv_transpose2d: padding (2, 2) leaves (-1, -1) pixels of x (1, 1, 1, 4) and w (3, 3, 3, 4)"),
    (lambda: ops.conv_transpose2d(t(2, 0, 5, 4), t(*W)), ValueError,
     "conv_transpose2d: x is empty, shape (2, 0, 5, 4)"),
    (lambda: ops.conv_transpose2d(t(2, 5, 5, 4), t(*W), stride=-1), ValueError,
     "conv_transpose2d: stride: must be at least 1, got -1"),
    (lambda: ops.conv_transpose2d(t(2, 5, 5, 4), t(*W), output_padding=-1), ValueError,
     "conv_transpose2d: output_padding: must be at least 0, got -1"),
    # ------------------------------------------------------------------------------------ conv2d_weight
    (lambda: ops.conv2d_weight(t(*X), t(2, 3, 4, 4), kernel_size=3), ValueError,
     "conv2d_weight: g must be what conv2d puts out for x (2, 5, 5, 3), (2, 3, 3, K), got (2, 3, 4, 4)"),
    (lambda: ops.conv2d_weight(t(*X), t(2, 3, 3, 4), kernel_size=0), ValueError,
     "conv2d_weight: kernel_size: must be at least 1, got 0"),
    (lambda: ops.conv2d_weight(t(*X), t(2, 3, 3, 4)), TypeError, "conv2d_weight"),
    # ---------------------------------------------------------------------------------------- matrix product
    (lambda: ops.matmul(t(2, 3), t(2, 3)), ValueError,
     "matmul: shapes (2, 3) and (2, 3) do not fit; wants (..., M, K) and (..., K, N)"),
    (lambda: ops.matmul(t(), t(3)), ValueError, "matmul: wants at least one axis on each side, got () and (3,)"),
    (lambda: nn.Linear(3, 2)(t(4, 5)), ValueError, "linear: wants x (N, K), w (K, M) and b (M,), got (4, 5), (3, 2)"),
    (lambda: ops.linear(t(4, 3), t(3, 2), t(2), slope=-1), ValueError, "linear: slope must be 0 or more, got -1"),
    # ----------------------------------------------------------------------------------------------- norms
    (lambda: ops.batch_norm(t(1, 3), t(3), t(3)), ValueError,
     "batch_norm: x of shape (1, 3) has 1 value(s) per channel; a variance wants at least 2"),
    (lambda: ops.batch_norm(t(4, 3), t(2), t(3)), ValueError,
     "batch_norm: gamma must have shape (3,) for x of shape (4, 3), got (2,)"),
    (lambda: ops.batch_norm(t(4, 3), t(3), t(3, 1)), ValueError,
     "batch_norm: beta must have shape (3,) for x of shape (4, 3), got (3, 1)"),
    (lambda: ops.batch_norm(t(3), t(3), t(3)), ValueError,
     "batch_norm: x wants at least 2 axes (N, ..., C), got shape (3,)"),
    (lambda: nn.BatchNorm2d(3)(t(1, 1, 1, 3)), ValueError, "batch_norm: x of shape (1, 1, 1, 3) has 1 value(s)"),
    # ------------------------------------------------------------------------------- elementwise and shapes
    (lambda: t(2, 3) + t(4), ValueError, "add: operands could not be broadcast together"),
    (lambda: ops.exp("abc"), TypeError, "exp: wants tensors or arrays (x), got str"),
    (lambda: ops.reshape(t(2, 3), shape=(4,)), ValueError, "reshape: cannot reshape array of size 6 into shape (4,)"),
    (lambda: ops.dropout(t(2), rate=1.0, rng=None), ValueError, "dropout: rate must be in [0, 1), got 1.0"),
    (lambda: ops.concatenate([]), ValueError, "concatenate: wants at least one tensor"),
    (lambda: ops.pad(t(2, 3), 1, mode="wrap"), ValueError,
     "pad: mode 'wrap' is not known; know 'constant' and 'reflect'"),
    (lambda: ops.pad(t(2, 3), 2, mode="reflect"), ValueError,
     "pad: reflecting axis 0 of length 2 allows margins up to 1, got 2 and 2"),
    (lambda: ops.take(t(3, 2), [0.5]), TypeError, "take: indices must be integers, got float64"),
    (lambda: t(3)[7], IndexError, "getitem: index 7 is out of bounds"),
    (lambda: ops.avg_pool2d(t(1, 5, 4, 1)), ValueError,
     "avg_pool2d: size (2, 2) does not divide the images' 5 x 4 pixels"),
    (lambda: nn.Conv2d(1, 2, 0), ValueError, "Conv2d: kernel_size: must be at least 1, got 0"),
    (lambda: nn.ConvTranspose2d(1, 2, (3, "a")), TypeError,
     "ConvTranspose2d: kernel_size: wants an int or a pair of ints"),
    # ------------------------------------------------------------------------------------------ tensors
    (lambda: mg.tensor([[1.0], [2.0, 3.0]]), TypeError, "tensor: wants numbers in a regular shape, got list"),
    (lambda: mg.tensor(["a"]), TypeError, "tensor: wants real numbers, got ndarray of dtype <U1"),
    (lambda: mg.tensor([1, 2], requires_grad=True), TypeError,
     "tensor: requires_grad wants a floating dtype, got int64"),
    (lambda: t(2, 3).item(), ValueError, "item: wants a tensor of size 1, got shape (2, 3)"),
    (lambda: len(t()), TypeError, "len: a tensor of shape () has no length"),
    # ------------------------------------------------------------------------------------------- grad
    (lambda: mg.grad(t(2) * 2, [t(2)]), ValueError, "grad: y has shape (2,); give gy of that shape"),
    (lambda: mg.grad(t() * 2, t()), TypeError, "grad: xs wants a list of tensors: grad(y, [x])"),
    (lambda: mg.grad(t() * 2, [3.0]), TypeError, "grad: xs[0] is a float, wants a tensor"),
    (lambda: mg.grad(t() * 2, [t(), mg.tensor(1.0)]), ValueError, "grad: xs[1] (shape ()) has requires_grad=False"),
    (lambda: mg.grad(t(2) * 2, [t(2)], t(3)), ValueError, "grad: gy is (3,) float32 but y is (2,) float32"),
    (lambda: mg.grad(t(2) * 2, [t(2)], t(2, dtype=np.float64)), ValueError,
     "grad: gy is (2,) float64 but y is (2,) float32"),
    (lambda: mg.tensor([1.0]).backward(), ValueError, "backward: y was made from no tensor with requires_grad=True"),
    (lambda: ops.exp.defvjp(z=None), TypeError, "exp.defvjp: no argument ['z']; the arguments are ['x']"),
    # ------------------------------------------------------------------------------- kernels on plain arrays
    (lambda: kernels.conv2d(a(*X), a(3, 3, 2, 4)), ValueError, "conv2d: w has 2 input channels"),
    (lambda: kernels.conv2d(a(*X), a(*W).astype(np.float64)), TypeError,
     "conv2d: arrays of one dtype, please, got float32"),
    (lambda: kernels.leaky_relu(t(3)), TypeError, "leaky_relu: wants NumPy or CuPy arrays, got minigan.tensor.Tensor"),
    (lambda: kernels.matmul(a(2), a(2)), ValueError, "matmul: shapes (2,) and (2,) do not fit"),
    (lambda: kernels.batch_norm_moments(a(1, 2)), ValueError,
     "batch_norm: x of shape (1, 2) has 1 value(s) per channel"),
    (lambda: kernels.batch_norm_backward(a(2, 3), a(4, 3), a(3), a(3)), ValueError,
     "batch_norm_backward: gy must have shape (4, 3) as x asks, got (2, 3)"),
    (lambda: kernels.leaky_relu_backward(a(2, 3), a(4, 3)), ValueError,
     "leaky_relu_backward: gy must have shape (4, 3) as x asks, got (2, 3)"),
    (lambda: kernels.linear_backward(a(2, 3), a(2, 2), a(2, 5), a(5, 2)), ValueError,
     "linear_backward: gy must have shape (2, 2) as x · w asks, got (2, 3)"),
    (lambda: kernels.sgd([a(3)], [a(2)], [a(3)], lr=1, momentum_rate=0), ValueError,
     "sgd: a gradient must have shape (3,) as its parameter asks, got (2,)"),
    (lambda: kernels.rmsprop([a(3)], [a(3)], [a(4)], lr=1, alpha=0, eps=1), ValueError,
     "rmsprop: a state must have shape (3,) as its parameter asks, got (4,)"),
    (lambda: kernels.adam([a(3)], [a(3)], [], [a(3)], lr=1, beta1=0, beta2=0, eps=1, step=1), ValueError,
     "adam: wants lists of one length (parameters, gradients, states), got 1, 1, 0, 1"),
    (lambda: kernels.sgd([a(3, 2).T], [a(2, 3)], [a(2, 3)], lr=1, momentum_rate=0), ValueError,
     "sgd: changes parameters and states in place and wants them C-contiguous"),
]  # fmt: skip


@pytest.mark.parametrize("call, error, message", CASES, ids=[re.sub(r"\W+", "_", c[2])[:60] for c in CASES])
def test_the_sentence(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert type(caught.value) is error
    assert str(caught.value).startswith(message)


def test_an_error_keeps_its_cause():
    with pytest.raises(ValueError) as caught:
        t(2, 3) + t(4)
    assert caught.value.__cause__ is not None and "inputs (2, 3) float32, (4,) float32" in str(caught.value)


def test_a_gradient_across_dtypes_names_the_op():
    x, y = t(2), t(2, dtype=np.float64)
    with pytest.raises(TypeError, match=r"multiply: its inputs mix float32 and float64, so that a .* convert one"):
        mg.grad((x * y).sum(), [x])
