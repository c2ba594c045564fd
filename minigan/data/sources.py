"""What a source of images is, and the finite one: an array.

Every source has
    .shape                              of one image, (H, W, C)
    .batch(rng, n, labels=False)        n independent draws, (n, H, W, C) float32 in [-1, 1];
                                        with labels=True a pair, images and labels
and a finite one has also
    len(source)
    .take(indices, labels=False)        those images, in that order

That is all that batches.py asks for. Stands on nothing but NumPy. glyphs.py is the endless kind.
"""

import numpy as np


class ArraySource:
    """A finite source: images (N, H, W, C), or data of any other shape (N, ...), with or without labels.

    images   uint8 (0..255, kept as bytes and turned to [-1, 1] batch by batch) or floats (used as they are)
    labels   (N,) whole numbers, or None
    ValueError: a NaN or infinity among the images; labels that do not match.
    """

    def __init__(self, images, labels=None):
        images = np.asarray(images)
        if images.ndim < 2:
            raise ValueError(f"ArraySource: images have shape {images.shape}, but the first axis must count them.")
        if images.dtype != np.uint8 and images.dtype.kind != "f":
            raise TypeError(f"ArraySource: images are {images.dtype}; they must be uint8 (0..255) or floats ([-1, 1]).")
        if images.dtype.kind == "f":
            with np.errstate(over="ignore"):        # what float32 cannot hold becomes an infinity, and is reported
                images = images.astype(np.float32, copy=False)
            _check_finite(images)
        if labels is not None:
            labels = np.asarray(labels)
            if labels.shape != (len(images),) or labels.dtype.kind not in "iu":
                raise ValueError(f"ArraySource: labels are {labels.dtype} of shape {labels.shape}; "
                                 f"they must be whole numbers of shape ({len(images)},).")
            labels = labels.astype(np.int64, copy=False)
        self.images, self.labels, self.shape = images, labels, images.shape[1:]

    def __len__(self):
        return len(self.images)

    def take(self, indices, labels=False):
        """The images at `indices` (numbers or a slice) as float32, and with labels=True their labels."""
        images = self.images[indices]
        images = from_bytes(images) if images.dtype == np.uint8 else images.copy()
        if not labels:
            return images
        if self.labels is None:
            raise ValueError("ArraySource: labels were asked for, but this source has none.")
        return images, self.labels[indices]

    def batch(self, rng, n, labels=False):
        """n images drawn independently, so one may come twice."""
        return self.take(rng.integers(len(self), size=n), labels)


def from_bytes(images):
    """0..255 → -1..1 float32."""
    return images.astype(np.float32) / np.float32(127.5) - 1


def _check_finite(images):
    # A float64 sum of float32 values is finite exactly if they all are; it needs no mask as large as the data.
    with np.errstate(invalid="ignore"):
        if np.isfinite(images.sum(dtype=np.float64)):
            return
    bad = [i for i, image in enumerate(images) if not np.isfinite(image).all()]
    raise ValueError(f"ArraySource: {len(bad)} of {len(images)} images hold NaN or infinity, the first at index "
                     f"{bad[0]}. A network that sees one is lost: find out where they come from.")
