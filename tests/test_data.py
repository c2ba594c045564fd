"""Data: the same seed gives the same numbers, factors do what they say, bad files end in a sentence."""

import gzip
import json
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigan.data import (
    ArraySource,
    Batches,
    Glyphs,
    cache,
    fashion,
    fashion_mnist,
    folder,
    grid,
    grid_centers,
    load,
    outlines,
    read_idx,
    ring,
    ring_centers,
    swiss_roll,
)


@pytest.fixture(scope="module")
def module_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIGAN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def glyphs(module_cache):
    return Glyphs(32)


def seeded(seed=0):
    return np.random.default_rng(seed)


# Mixtures

@pytest.mark.parametrize("draw, centers, modes, sigma", [(ring, ring_centers, 8, 0.01), (grid, grid_centers, 25, 0.05)])
def test_mixture_reaches_every_mode_with_the_given_spread(draw, centers, modes, sigma):
    points = draw(seeded(), 5000)
    assert points.shape == (5000, 2) and points.dtype == np.float32
    distance = np.linalg.norm(points[:, None] - centers()[None], axis=-1)
    assert centers().shape == (modes, 2) and set(distance.argmin(axis=1)) == set(range(modes))
    offset = points - centers()[distance.argmin(axis=1)]
    assert offset.std() == pytest.approx(sigma, rel=0.05)
    assert np.array_equal(points, draw(seeded(), 5000))


def test_mixture_options():
    assert np.allclose(ring_centers(4, 2), [[2, 0], [0, 2], [-2, 0], [0, -2]], atol=1e-6)
    assert np.array_equal(grid_centers(2, 1), [[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]])
    assert ring(seeded(), 0).shape == (0, 2)
    with pytest.raises(ValueError, match="at least 1"):
        ring(seeded(), 10, modes=0)


