"""Average pooling and nearest-neighbour upsampling: each is a reshape and a mean, or a reshape and a broadcast.

Stands on shape.py and reduce.py.
"""

from ..autograd import as_tensor
from ..kernels.shapes import pair
from .reduce import mean
from .shape import broadcast_to, reshape


def avg_pool2d(x, *, size=2):
    """The mean of each size × size block. x (N, H, W, C), H and W divisible by size → (N, H/size, W/size, C)."""
    x = as_tensor(x)
    a, b = pair(size)
    n, h, w, c = x.shape
    if h % a or w % b:
        raise ValueError(f"avg_pool2d: size {a, b} does not divide the images' {h} x {w} pixels")
    return mean(reshape(x, shape=(n, h // a, a, w // b, b, c)), axis=(2, 4))


def upsample_nearest2d(x, *, factor=2):
    """Every pixel repeated factor × factor times. x (N, H, W, C) → (N, H·factor, W·factor, C)."""
    x = as_tensor(x)
    a, b = pair(factor)
    n, h, w, c = x.shape
    y = broadcast_to(reshape(x, shape=(n, h, 1, w, 1, c)), shape=(n, h, a, w, b, c))
    return reshape(y, shape=(n, h * a, w * b, c))
