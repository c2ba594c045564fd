"""Packing: D judges m samples at once, all real or all generated, so that a lack of variety shows in one look.

    loss_D = minimax_d(D(pack(real, m)), D(pack(fake, m)))

G and the game stay as they are; D's first layer has m times the inputs.

Source: Lin, Khetan, Fanti and Oh 2018 (PacGAN), section 2.  Stands on ops/.
"""

from ..autograd import as_tensor
from ..ops import reshape, transpose


def pack(samples, m):
    """Groups of m consecutive samples, each as one.

    samples  (N, features) → (N/m, m·features); images (N, H, W, C) → (N/m, H, W, m·C), joined in channels
    m        samples a group; 1 changes nothing. N must be a multiple of it.
    """
    samples = as_tensor(samples)
    if samples.ndim not in (2, 4):
        raise ValueError(f"pack: samples wants points (N, features) or images (N, H, W, C), got shape {samples.shape}")
    if not isinstance(m, int) or m < 1:
        raise ValueError(f"pack: m, the samples a group, wants a whole number of at least 1, got {m!r}")
    if m == 1:
        return samples
    n, *inside = samples.shape
    if n < m or n % m:
        raise ValueError(f"pack: a batch of {n} samples cannot be cut into groups of {m}; give a multiple of {m}")
    groups = reshape(samples, shape=(n // m, m, *inside))
    if len(inside) == 3:
        groups = transpose(groups, axes=(0, 2, 3, 1, 4))
    return reshape(groups, shape=(n // m, *inside[:-1], m * inside[-1]))
