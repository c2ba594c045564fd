"""A folder of the user's own pictures, cut to squares.

Stands on sources.py and on Pillow, which comes with Matplotlib.
"""

import warnings
from pathlib import Path

import numpy as np

from .sources import ArraySource

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")


def folder(path, size, channels=3):
    """All pictures in a folder and the folders below it, as an ArraySource in the order of their names.

    Each is turned upright by its EXIF tag, resized until its short side is `size` pixels, and cropped to
    the middle square. channels is 3 (RGB) or 1 (grey). Of an animation the first frame counts; what is
    transparent becomes white. Files that cannot be read are skipped with one warning.

    FileNotFoundError: no such folder. ValueError: no picture in it, or none that can be read.
    """
    from tqdm import tqdm

    path = Path(path).expanduser()
    if not path.is_dir():
        raise FileNotFoundError(f"folder: there is no folder {path}.")
    if channels not in (1, 3):
        raise ValueError(f"folder: channels is {channels!r}; it must be 3 (RGB) or 1 (grey).")
    if size < 1:
        raise ValueError(f"folder: size is {size}, but an image has at least 1 pixel a side.")
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    if not files:
        raise ValueError(f"folder: no picture in {path} or below; looked for {', '.join(SUFFIXES)}.")

    images, unreadable = [], []
    for file in tqdm(files, desc=f"reading {path.name}", unit="image", leave=False):
        try:
            images.append(_read(file, size, channels))
        except Exception as error:      # Pillow raises whatever a broken file happens to trip over
            unreadable.append(f"{file.relative_to(path)} ({type(error).__name__})")
    if unreadable:
        few = ", ".join(unreadable[:3]) + (", ..." if len(unreadable) > 3 else "")
        message = f"folder: {len(unreadable)} of {len(files)} pictures in {path} cannot be read: {few}."
        if not images:
            raise ValueError(message)
        warnings.warn(f"{message} They are skipped.", stacklevel=2)
    return ArraySource(np.stack(images))


def _read(file, size, channels):
    """One picture → (size, size, channels) uint8."""
    from PIL import Image, ImageOps

    mode = "RGB" if channels == 3 else "L"
    with Image.open(file) as image:
        image.draft(mode, (2 * size, 2 * size))     # a JPEG far larger than needed is decoded smaller, much faster
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):              # 16 bits a pixel; convert() would clip them, not scale them
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        image = ImageOps.fit(image.convert(mode), (size, size), Image.Resampling.LANCZOS)
        return np.asarray(image).reshape(size, size, channels)
