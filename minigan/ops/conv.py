"""The conv triangle: three ops that are one trilinear form.

    s(x, w, g) = Σ x[n, i·s+r-p, j·s+t-p, c] · w[r, t, c, k] · g[n, i, j, k]

Differentiate s with respect to g and you have conv2d; to x, conv_transpose2d; to w, conv2d_weight. So the VJPs of each
are the other two, and a gradient of any order needs no fourth kernel.

Stands on kernels/ (the same three names, on arrays). Read kernels/reference.py next.
"""

from .. import kernels
from ..autograd import op
from ..kernels.shapes import pair


@op
def conv2d(x, w, *, stride=1, padding=0):
    """2-D convolution (cross-correlation, as everywhere in deep learning).

    x  (N, H, W, C)     images
    w  (kh, kw, C, K)   weights
    →  (N, H', W', K)   H' = (H + 2·padding - kh) // stride + 1
    """
    return kernels.conv2d(x, w, stride=stride, padding=padding)


@op
def conv_transpose2d(x, w, *, stride=1, padding=0, output_padding=0):
    """The transpose of conv2d in its images: what each input pixel was multiplied by, added back to where it came from.

    x  (N, H, W, K)     what that conv2d would put out
    w  (kh, kw, C, K)   the weights of that conv2d
    →  (N, H', W', C)   H' = (H - 1)·stride - 2·padding + kh + output_padding
    """
    return kernels.conv_transpose2d(x, w, stride=stride, padding=padding, output_padding=output_padding)


@op
def conv2d_weight(x, g, *, kernel_size, stride=1, padding=0):
    """The gradient of conv2d with respect to its weights: correlate the images with the incoming gradient.

    x  (N, H, W, C)     images
    g  (N, H', W', K)   what comes back for conv2d's output
    →  (kh, kw, C, K)
    """
    return kernels.conv2d_weight(x, g, kernel_size=kernel_size, stride=stride, padding=padding)


def _transpose_onto(gy, w, x, stride, padding):
    """conv_transpose2d onto the shape of x: rows that no window reached (H not a multiple of the stride) get zeros."""
    rest = tuple(
        (n + 2 * p - k) % s for n, p, k, s in zip(x.shape[1:3], pair(padding), w.shape[:2], pair(stride))
    )
    return conv_transpose2d(gy, w, stride=stride, padding=padding, output_padding=rest)


conv2d.defvjp(
    x=lambda gy, y, x, w, stride, padding: _transpose_onto(gy, w, x, stride, padding),
    w=lambda gy, y, x, w, stride, padding: conv2d_weight(
        x, gy, kernel_size=w.shape[:2], stride=stride, padding=padding
    ),
)
conv_transpose2d.defvjp(
    x=lambda gy, y, x, w, stride, padding, output_padding: conv2d(gy, w, stride=stride, padding=padding),
    w=lambda gy, y, x, w, stride, padding, output_padding: conv2d_weight(
        gy, x, kernel_size=w.shape[:2], stride=stride, padding=padding
    ),
)
conv2d_weight.defvjp(
    x=lambda gy, y, x, g, kernel_size, stride, padding: _transpose_onto(g, gy, x, stride, padding),
    g=lambda gy, y, x, g, kernel_size, stride, padding: conv2d(x, gy, stride=stride, padding=padding),
)
