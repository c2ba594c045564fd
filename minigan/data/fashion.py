"""Fashion-MNIST: 70,000 grey images of clothes, 28 x 28, in ten classes (Xiao, Rasul and Vollgraf 2017).

As easy to load as MNIST and harder to draw. The files come from $MINIGAN_DATA, from Debian's package,
or from the publisher, Zalando Research (MIT licence), in this order.

Stands on idx.py, which reads the files, sources.py and cache.py.
"""

import gzip
import hashlib
import os
import zlib
from pathlib import Path

import numpy as np

from .cache import atomically, cache_folder
from .idx import read_idx
from .sources import ArraySource

CLASSES = ("T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
DEBIAN = "/usr/share/datasets/fashion-mnist"
URL = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"

# Of the decompressed bytes: Debian and the publisher compress the same content differently.
SHA256 = {
    "train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte.gz": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte.gz": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}


def fashion_mnist(split="train", size=28):
    """Fashion-MNIST as an ArraySource: 60,000 images ("train") or 10,000 ("test"), labels as in CLASSES.

    size   28 as published; 32 adds two pixels of ground on each side; any other size is resized
    FileNotFoundError if the files are nowhere and cannot be downloaded; ValueError if one is damaged.
    """
    if split not in ("train", "test"):
        raise ValueError(f'fashion_mnist: split is {split!r}; there are "train" and "test".')
    if size < 1:
        raise ValueError(f"fashion_mnist: size is {size}, but an image has at least 1 pixel a side.")
    part = "train" if split == "train" else "t10k"
    paths = [_find(f"{part}-{what}-ubyte.gz") for what in ("images-idx3", "labels-idx1")]
    images, labels = (read_idx(path) for path in paths)
    if images.ndim != 3 or images.shape[1:] != (28, 28):
        raise ValueError(f"fashion_mnist: {paths[0]} holds shape {images.shape}, not (N, 28, 28).")
    if labels.shape != images.shape[:1]:
        raise ValueError(f"fashion_mnist: {paths[1]} holds labels of shape {labels.shape} for {len(images)} images.")
    if size == 32:
        images = np.pad(images, ((0, 0), (2, 2), (2, 2)))
    elif size != 28:
        images = resize(images, size)
    return ArraySource(images[..., None], labels)


def resize(images, size):
    """Resize square grey images (N, S, S) uint8 to size x size, linearly.

    A resize is a matrix on each side: out = W image Wᵀ. Row i of W weighs the pixels by a triangle around
    i's place, as wide as a pixel of the coarser of the two grids.
    """
    side = images.shape[1]
    step = side / size
    place = (np.arange(size) + 0.5) * step - 0.5
    weights = np.maximum(0, 1 - np.abs(place[:, None] - np.arange(side)) / max(step, 1))
    weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    out = np.empty((len(images), size, size), np.uint8)
    for start in range(0, len(images), 1000):       # as floats, all at once, they would be four times the size
        part = slice(start, start + 1000)
        out[part] = np.rint(weights @ images[part].astype(np.float32) @ weights.T)
    return out


def _find(name):
    """Where the file is; if it is nowhere, where the download has put it."""
    folders = [Path(DEBIAN), cache_folder() / "fashion-mnist"]
    if os.environ.get("MINIGAN_DATA"):
        own = Path(os.environ["MINIGAN_DATA"]).expanduser()
        folders = [own, own / "fashion-mnist", *folders]
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    try:
        return _download(name, folders[-1])
    except (OSError, ValueError) as error:
        looked = ", ".join(str(folder) for folder in folders)
        raise FileNotFoundError(
            f"fashion_mnist: there is no {name} in {looked}, and the download from {URL} failed ({error}). "
            f"Three ways to get it: set MINIGAN_DATA to a folder that holds the four .gz files; on Debian or Ubuntu, "
            f"apt install dataset-fashion-mnist; or run this once with access to the internet."
        ) from None


def _download(name, folder):
    from http.client import HTTPException
    from urllib.request import urlopen

    from tqdm import tqdm

    folder.mkdir(parents=True, exist_ok=True)
    with atomically(folder / name) as part:
        try:
            with urlopen(URL + name, timeout=30) as reply, open(part, "wb") as file:
                total = int(reply.headers.get("Content-Length") or 0) or None
                with tqdm(total=total, desc=name, unit="B", unit_scale=True, leave=False) as bar:
                    while piece := reply.read(1 << 16):
                        file.write(piece)
                        bar.update(len(piece))
        except HTTPException as error:
            raise OSError(f"{type(error).__name__}: {error}") from None
        if _sha256(part) != SHA256[name]:
            raise ValueError("its content is not what was published: the SHA-256 differs")
    return folder / name


def _sha256(path):
    """Of the content of a gzip file, or None if it is not a whole one."""
    digest = hashlib.sha256()
    try:
        with gzip.open(path) as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return None
    return digest.hexdigest()
