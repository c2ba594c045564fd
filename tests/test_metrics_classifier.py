"""The classifier that image metrics look through: on images whose class is plain, and from a spoiled cache."""

import numpy as np
import pytest

from minigan.data import ArraySource
from minigan.metrics import classifier, own_classifier
from minigan.metrics.classifier import Classifier, network, train


def halves(rng, n, size=12):
    """Noise with one bright half: left is class 0, right 1, upper 2."""
    labels = rng.integers(3, size=n)
    images = 0.3 * rng.standard_normal((n, size, size, 1)).astype(np.float32) - 0.5
    images[labels == 0, :, : size // 2] += 1
    images[labels == 1, :, size // 2 :] += 1
    images[labels == 2, : size // 2] += 1
    return images, labels


@pytest.fixture
def bright(monkeypatch, tmp_path):
    """own_classifier over `halves`, in few steps, with a cache of its own; the list of what was trained."""
    monkeypatch.setenv("MINIGAN_CACHE", str(tmp_path))
    monkeypatch.setattr(classifier, "STEPS", 60)
    trained, given = [], {"offset": 0.0}

    def load(data, *, size, split="train"):
        images, labels = halves(np.random.default_rng(split == "train"), 600, size)
        return ArraySource(images + np.float32(given["offset"]), labels)

    def counted(*arguments):
        trained.append(arguments[-1])
        train(*arguments)

    monkeypatch.setattr(classifier, "load", load)
    monkeypatch.setattr(classifier, "train", counted)
    return trained, given


def test_it_learns_what_a_plain_class_is(bright, rng):
    eye = own_classifier("fashion-mnist", 12)
    images, labels = halves(rng, 400)
    assert (eye.classes(images) == labels).mean() > 0.97 and eye.accuracy > 0.97
    assert eye.features(images).shape == (400, 64) and eye.features(images).dtype == np.float32
    shares = eye.probabilities(images)
    assert shares.shape == (400, 3) and shares.sum(axis=1) == pytest.approx(np.ones(400), abs=1e-5)


def test_an_image_is_judged_by_itself(bright, rng):
    """Neither its neighbours in the batch nor the size of a chunk change what is seen."""
    eye = own_classifier("fashion-mnist", 12)
    images, _ = halves(rng, classifier.CHUNK + 3)
    for seen in (eye.features, eye.probabilities):
        whole = seen(images)
        assert seen(images[-5:]) == pytest.approx(whole[-5:], abs=1e-5)
        assert seen(images.astype(np.float64)[:4]) == pytest.approx(whole[:4], abs=1e-5)


def test_trained_once_for_each_kind_of_data_size_and_seed(bright, rng):
    trained, given = bright
    images, _ = halves(rng, 8)
    first = own_classifier("fashion-mnist", 12)
    again = own_classifier("fashion-mnist", 12)
    assert len(trained) == 1 and again.accuracy == first.accuracy
    assert np.array_equal(first.features(images), again.features(images))
    own_classifier("fashion-mnist", 12, seed=1)
    own_classifier("fashion-mnist", 14)
    given["offset"] = 0.1  # other data under the same name
    own_classifier("fashion-mnist", 12)
    assert len(trained) == 4


def test_a_spoiled_file_is_trained_anew(bright, tmp_path):
    trained, _ = bright
    first = own_classifier("fashion-mnist", 12)
    (path,) = tmp_path.glob("classifier-fashion-mnist-12-*.safetensors")
    path.write_bytes(path.read_bytes()[:200])
    assert own_classifier("fashion-mnist", 12).accuracy == first.accuracy
    assert len(trained) == 2 and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("size", [12, 28, 32, 64])
def test_networks_of_every_size(size, rng):
    eye = Classifier(*network((size, size, 3), 7, rng), (size, size, 3))
    images = rng.uniform(-1, 1, (2, size, size, 3))
    assert eye.features(images).shape == (2, 64) and eye.probabilities(images).shape == (2, 7)


def test_what_is_refused(rng):
    eye = Classifier(*network((12, 12, 1), 3, rng), (12, 12, 1))
    with pytest.raises(ValueError, match=r"features: images have shape \(2, 14, 14, 1\), wants \(N, 12, 12, 1\)"):
        eye.features(np.zeros((2, 14, 14, 1)))
    with pytest.raises(ValueError, match="N at least 1"):
        eye.features(np.zeros((0, 12, 12, 1)))
    with pytest.raises(TypeError, match=r"probabilities: images are uint8, wants floats in \[-1, 1\]"):
        eye.probabilities(np.zeros((2, 12, 12, 1), np.uint8))
    with pytest.raises(ValueError, match="folder:x has no labels"):
        own_classifier("folder:x", 28)
    with pytest.raises(ValueError, match="no data called 'mnist'"):
        own_classifier("mnist", 28)