@given(st.floats(0.1, 10), st.floats(0, 0.02), st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_swiss_roll_is_a_spiral_with_noise(radius, sigma, seed):
    points = swiss_roll(seeded(seed), 2000, radius=radius, sigma=sigma * radius)
    assert points.shape == (2000, 2) and points.dtype == np.float32
    distance = np.linalg.norm(points, axis=1) / radius
    turned = 4.5 * np.pi * distance - np.arctan2(points[:, 1], points[:, 0])        # 0 on the curve, whole turns apart
    off = distance * ((turned + np.pi) % (2 * np.pi) - np.pi)                       # along the circle, over the radius
    assert np.abs(off).mean() == pytest.approx(0, abs=2e-6 + 12 * sigma) and np.abs(off).mean() >= sigma
    assert np.quantile(distance, [0.01, 0.5, 0.99]) == pytest.approx([1 / 3, 2 / 3, 1], abs=0.03 + 3 * sigma)
    assert np.array_equal(points, swiss_roll(seeded(seed), 2000, radius=radius, sigma=sigma * radius))


def test_swiss_roll_refuses():
    with pytest.raises(ValueError, match="radius is 0"):
        swiss_roll(seeded(), 10, radius=0)


# Glyphs

def test_glyphs_are_the_same_for_the_same_seed(glyphs):
    one, other = glyphs.sample(seeded(3), 100), glyphs.sample(seeded(3), 100)
    assert one.images.shape == (100, 32, 32, 1) == (100, *glyphs.shape) and one.images.dtype == np.float32
    for name, value in vars(one).items():
        assert np.array_equal(value, getattr(other, name)), name
    assert np.array_equal(one.images, glyphs.batch(seeded(3), 100))
    assert not np.array_equal(one.images, glyphs.batch(seeded(4), 100))


def test_glyphs_can_be_drawn_again_from_their_factors(glyphs):
    drawn = glyphs.sample(seeded(3), 70)
    factors = {name: value for name, value in vars(drawn).items() if name != "images"}
    assert np.array_equal(glyphs.sample(seeded(9), 70, **factors).images, drawn.images)


def test_no_glyph_is_cut_off_and_all_have_ink(glyphs):
    """Every character in every face at every corner of the factors' ranges leaves the border empty."""
    count, faces = len(glyphs.characters), len(glyphs.faces)
    assert faces >= 8
    labels = {"character": np.repeat(np.arange(count), faces), "face": np.tile(np.arange(faces), count)}
    for corner in range(8):
        names = ("slant", "scale", "position")
        slant, scale, position = (glyphs.ranges[name][corner >> i & 1] for i, name in enumerate(names))
        images = {}
        for weight in glyphs.ranges["weight"]:
            images[weight] = glyphs.sample(seeded(), count * faces, **labels, slant=slant, scale=scale,
                                           position=(position, -position), weight=weight).images[..., 0]
            border = np.concatenate([images[weight][:, [0, -1]].ravel(), images[weight][:, :, [0, -1]].ravel()])
            assert border.max() == -1
        thin, bold = images.values()
        assert thin.max(axis=(1, 2)).min() > -0.2           # hairlines are still seen
        assert (bold > thin).any(axis=(1, 2)).all() and (bold >= thin).all()
        assert bold.mean(axis=(1, 2)).max() < 0.1           # and no counter drowns


def test_glyphs_fill_the_frame(glyphs):
    ink = glyphs.batch(seeded(), 2000)[..., 0] > 0
    height, width = ink.any(axis=2).sum(axis=1), ink.any(axis=1).sum(axis=1)
    assert np.maximum(height, width).mean() > 0.62 * 32 and np.maximum(height, width).min() > 0.4 * 32


def centre(images):
    """Of the ink, in pixels from the image's middle: (right, down)."""
    ink = (images[..., 0] + 1) / 2
    down, right = (np.arange(side) - (side - 1) / 2 for side in ink.shape[1:])
    return np.stack([ink.sum(axis=1) @ right, ink.sum(axis=2) @ down], axis=1) / ink.sum(axis=(1, 2))[:, None]


def test_factors_have_their_effect(glyphs):
    base = {"slant": 0, "weight": 0, "scale": 0.7, "position": 0}

    def draw(**factor):
        return glyphs.sample(seeded(1), 200, **{**base, **factor}).images

    ink = [draw(weight=weight).mean(axis=(1, 2, 3)) for weight in (-0.008, 0, 0.01, 0.02, 0.03)]
    assert (np.diff(ink, axis=0) > 0).all()                                 # weight: more ink, always
    ink = [draw(scale=scale).mean(axis=(1, 2, 3)) for scale in (0.66, 0.72, 0.8)]
    assert (np.diff(ink, axis=0) > 0).all()                                 # scale too
    moved = centre(draw(position=(0.04, -0.03))) - centre(draw())
    assert np.allclose(moved, [0.04 * 32, -0.03 * 32], atol=0.15)           # position: ink moves as a whole
    right = draw(slant=0.2)
    top, bottom = ((centre(half) - centre(other))[:, 0] for half, other in
                   [(right[:, :16], draw()[:, :16]), (right[:, 16:], draw()[:, 16:])])
    assert (top > 0.4).all() and (bottom < -0.4).all()                      # slant: the top leans right


def test_a_given_factor_changes_nothing_else(glyphs):
    """Hidden pairs: from one generator state, the same glyphs, once upright."""
    slanted, upright = glyphs.sample(seeded(5), 50), glyphs.sample(seeded(5), 50, slant=0)
    assert (upright.slant == 0).all() and slanted.slant.std() > 0.1
    for name in ("character", "face", "weight", "scale", "position"):
        assert np.array_equal(getattr(slanted, name), getattr(upright, name))
    generator, other = seeded(5), seeded(5)
    glyphs.sample(generator, 50), glyphs.sample(other, 50, character="A", face=0, position=0)
    assert generator.bit_generator.state == other.bit_generator.state


def test_characters_by_name_and_number(glyphs):
    by_name = glyphs.sample(seeded(), 3, character="A7Z", face=glyphs.faces[1])
    assert by_name.character.tolist() == [glyphs.characters.index(c) for c in "A7Z"] and (by_name.face == 1).all()
    assert (glyphs.sample(seeded(), 3, character=4).character == 4).all()
    images, labels = glyphs.batch(seeded(), 5, labels=True)
    assert len(images) == len(labels) == 5


@pytest.mark.parametrize("wrong, sentence", [
    ({"character": "é"}, "'é' is not among"),
    ({"character": 36}, "from 0 to 35"),
    ({"face": -1}, "whole numbers from 0"),
    ({"face": "Helvetica"}, "'Helvetica' is not among"),
    ({"character": [1, 2]}, "does not fit"),
    ({"slant": [0, 0]}, "does not fit"),
    ({"slant": 1.0}, "slant 1 is out of range"),
    ({"weight": np.nan}, "weight nan is out of range"),
    ({"scale": 0.1}, "scale 0.1 is out of range"),
    ({"scale": 0.9, "position": 0.2}, "cut a glyph off"),
])
def test_glyphs_refuse(glyphs, wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        glyphs.sample(seeded(), 3, **wrong)


def test_glyphs_ranges_and_sizes(module_cache):
    upright = Glyphs(64, "AB", factors={"slant": (0, 0), "scale": (0.5, 0.5), "position": (-0.2, 0.2)})
    sample = upright.sample(seeded(), 20)
    assert sample.images.shape == (20, 64, 64, 1) and (sample.slant == 0).all() and np.abs(sample.position).max() > 0.1
    for wrong, sentence in [({"tilt": (0, 1)}, "no factor is called 'tilt'"), ({"slant": (1, 0)}, "low <= high"),
                            ({"scale": (0.5, 1)}, "cut a glyph off"), ({"position": (-0.3, 0.1)}, "cut a glyph off")]:
        with pytest.raises(ValueError, match=sentence):
            Glyphs(32, "AB", factors=wrong)
    for characters, sentence in [("", "at least one"), ("AA", "different"), ("A漢", "no text face"), ("A ", "no ink")]:
        with pytest.raises(ValueError, match=sentence):
            Glyphs(32, characters)
    with pytest.raises(ValueError, match="at size 8"):
        Glyphs(8, "AB")


def test_a_damaged_table_is_built_again(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIGAN_CACHE", str(tmp_path))
    fresh = Glyphs(32, "O1").batch(seeded(), 8)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    middle = len(whole) // 2
    for damaged in (b"", whole[:100], whole[:-1000], whole[:middle] + b"oops" + whole[middle + 4:], b"not a zip"):
        file.write_bytes(damaged)
        assert np.array_equal(Glyphs(32, "O1").batch(seeded(), 8), fresh)
        assert len(file.read_bytes()) == len(whole)
    monkeypatch.setattr(outlines, "build", None)            # from here on the file must do
    assert np.array_equal(Glyphs(32, "O1").batch(seeded(), 8), fresh)


def test_distance_field_of_a_square_with_a_hole():
    def square(r):
        return np.array([[-r, -r], [r, -r], [r, r], [-r, r]])

    outer, inner = square(0.4), square(0.2)[::-1]
    field = outlines.distance_field(np.concatenate([outer, inner]),
                                    np.concatenate([np.roll(outer, -1, axis=0), np.roll(inner, -1, axis=0)]))
    line = np.linspace(-outlines.BOX / 2, outlines.BOX / 2, outlines.SAMPLES)
    x, y = np.meshgrid(line, -line)

    def box(r):         # the textbook formula for a square, negative inside
        dx, dy = np.abs(x) - r, np.abs(y) - r
        return np.hypot(np.maximum(dx, 0), np.maximum(dy, 0)) + np.minimum(np.maximum(dx, dy), 0)

    assert np.allclose(field, np.minimum(-box(0.4), box(0.2)), atol=1e-6)


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


# Sources and batches

def numbered(n):
    return ArraySource(np.arange(n, dtype=np.float32).reshape(n, 1, 1, 1), labels=np.arange(n))


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 40), st.integers(0, 2**32))
@settings(max_examples=50, deadline=None)
def test_batches_resume_at_any_point(n, batch_size, before, seed):
    if batch_size > n:
        n, batch_size = batch_size, n
    batches = Batches(numbered(n), batch_size, seeded(seed))
    for _ in range(before):
        next(batches)
    state = json.loads(json.dumps(batches.state_dict()))            # through JSON, as a checkpoint may do
    resumed = Batches(numbered(n), batch_size, seeded(seed + 1))
    resumed.load_state_dict(state)
    for _ in range(2 * n // batch_size + 2):
        assert np.array_equal(next(batches), next(resumed)) and batches.epoch == resumed.epoch
    assert batches.state_dict() == resumed.state_dict()


@pytest.mark.parametrize("generator", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
def test_batches_resume_with_a_shared_generator_of_any_kind(generator):
    """The generator also draws the noise between batches, as in a training loop."""
    def new(seed):
        rng = np.random.Generator(getattr(np.random, generator)(seed))
        return rng, Batches(numbered(10), 3, rng)

    def step(rng, batches):
        return next(batches).ravel().tolist() + rng.random(3).tolist()

    rng, batches = new(0)
    [step(rng, batches) for _ in range(4)]
    state = batches.state_dict()
    other_rng, other = new(1)
    other.load_state_dict(state)
    assert [step(rng, batches) for _ in range(9)] == [step(other_rng, other) for _ in range(9)]


@given(st.integers(1, 30), st.integers(1, 30))
@settings(max_examples=30, deadline=None)
def test_an_epoch_shows_each_image_at_most_once(n, batch_size):
    if batch_size > n:
        n, batch_size = batch_size, n
    batches = Batches(numbered(n), batch_size, seeded(), labels=True)
    for epoch in range(3):
        assert batches.epoch == epoch
        images, labels = zip(*(next(batches) for _ in range(n // batch_size)))
        assert len(set(np.concatenate(labels))) == n // batch_size * batch_size
        assert np.array_equal(np.concatenate(images).ravel(), np.concatenate(labels))


def test_batches_of_endless_sources(glyphs):
    batches = Batches(glyphs, 4, seeded(), labels=True)
    next(batches)
    state = batches.state_dict()
    images, labels = next(batches)
    assert images.shape == (4, 32, 32, 1) and labels.shape == (4,)
    again = Batches(glyphs, 4, seeded(7), labels=True)
    again.load_state_dict(state)
    assert np.array_equal(next(again)[0], images)
    assert next(Batches(ring, 16, seeded())).shape == (16, 2)
    assert next(Batches(np.zeros((5, 2)), 5, seeded())).dtype == np.float32


def test_batches_refuse():
    with pytest.raises(ValueError, match="has 3 images, too few for one batch of 4"):
        Batches(numbered(3), 4, seeded())
    for wrong in (0, -1, 2.0, None):
        with pytest.raises(ValueError, match="at least 1 image"):
            Batches(numbered(3), wrong, seeded())
    with pytest.raises(TypeError, match=r"numpy\.random\.Generator"):
        Batches(numbered(3), 1, 0)
    with pytest.raises(TypeError, match="list is none of these"):
        Batches([1, 2], 1, seeded())
    for source in (ring, ArraySource(np.zeros((3, 1)))):
        with pytest.raises(ValueError, match="has none"):
            Batches(source, 1, seeded(), labels=True)
    batches = Batches(numbered(9), 2, seeded())
    state = batches.state_dict()
    for wrong, sentence in [({**state, "size": 8}, "size 8, here it is 9"),
                            ({**state, "batch_size": 3}, "batch_size 3"),
                            ({**state, "rng": np.random.MT19937(0).state}, "MT19937"),
                            ({"size": 9}, "lacks batch_size")]:
        with pytest.raises(ValueError, match=sentence):
            batches.load_state_dict(wrong)
    assert batches.state_dict() == state


def test_array_source():
    data = ArraySource(np.array([[0, 255], [51, 204]], np.uint8), labels=[0, 1])
    assert np.allclose(data.take([1, 0]), [[-0.6, 0.6], [-1, 1]])
    images, labels = data.batch(seeded(), 50, labels=True)
    assert images.shape == (50, 2) and set(labels) == {0, 1}
    floats = np.zeros((2, 2))
    ArraySource(floats).take(slice(None))[:] = 1                    # what it hands out is the caller's
    assert (floats == 0).all()


@pytest.mark.parametrize("images, labels, error, sentence", [
    (np.array([[0.0], [np.nan], [np.inf]]), None, ValueError, r"2 of 3 images .* the first at index 1"),
    (np.array([[np.inf], [-np.inf]], np.float32), None, ValueError, "2 of 2 images"),
    (np.array([[1e300]]), None, ValueError, "1 of 1 images"),
    (np.zeros((2, 2), int), None, TypeError, "images are int64"),
    (np.zeros(3), None, ValueError, "first axis"),
    (np.zeros((3, 2)), [0, 1], ValueError, r"of shape \(3,\)"),
    (np.zeros((2, 2)), [0.5, 1], ValueError, "whole numbers"),
])
def test_array_source_refuses(images, labels, error, sentence):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(error, match=sentence):
            ArraySource(images, labels)


def test_load(module_cache):
    assert load("glyphs", size=16).shape == (16, 16, 1)
    with pytest.raises(ValueError, match='"glyphs", "fashion-mnist" and "folder:PATH"'):
        load("celeba", size=64)
