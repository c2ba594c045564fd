"""Fréchet distance between two sets of images, each seen as one Gaussian of features.

The papers' FID takes its features from the Inception network, which was trained on ImageNet. Here they are either the
leading principal components of the real pixels (`pixel_frechet`: no network; it sees brightness, shape and how they
vary together, and not texture), or those of a classifier of one's own (`classifier_frechet`: it sees what tells the
classes apart). Neither number has a meaning beside a paper's FID: compare it with the distance between two sets of
real images, which is its floor.

Source of the formula: Heusel et al. 2017, equation 6.  Stands on NumPy. Read classifier.py next.
"""

import numpy as np


def frechet_distance(a, b):
    """|μa - μb|² + tr(Ca + Cb - 2 (Ca Cb)^½) of two sets of features (n, d), each seen as one Gaussian."""
    mean_a, mean_b = a.mean(0), b.mean(0)
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    values, vectors = np.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ cov_b @ root), 0)).sum()
    return float(((mean_a - mean_b) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * cross)


def classifier_frechet(real, fake, classifier):
    """Fréchet distance in the features of a classifier → float. It is NOT the papers' FID.

    real, fake  images (n, H, W, C) and (m, H, W, C) in [-1, 1]; use the same n and m in all that is compared, and many
                times as many as there are features: the fewer the images, the larger the distance comes out
    classifier  anything with .features(images) → (n, F), such as own_classifier(data, size)
    Source: Heusel et al. 2017, equation 6.
    """
    features = [np.asarray(classifier.features(images), np.float64) for images in (real, fake)]
    if min(map(len, features)) < 2:
        raise ValueError(f"classifier_frechet: wants sets of at least 2 images, got {[len(x) for x in features]}")
    return frechet_distance(*features)


def principal_axes(centred, components):
    """The leading principal axes of centred rows (n, d), as orthonormal columns (d, components or fewer)."""
    n, d = centred.shape
    # X Xᵀ and Xᵀ X share their eigenvalues: take the smaller one
    values, vectors = np.linalg.eigh(centred @ centred.T if n < d else centred.T @ centred)
    keep = np.flatnonzero(values > values[-1] * 1e-12)[::-1][:components]
    return centred.T @ vectors[:, keep] / np.sqrt(values[keep]) if n < d else vectors[:, keep]


def pixel_frechet(real, fake, held_out, *, components=64):
    """(distance of fake to real, distance of held_out to real): images (n, H, W, C), held_out real ones too.

    In units of the total variance of the real pixels: 0 is a perfect match of means and covariances, and constant
    images at the mean score 1.
    """
    flat = [np.asarray(x, np.float64).reshape(len(x), -1) for x in (real, fake, held_out)]
    if min(map(len, flat)) < 2 or len({x.shape[1] for x in flat}) != 1:
        raise ValueError(f"pixel_frechet: wants sets of at least 2 images of one shape, got {[x.shape for x in flat]}")
    mean = flat[0].mean(0)
    axes = principal_axes(flat[0] - mean, components)
    real, fake, held_out = ((x - mean) @ axes for x in flat)
    scale = real.var(0).sum()
    if scale < 1e-12:
        raise ValueError(f"pixel_frechet: the {len(real)} real images are all the same; nothing varies to compare with")
    return frechet_distance(real, fake) / scale, frechet_distance(real, held_out) / scale


def spread(images):
    """Mean squared distance between two images of a set: near 0 when G makes one image over and over."""
    flat = np.asarray(images, np.float64).reshape(len(images), -1)
    return float(2 * flat.var(0, ddof=1).sum())
