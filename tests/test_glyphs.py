"""Glyphs: the same seed gives the same images, and a factor does what it says and nothing else."""

import numpy as np
import pytest
from conftest import seeded

from minigan.data import Glyphs, outlines

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
