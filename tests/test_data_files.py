"""Files of data, from idx to folders of pictures: whole ones are read, bad ones end in a sentence."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from conftest import seeded
from hypothesis import given, settings
from hypothesis import strategies as st

from minigan.data import cache, fashion, fashion_mnist, folder, load, read_idx


def test_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIGAN_CACHE", str(tmp_path / "a" / "b"))
    assert cache.cache_folder() == tmp_path / "a" / "b"
    monkeypatch.delenv("MINIGAN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.cache_folder() == tmp_path / "minigan"
    (tmp_path / "file").touch()                             # a file where the folder should be: not writable
    monkeypatch.setenv("MINIGAN_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(cache.tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    assert cache.cache_folder() == tmp_path / "temporary" / "minigan"


def test_atomically_leaves_the_old_file_and_no_litter(tmp_path):
    file = tmp_path / "x"
    file.write_text("old")
    with pytest.raises(KeyboardInterrupt), cache.atomically(file) as part:
        part.write_text("half")
        raise KeyboardInterrupt
    assert file.read_text() == "old" and list(tmp_path.iterdir()) == [file]


# idx and Fashion-MNIST

def idx(array, header=None):
    array = np.asarray(array, np.uint8)
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) if header is None else header
    return gzip.compress(header + array.tobytes(), mtime=0)


@pytest.fixture(scope="module")
def idx_file(tmp_path_factory):
    return tmp_path_factory.mktemp("idx") / "data-ubyte.gz"


@given(st.lists(st.integers(0, 5), min_size=1, max_size=4))
@settings(max_examples=30, deadline=None)
def test_idx_round_trip(idx_file, shape):
    array = seeded().integers(0, 256, shape).astype(np.uint8)
    idx_file.write_bytes(idx(array))
    assert np.array_equal(read_idx(idx_file), array)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_idx_cut_short_anywhere(idx_file, data):
    whole = idx(seeded().integers(0, 256, (3, 5, 5)))
    idx_file.write_bytes(whole[:data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(ValueError, match=r"data-ubyte\.gz"):
        read_idx(idx_file)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_idx_damaged_anywhere_never_gives_wrong_data(idx_file, data):
    array = seeded().integers(0, 256, (3, 5, 5)).astype(np.uint8)
    whole = bytearray(idx(array))
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    idx_file.write_bytes(whole)
    try:
        assert np.array_equal(read_idx(idx_file), array)        # gzip's own header has bytes without meaning
    except ValueError as error:
        assert "data-ubyte.gz" in str(error)


@pytest.mark.parametrize("content, sentence", [
    (b"", "starts with nothing"),
    (b"\0\0\x08\x01\0\0\0\x01\x07", "not a whole gzip file"),
    (b"\x89PNG....", "not a whole gzip file"),
    (idx([1, 2], b"PK\x03\x04"), "not an idx file: it starts with 50 4b 03 04"),
    (idx([1, 2], b"\0\0\x0d\x01\0\0\0\x02"), "type 0x0d"),
    (idx([1, 2], b"\0\0\x08\0"), "0 dimensions"),
    (idx([1, 2], b"\0\0\x08\xff"), "255 dimensions"),
    (idx([], b"\0\0\x08\x03\0\0"), "within the header"),
    (idx([1, 2], b"\0\0\x08\x01\0\0\0\x03"), "header for 3 bytes .* holds only 2"),
    (idx([1, 2], b"\0\0\x08\x01\0\0\0\x01"), "header for 1 bytes .* holds more"),
    (idx([1, 2], b"\0\0\x08\x04" + b"\xff" * 16), "holds only 2"),
    (idx([1, 2]) + b"trailing", "not a whole gzip file"),
])
def test_idx_refuses(idx_file, content, sentence):
    idx_file.write_bytes(content)
    with pytest.raises(ValueError, match=sentence):
        read_idx(idx_file)


def test_idx_missing(tmp_path):
    for path in (tmp_path / "nothing.gz", tmp_path):
        with pytest.raises(FileNotFoundError, match="there is no file"):
            read_idx(path)


@pytest.mark.parametrize("inside", ["", "fashion-mnist"])
def test_fashion_mnist_from_own_folder(tmp_path, monkeypatch, inside):
    monkeypatch.setenv("MINIGAN_DATA", str(tmp_path))
    own = tmp_path / inside
    own.mkdir(exist_ok=True)
    images = seeded().integers(0, 256, (4, 28, 28)).astype(np.uint8)
    (own / "t10k-images-idx3-ubyte.gz").write_bytes(idx(images))
    (own / "t10k-labels-idx1-ubyte.gz").write_bytes(idx([3, 1, 4, 1]))

    data = fashion_mnist("test")
    got, labels = data.take(slice(None), labels=True)
    assert data.shape == (28, 28, 1) and got.dtype == np.float32 and labels.dtype == np.int64
    assert np.array_equal(np.rint((got[..., 0] + 1) * 127.5), images) and labels.tolist() == [3, 1, 4, 1]
    assert got.min() >= -1 and got.max() <= 1

    padded = load("fashion-mnist", size=32, split="test").take([0, 1, 2, 3])
    assert np.array_equal(padded[:, 2:-2, 2:-2], got)
    padded[:, 2:-2, 2:-2] = -1
    assert (padded == -1).all()
    assert fashion_mnist("test", 64).take([0]).shape == (1, 64, 64, 1)

    (own / "t10k-labels-idx1-ubyte.gz").write_bytes(idx([3, 1]))
    with pytest.raises(ValueError, match="labels of shape"):
        fashion_mnist("test")
    (own / "t10k-images-idx3-ubyte.gz").write_bytes(idx(images[:, :20]))
    with pytest.raises(ValueError, match=r"not \(N, 28, 28\)"):
        fashion_mnist("test")


@pytest.mark.parametrize("size", [14, 28, 56, 64])
def test_resize_keeps_flat_and_linear_images(size):
    ramp = np.broadcast_to(np.arange(28) * 8, (1, 28, 28)).astype(np.uint8)
    out = fashion.resize(ramp, size)[0, :, 2:-2].astype(float)
    expected = ((np.arange(size) + 0.5) * 28 / size - 0.5)[2:-2] * 8
    assert np.abs(out - expected).max() <= 0.51
    assert (fashion.resize(np.full((2, 28, 28), 200, np.uint8), size) == 200).all()


def test_fashion_mnist_nowhere(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIGAN_DATA", str(tmp_path / "own"))
    monkeypatch.setenv("MINIGAN_CACHE", str(tmp_path))
    monkeypatch.setattr(fashion, "DEBIAN", str(tmp_path / "debian"))
    monkeypatch.setattr(fashion, "URL", "http://127.0.0.1:9/")
    with pytest.raises(FileNotFoundError, match=r"(?s)own.*debian.*failed.*MINIGAN_DATA.*apt install.*internet"):
        fashion_mnist()
    assert not list((tmp_path / "fashion-mnist").iterdir())


def test_fashion_mnist_download_is_checked(tmp_path, monkeypatch):
    published = tmp_path / "published"
    published.mkdir()
    monkeypatch.setenv("MINIGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MINIGAN_DATA", raising=False)
    monkeypatch.setattr(fashion, "DEBIAN", str(tmp_path / "debian"))
    monkeypatch.setattr(fashion, "URL", published.as_uri() + "/")
    for name, array in [("t10k-images-idx3", np.zeros((2, 28, 28))), ("t10k-labels-idx1", [0, 9])]:
        (published / f"{name}-ubyte.gz").write_bytes(idx(array))
    with pytest.raises(FileNotFoundError, match="SHA-256 differs"):
        fashion_mnist("test")
    monkeypatch.setattr(fashion, "SHA256", {file.name: fashion._sha256(file) for file in published.iterdir()})
    assert len(fashion_mnist("test")) == 2
    monkeypatch.setattr(fashion, "URL", "http://127.0.0.1:9/")      # the second time it is in the cache
    assert len(fashion_mnist("test")) == 2


def test_fashion_mnist_arguments():
    with pytest.raises(ValueError, match='"train" and "test"'):
        fashion_mnist("valid")
    with pytest.raises(ValueError, match="size is 0"):
        fashion_mnist(size=0)


@pytest.mark.skipif(not Path(fashion.DEBIAN, "t10k-images-idx3-ubyte.gz").is_file(),
                    reason="Fashion-MNIST is not installed (apt install dataset-fashion-mnist)")
def test_the_real_fashion_mnist(monkeypatch):
    monkeypatch.delenv("MINIGAN_DATA", raising=False)
    data = fashion_mnist("test")
    assert len(data) == 10_000 and np.bincount(data.labels).tolist() == [1000] * 10
    for name in ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"):
        assert fashion._sha256(Path(fashion.DEBIAN, name)) == fashion.SHA256[name]


# A folder of pictures

@pytest.fixture
def pictures(tmp_path):
    from PIL import Image

    (tmp_path / "deeper").mkdir()
    half = np.zeros((20, 40, 3), np.uint8)          # left half red, right half blue
    half[:, :20, 0] = half[:, 20:, 2] = 255
    Image.fromarray(half).save(tmp_path / "b.png")
    turned = Image.Exif()
    turned[0x0112] = 6                              # to be turned by 90° clockwise
    Image.fromarray(half).save(tmp_path / "a.jpg", exif=turned, quality=100, subsampling=0)
    Image.fromarray(np.full((9, 9), 40_000, np.uint16)).save(tmp_path / "c.png")
    Image.new("RGBA", (9, 9), (0, 0, 0, 0)).save(tmp_path / "deeper" / "d.PNG")
    frames = [Image.new("L", (9, 9), value) for value in (0, 255)]
    frames[0].save(tmp_path / "deeper" / "e.gif", save_all=True, append_images=frames[1:])
    (tmp_path / "notes.txt").write_text("not a picture")
    return tmp_path


def test_folder(pictures):
    data = folder(pictures, 10)
    assert data.shape == (10, 10, 3) and len(data) == 5
    a, b, c, d, e = data.take(slice(None))
    assert np.allclose(b[5, 1], [1, -1, -1], atol=0.1) and np.allclose(b[5, 8], [-1, -1, 1], atol=0.1)
    assert np.allclose(a[1, 5], [1, -1, -1], atol=0.1) and np.allclose(a[8, 5], [-1, -1, 1], atol=0.1)
    assert np.allclose(c, 40_000 / 65_535 * 2 - 1, atol=0.02)
    assert (d == 1).all() and (e == -1).all()
    assert folder(pictures, 8, channels=1).shape == (8, 8, 1)
    assert np.array_equal(load(f"folder:{pictures}", size=10).images, data.images)


def test_folder_skips_what_it_cannot_read_and_says_so(pictures):
    for name in "vwxyz":
        (pictures / f"{name}.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    with pytest.warns(UserWarning, match=r"5 of 10 pictures.*v\.png.*w\.png.*x\.png.*\.\.\.") as record:
        assert len(folder(pictures, 8)) == 5
    assert len(record) == 1


def test_folder_refuses(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        folder(tmp_path / "nowhere", 8)
    with pytest.raises(ValueError, match=r"no picture in .* looked for \.png"):
        folder(tmp_path, 8)
    with pytest.raises(ValueError, match="channels is 4"):
        folder(tmp_path, 8, channels=4)
    (tmp_path / "x.png").touch()
    with pytest.raises(ValueError, match=r"1 of 1 pictures .* cannot be read"):
        folder(tmp_path, 8)
