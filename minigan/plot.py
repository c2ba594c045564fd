"""Pictures: grids of images, D's decision field, the curves of a run, and a GIF of it all.

Each function makes one picture and writes it in one step (a viewer never sees half a file). One palette
throughout: blue is the data and D, orange is what G makes and G.

Stands on NumPy, and on Matplotlib and Pillow, which are imported where they are used: a program that
never draws never loads them. Figures are objects; pyplot and its global state stay out, so nothing
here needs a display. Read run.py next: it draws with these.
"""

import io

import numpy as np

from .checkpoint import write_file

BLUE, ORANGE, GREEN, PURPLE, GREY = "#2b6ca3", "#e4692a", "#3f8f5f", "#8a5fa8", "#8c8c8c"
COLOURS = {"loss_D": BLUE, "loss_G": ORANGE, "D(x)": BLUE, "D(G(z))": ORANGE}
INK = "#333333"


def image_grid(images, columns=8, pad=1):
    """Lay images out in rows of `columns`, with `pad` black pixels between and around them.

    images  (N, H, W, C), C = 1 or 3, floats in [-1, 1] (clipped) or uint8; a Tensor or an array
    →       uint8 (rows·(H + pad) + pad, columns·(W + pad) + pad, C)
    """
    images = _array(images)
    if images.ndim != 4 or not len(images):
        raise ValueError(f"image_grid: images are (N, H, W, C) with N > 0, got shape {images.shape}")
    if images.dtype != np.uint8:
        images = np.nan_to_num(images.astype(np.float32), nan=-1.0)
        images = np.rint((np.clip(images, -1, 1) + 1) * 127.5).astype(np.uint8)
    n, h, w, c = images.shape
    columns = min(columns, n)
    rows = -(-n // columns)
    grid = np.zeros((rows * (h + pad) + pad, columns * (w + pad) + pad, c), np.uint8)
    for k, image in enumerate(images):
        top, left = pad + k // columns * (h + pad), pad + k % columns * (w + pad)
        grid[top:top + h, left:left + w] = image
    return grid


def enlarged(array, width=560):
    """A picture (H, W, C) with every pixel repeated a whole number of times, so that it is about that wide."""
    times = max(1, round(width / array.shape[1]))
    return array.repeat(times, axis=0).repeat(times, axis=1)


def save_image(path, array):
    """Write a uint8 array (H, W), (H, W, 1) or (H, W, 3) as a PNG."""
    data = io.BytesIO()
    _picture(array).save(data, format="PNG")
    write_file(path, data.getvalue())


def save_gif(path, frames, seconds_per_frame=0.2):
    """Write frames, uint8 arrays of one shape, as a GIF that loops and rests five frames long on the last."""
    frames = [_picture(frame) for frame in frames]
    if not frames:
        raise ValueError("save_gif: there are no frames")
    sizes = {frame.size for frame in frames}
    if len(sizes) > 1:
        raise ValueError(f"save_gif: frames must have one size, got {sorted(sizes)} (width, height)")
    step = round(1000 * seconds_per_frame)
    data = io.BytesIO()
    frames[0].save(data, format="GIF", save_all=True, append_images=frames[1:], loop=0,
                   duration=[step] * (len(frames) - 1) + [5 * step])
    write_file(path, data.getvalue())


def read_image(path, width=None):
    """A picture file as a uint8 array (H, W, 3), made narrower where it is wider than `width`."""
    from PIL import Image

    with Image.open(path) as image:
        image = image.convert("RGB")
    if width and image.width > width:
        image = image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)
    return np.asarray(image)


def scatter_field(path, samples, real, field, extent, title=None):
    """Real and generated points in the plane over D's opinion of every place in it.

    samples, real  (M, 2) points
    field          (rows, columns), D(x) on a regular grid over the extent, rows going up in y,
                   or a function from points (M, 2) to M values
    extent         (x0, x1, y0, y1)

    A field within [0, 1] is a probability: its colours then mean the same in every picture, and the line
    where D(x) = 1/2, where D cannot tell, is drawn.
    """
    from matplotlib.ticker import MaxNLocator

    x0, x1, y0, y1 = extent
    samples, real = _array(samples), _array(real)
    x, y, field = _on_grid(field, extent)
    low, high = float(np.nanmin(field)), float(np.nanmax(field))
    probability = low >= 0 and high <= 1
    if probability:
        low, high = 0.0, 1.0
    levels = np.linspace(low, high if high > low else low + 1, 21)

    figure, (axes,) = new_figure(8.0, 7.0)
    filled = axes.contourf(x, y, field, levels=levels, cmap=field_colours())
    if probability and field.min() < 0.5 < field.max():
        axes.contour(x, y, field, levels=[0.5], colors=INK, linewidths=0.8, linestyles="--")
    axes.scatter(*real.T, s=9, color=BLUE, alpha=0.75, linewidths=0, label="data")
    axes.scatter(*samples.T, s=9, color=ORANGE, alpha=0.75, linewidths=0, label="G(z)")
    axes.set(xlim=(x0, x1), ylim=(y0, y1), aspect="equal", title=title)
    axes.spines[:].set_visible(False)
    axes.legend(loc="upper right", markerscale=2, framealpha=0.9, edgecolor="none")
    bar = figure.colorbar(filled, ax=axes, label="D(x)", shrink=0.85, aspect=30,
                          ticks=np.linspace(0, 1, 5) if probability else MaxNLocator(5))
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0)
    save_figure(path, figure)


