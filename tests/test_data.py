"""Mixtures, sources and batches: the same seed gives the same numbers, and a batch goes on where it was."""

import json
import warnings

import numpy as np
import pytest
from conftest import seeded
from hypothesis import given, settings
from hypothesis import strategies as st

from minigan.data import ArraySource, Batches, grid, grid_centers, load, ring, ring_centers, swiss_roll

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
