"""Pictures hold what they should, at the size they should, written in one piece."""

import os
import sys

import numpy as np
import pytest

from minigan import plot

PIL = pytest.importorskip("PIL.Image")


def test_a_grid_lays_images_out_row_by_row():
    images = np.stack([np.full((2, 3, 1), v, np.float32) for v in (-1, 0, 1, 5, np.nan)])
    grid = plot.image_grid(images, columns=3, pad=1)
    assert grid.shape == (2 * 3 + 1, 3 * 4 + 1, 1) and grid.dtype == np.uint8
    assert [grid[1, c, 0] for c in (1, 5, 9)] == [0, 128, 255]
    assert [grid[4, c, 0] for c in (1, 5, 9)] == [255, 0, 0]
    assert not grid[0].any() and not grid[:, 0].any() and not grid[3].any()


def test_a_grid_takes_uint8_as_it_is_tensors_and_few_images():
    class Tensor:
        data = memoryview(b"not this")

        def numpy(self):
            return np.full((2, 4, 4, 3), 7, np.uint8)

    assert set(np.unique(plot.image_grid(Tensor(), pad=0))) == {7}
    assert plot.image_grid(Tensor(), columns=8, pad=2).shape == (8, 14, 3)
    for shape in [(4, 4, 3), (0, 4, 4, 3)]:
        with pytest.raises(ValueError, match=r"image_grid: images are .N, H, W, C."):
            plot.image_grid(np.zeros(shape))


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 3)])
def test_an_image_comes_back_as_it_was(tmp_path, shape):
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    plot.save_image(tmp_path / "a.png", array)
    with PIL.open(tmp_path / "a.png") as image:
        assert np.array_equal(np.asarray(image), array.reshape(5, 7) if shape[-1] == 1 else array)
    assert plot.read_image(tmp_path / "a.png").shape == (5, 7, 3)
    assert os.listdir(tmp_path) == ["a.png"]
    with pytest.raises(TypeError, match="uint8, got float64"):
        plot.save_image(tmp_path / "b.png", np.zeros(shape))


def test_a_gif_has_its_frames_and_their_time(tmp_path):
    frames = [np.full((6, 8, 3), 40 * k, np.uint8) for k in range(5)]
    plot.save_gif(tmp_path / "a.gif", iter(frames), seconds_per_frame=0.1)
    with PIL.open(tmp_path / "a.gif") as image:
        assert image.n_frames == 5 and image.size == (8, 6) and image.info["loop"] == 0
        times = []
        for k in range(5):
            image.seek(k)
            times.append(image.info["duration"])
            assert np.abs(np.asarray(image.convert("RGB")).astype(int) - 40 * k).max() <= 2
        assert times == [100] * 4 + [500]
    with pytest.raises(ValueError, match="no frames"):
        plot.save_gif(tmp_path / "b.gif", [])
    with pytest.raises(ValueError, match="one size"):
        plot.save_gif(tmp_path / "b.gif", [frames[0], frames[0][:3]])


def test_a_running_mean_bridges_gaps_and_keeps_its_length():
    assert plot.running_mean([1, 2, np.nan, 4, np.inf], 3).tolist() == [1.5, 1.5, 3, 4, 4]
    assert np.isnan(plot.running_mean([np.nan] * 3, 3)).all()
    assert plot.running_mean([3.0], 50).tolist() == [3.0]
    assert len(plot.running_mean([], 5)) == 0


def test_figures_are_drawn_without_pyplot(tmp_path, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    had = "matplotlib.pyplot" in sys.modules
    points = np.random.default_rng(0).normal(size=(50, 2))
    extent = (-3, 3, -3, 3)
    plot.scatter_field(tmp_path / "p.png", points, points, lambda xy: 1 / (1 + np.exp(-xy[:, 0])), extent,
                       title="step 5")
    plot.scatter_field(tmp_path / "critic.png", points, points, np.arange(12.0).reshape(3, 4) - 5, extent)
    plot.scatter_field(tmp_path / "flat.png", points, points, np.full((3, 4), 2.0), extent)
    steps = np.arange(30)
    losses = {"loss_D": (steps, np.where(steps == 9, np.nan, steps)), "x": ([1], [2.0])}
    plot.curves(tmp_path / "c.png", {"loss": losses, "mean of D": {"D(x)": (steps, steps / 30)}})
    for name in ("p.png", "critic.png", "flat.png", "c.png"):
        picture = plot.read_image(tmp_path / name)
        assert picture.shape[1] == 1200 and picture.std() > 5
    assert plot.read_image(tmp_path / "c.png", width=300).shape[1] == 300
    assert had or "matplotlib.pyplot" not in sys.modules
    with pytest.raises(ValueError, match=r"field is .rows, columns."):
        plot.scatter_field(tmp_path / "x.png", points, points, np.zeros(4), extent)


def test_a_small_picture_is_enlarged_by_whole_pixels():
    grid = np.arange(12, dtype=np.uint8).reshape(3, 4, 1)
    large = plot.enlarged(grid, width=11)
    assert large.shape == (9, 12, 1)
    assert (large[::3, ::3] == grid).all() and (large[2::3, 2::3] == grid).all()
    assert plot.enlarged(np.zeros((3, 900, 3), np.uint8)).shape == (3, 900, 3)