def curves(path, panels, smooth=None):
    """Figures over steps: a panel above the other, each line smooth over its own faint raw values.

    panels  {label: {name: (steps, values)}}
    smooth  how many values the running mean spans; by default a fortieth of a line

    Values that are not finite leave a gap. A panel whose values all lie in [0, 1] shows that whole range.
    """
    figure, all_axes = new_figure(8.0, 1.0 + 2.6 * len(panels), rows=len(panels), sharex=True)
    for axes, (label, lines) in zip(all_axes, panels.items()):
        spare = iter((GREEN, PURPLE, GREY, INK) * len(lines))
        for name, (steps, values) in lines.items():
            steps, values = np.asarray(steps, float), np.asarray(values, float)
            values = np.where(np.isfinite(values), values, np.nan)
            colour = COLOURS.get(name) or next(spare)
            axes.plot(steps, values, color=colour, linewidth=0.6, alpha=0.3, zorder=1)
            axes.plot(steps, running_mean(values, smooth or max(1, len(values) // 40)),
                      color=colour, linewidth=1.8, label=name, zorder=3)
        everything = np.concatenate([np.asarray(values, float) for _, values in lines.values()])
        if np.all((everything >= 0) & (everything <= 1)):
            axes.set_ylim(-0.02, 1.02)
            axes.axhline(0.5, color=GREY, linewidth=0.8, linestyle=":", zorder=0)
        axes.set_ylabel(label)
        axes.margins(x=0.01)
        axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, frameon=False, borderaxespad=0.2)
    all_axes[-1].set_xlabel("step")
    save_figure(path, figure)


def running_mean(values, width):
    """Mean over the `width` values around each one, fewer at the ends; NaN only where all of them are."""
    values = np.asarray(values, float)
    if not len(values):
        return values
    known, window = np.isfinite(values), np.ones(min(width, len(values)))
    total = np.convolve(np.where(known, values, 0.0), window, "same")
    count = np.convolve(known.astype(float), window, "same")
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0.5)


# ---- how every figure is made -----------------------------------------------------------------------------

def new_figure(width, height, rows=1, columns=1, **options):
    """An empty figure of width x height inches and its panels, row by row → (figure, [axes]); write with save_figure.

    options    what Matplotlib's Figure.subplots takes: sharex, sharey, width_ratios, ...
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150, layout="constrained", facecolor="white")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1)
    FigureCanvasAgg(figure)
    all_axes = figure.subplots(rows, columns, squeeze=False, **options).ravel()
    for axes in all_axes:
        axes.tick_params(length=0, colors=INK)
        axes.spines[:].set_color("#b0b0b0")
    return figure, all_axes


def save_figure(path, figure):
    """Write what `new_figure` made as a PNG."""
    data = io.BytesIO()
    figure.savefig(data, format="png")
    write_file(path, data.getvalue())


def field_colours():
    """Orange where D says generated, white where it cannot tell, blue where it says real; all pale."""
    from matplotlib.colors import LinearSegmentedColormap
    return LinearSegmentedColormap.from_list("field", ["#f6c9a8", "#ffffff", "#b3d0e8"])


def _on_grid(field, extent):
    x0, x1, y0, y1 = extent
    if callable(field):
        x, y = np.meshgrid(np.linspace(x0, x1, 120), np.linspace(y0, y1, 120))
        points = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)
        return x, y, _array(field(points)).reshape(x.shape)
    field = _array(field)
    if field.ndim != 2:
        raise ValueError(f"scatter_field: field is (rows, columns), got shape {field.shape}")
    return *np.meshgrid(np.linspace(x0, x1, field.shape[1]), np.linspace(y0, y1, field.shape[0])), field


def _array(value):
    """A Tensor's values or an array's, on this side of the GPU."""
    if callable(getattr(value, "numpy", None)):
        value = value.numpy()
    return np.asarray(value.get() if hasattr(value, "__cuda_array_interface__") else value)


def _picture(array):
    from PIL import Image

    array = np.asarray(array)
    if array.dtype != np.uint8:
        raise TypeError(f"a picture is uint8, got {array.dtype}; image_grid turns [-1, 1] into it")
    return Image.fromarray(np.ascontiguousarray(array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array))
