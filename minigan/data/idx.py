"""The idx format of MNIST and its kin: a magic number, the sizes, then the bytes; all of it gzipped.

    00 00 | type: 08 = unsigned byte | number of dimensions | each size, 4 bytes, big-endian | data

A file from a disk or a network may be cut short, damaged or something else altogether; each case
ends in one sentence that names the file. Stands on the standard library and NumPy.
"""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

PIECE = 1 << 20


def read_idx(path):
    """The array of unsigned bytes in a gzipped idx file → uint8.

    FileNotFoundError where there is no file; ValueError where it is not gzip, is cut short or damaged,
    or is not idx of unsigned bytes in 1 to 4 dimensions whose sizes match the data.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"read_idx: there is no file {path}.")
    try:
        with gzip.open(path) as file:
            return _read(file, path)
    except EOFError:
        raise ValueError(f"read_idx: {path} is cut short: the compressed data ends too soon. Get it again.") from None
    except gzip.BadGzipFile as error:
        raise ValueError(f"read_idx: {path} is not a whole gzip file ({error}).") from None
    except zlib.error as error:
        raise ValueError(f"read_idx: {path} is damaged ({error}). Get it again.") from None


def _read(file, path):
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        start = magic.hex(" ") or "nothing"
        raise ValueError(f"read_idx: {path} is not an idx file: it starts with {start}, not 00 00.")
    kind, ndim = magic[2:]
    if kind != 8:
        raise ValueError(f"read_idx: {path} holds values of type 0x{kind:02x}; only unsigned bytes (0x08) are read.")
    if not 1 <= ndim <= 4:
        raise ValueError(f"read_idx: {path} claims {ndim} dimensions; images and labels have 1 to 4.")
    sizes = file.read(4 * ndim)
    if len(sizes) < 4 * ndim:
        raise ValueError(f"read_idx: {path} is cut short: it ends within the header.")
    shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4"))
    promised = math.prod(shape)

    # Piece by piece up to what was promised, and a byte more: what a lying header claims is never
    # allocated, and the end of the stream, with its checksum, is reached.
    data = bytearray()
    while len(data) <= promised and (piece := file.read(min(PIECE, promised + 1 - len(data)))):
        data += piece
    if len(data) != promised:
        holds = f"only {len(data)}" if len(data) < promised else "more"
        raise ValueError(f"read_idx: {path} has a header for {promised} bytes of shape {shape}, but holds {holds}.")
    return np.frombuffer(data, np.uint8).reshape(shape)
