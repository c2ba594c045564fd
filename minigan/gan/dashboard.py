"""The dashboard of a run: what Watch measured, in one picture, with the alarms marked.

    dashboard("runs/ring")                     # at the end of an example
    python -m minigan.gan.dashboard runs/ring  # at any time: while it trains, too

It reads the run's folder and nothing else. Stands on plot.py and run.py; alarms.py says what helps.
"""

import json
import sys
import textwrap
from itertools import count
from pathlib import Path

import numpy as np

from ..plot import BLUE, GREEN, GREY, INK, ORANGE, new_figure, read_image, running_mean, save_figure
from ..run import read_metrics
from .alarms import HELPS

RED = "#c0392b"
PLAYERS = {"D": "Blues", "G": "Oranges"}


def dashboard(folder):
    """Draw dashboard.png from a run's metrics.jsonl and samples; print and return its path.

    ValueError: the folder has no metrics.jsonl, or nothing in it.
    """
    folder = Path(folder)
    rows = read_metrics(folder / "metrics.jsonl")
    if not rows:
        raise ValueError(f"dashboard: {folder} has no figures in metrics.jsonl: is it the folder of a run?")
    episodes = alarm_episodes(rows)
    notes = [line for episode in episodes for line in _told(*episode)] or ["no alarm was raised"]
    figure, axes = new_figure(15.0, 11.4 + 0.2 * len(notes), 4, 2, sharex=False)
    for draw, panel in zip(PANELS, axes):
        draw(panel, rows)
        _mark(panel, episodes, rows[-1]["step"])
    figure.canvas.draw()  # the panels find their places and scales, which the names at the lines' ends need
    for panel in axes:
        _name_lines(panel)
    _samples(axes[-1], folder)
    _headline(figure, folder, rows, episodes, notes)
    path = folder / "dashboard.png"
    save_figure(path, figure)
    print(path)
    return path


def alarm_episodes(rows):
    """[(number from 1, name, what was seen, first step, last step or None while it is on)] in order."""
    found, numbers = [], count(1)
    for row in rows:
        for name in row.get("over", []):
            last = max(i for i, episode in enumerate(found) if episode[1] == name)
            found[last] = (*found[last][:4], row["step"])
        found += [(next(numbers), name, seen, row["step"], None) for name, seen in row.get("alarms", {}).items()]
    return found


# ---- the panels -------------------------------------------------------------------------------------------


def losses(axes, rows):
    _lines(axes, rows, {name: name for row in rows[:1] for name in row if name.startswith("loss")})
    _label(axes, "losses", "a game has no loss that must fall: look at the other panels")


def opinion(axes, rows):
    names = {name: name for row in rows[:1] for name in row if name.startswith("D(")}
    _lines(axes, rows, names)
    _lines(axes, rows, {"accuracy": "D's accuracy"})
    axes.set_ylim(-0.02, 1.02)
    axes.axhline(0.5, color=GREY, linewidth=0.8, linestyle=":", zorder=0)
    _label(axes, "D's opinion", "0.5: D cannot tell; accuracy 1: D has won")


def diversity(axes, rows):
    steps, shares = _series(rows, lambda row: row.get("variety"))
    axes.plot(steps, shares, color=ORANGE, linewidth=1.8, label="variety")
    steps, spreads = _series(rows, lambda row: row.get("more", {}).get("spread"))
    axes.plot(steps, spreads, color=GREEN, linewidth=1.2, label="spread")
    steps, shares_reached = _series(rows, lambda row: row.get("coverage"))
    if len(steps):
        axes.plot(steps, shares_reached, color=INK, linewidth=1.8, label="share of the data reached")
    axes.axhline(1, color=BLUE, linewidth=1, linestyle="--", label="the data")
    axes.axhspan(0, 1 / 3, color=RED, alpha=0.07, linewidth=0)
    axes.set_ylim(0, min(3, max([1.3, *shares, *spreads]) * 1.05))
    hint = "1: as varied as the data; shaded: G draws few things, as it always does at the start"
    _label(axes, "variety", hint)


def gap(axes, rows):
    _lines(axes, rows, {"gap": "mean logit of the data − of G's"})
    axes.axhline(0, color=GREY, linewidth=0.8, linestyle=":", zorder=0)
    _label(axes, "gap of D's logits", "growing without end: D runs away")


def gradients(axes, rows):
    _layers(axes, rows, "gradient")
    for name, colour in (("|∇D|", BLUE), ("|∇G|", ORANGE)):
        steps, values = _series(rows, lambda row, name=name: row.get(name))
        axes.plot(steps, values, color=colour, linewidth=2, label=name)
    hint = "thick: a whole network; thin: each layer, the darker the nearer to the output"
    _label(axes, "gradient norms", hint, log=True)


def updates(axes, rows):
    _layers(axes, rows, "update / weight")
    axes.axhspan(3e-4, 3e-3, color=GREEN, alpha=0.1, linewidth=0, label="about 0.001")
    hint = "green: a rule of thumb; a layer far from the others learns too fast, or hardly at all"
    _label(axes, "update / weight, each layer", hint, log=True)


def spectra(axes, rows):
    _layers(axes, rows, "spectral norm")
    axes.set_ylim(bottom=0)
    _label(axes, "spectral norms, each layer", "where D's grow, D gets steeper")


PANELS = losses, opinion, diversity, gradients, gap, updates, spectra


def _lines(axes, rows, names):
    """Each figure smooth over its own faint raw values."""
    colours = {"loss_D": BLUE, "loss_G": ORANGE, "D(x)": BLUE, "accuracy": INK, "gap": INK}
    spare = iter([ORANGE, GREEN, GREY] * 9)
    for name, label in names.items():
        steps, values = _series(rows, lambda row, name=name: row.get(name))
        colour = colours.get(name) or next(spare)
        axes.plot(steps, values, color=colour, linewidth=0.6, alpha=0.25)
        axes.plot(steps, running_mean(values, max(1, len(values) // 40)), color=colour, linewidth=1.8, label=label)


def _layers(axes, rows, kind):
    """A thin line for each layer, in the player's colour: pale near its input, dark near its output."""
    from matplotlib import colormaps

    names = dict.fromkeys(name for row in rows for name in row.get("layers", {}).get(kind, {}))
    for player, colours in PLAYERS.items():
        mine = [name for name in names if name.partition(".")[0] == player]
        for i, name in enumerate(mine):
            steps, values = _series(rows, lambda row, name=name: row.get("layers", {}).get(kind, {}).get(name))
            shade = colormaps[colours](0.4 + 0.5 * i / max(1, len(mine) - 1))
            axes.plot(steps, values, color=shade, linewidth=0.9, gid=name)


def _name_lines(axes):
    """Each layer's name at the right end of its line, pushed up, or down from the top, where names would touch."""
    lines = [line for line in axes.lines if line.get_gid()]
    heights = [axes.transAxes.inverted().transform(axes.transData.transform((0, x.get_ydata()[-1])))[1] for x in lines]
    order, gap = np.argsort(heights), 0.052
    places = np.array(heights)[order]
    for i in range(1, len(places)):
        places[i] = max(places[i], places[i - 1] + gap)
    places = np.minimum(places, 1 - gap * np.arange(len(places))[::-1])
    for i, y in zip(order, places):
        style = {"color": lines[i].get_color(), "fontsize": 7, "va": "center"}
        axes.text(1.005, y, lines[i].get_gid(), transform=axes.transAxes, **style)


def _series(rows, value):
    """(steps, values) of the rows that have one."""
    pairs = [(row["step"], value(row)) for row in rows if value(row) is not None]
    return tuple(np.array(column, float) for column in zip(*pairs)) if pairs else (np.empty(0), np.empty(0))


def _label(axes, title, hint, log=False):
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK)
    axes.set_xlabel(hint, loc="left", fontsize=8.5, color="#777777", style="italic", labelpad=2)
    if log:
        axes.set_yscale("log")
    axes.margins(x=0.01)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, frameon=False, borderaxespad=0.2, fontsize=8)


# ---- alarms, sample, headline -----------------------------------------------------------------------------


def _mark(axes, episodes, last):
    """A line where an alarm was raised, with its number, and a tint as long as it was on."""
    axes.set_xlim(0, last * 1.005)
    for number, _, _, start, end in episodes:
        axes.axvspan(start, last if end is None else end, color=RED, alpha=0.05, linewidth=0)
        axes.axvline(start, color=RED, linewidth=1.2)
        axes.annotate(str(number), (start, 0.97), xycoords=("data", "axes fraction"), color="white", fontsize=8,
                      ha="center", va="top", bbox={"boxstyle": "circle,pad=0.2", "color": RED})  # fmt: skip


def _told(number, name, seen, start, end):
    until = "" if end is None else f", over at {end}"
    text = f"{number}  {name} at step {start}{until}: {seen}. What usually helps: {HELPS.get(name, '')}."
    return textwrap.wrap(text, 175, subsequent_indent="    ")


def _samples(axes, folder):
    """The samples of the first, the middle and the last step that has any, side by side."""
    paths = sorted(path for path in (folder / "samples").glob("*.png") if path.stem.isdigit())
    axes.axis("off")
    if not paths:
        return
    paths = list(dict.fromkeys([paths[0], paths[len(paths) // 2], paths[-1]]))
    pictures = [read_image(path, width=640) for path in paths]
    gaps = [np.full((picture.shape[0], 24, 3), 255, np.uint8) for picture in pictures]
    axes.imshow(np.concatenate([part for pair in zip(pictures, gaps) for part in pair], axis=1))
    steps = ", ".join(f"{int(path.stem):,}" for path in paths)
    axes.set_title(f"samples at step {steps}", loc="left", fontsize=11, fontweight="bold", color=INK)


def _headline(figure, folder, rows, episodes, notes):
    names = ", ".join(dict.fromkeys(name for _, name, *_ in episodes))
    state = f"{len(episodes)} alarm{'s' * (len(episodes) > 1)}: {names}" if episodes else "no alarms"
    name = folder.name if not folder.name.isdigit() else f"{folder.parent.name}, seed {folder.name}"  # reproduce's
    figure.suptitle(f"{name}   ·   {rows[-1]['step']:,} steps   ·   {state}", fontsize=15, fontweight="bold",
                    color=RED if episodes else GREEN)  # fmt: skip
    figure.supxlabel("\n".join(notes), fontsize=9, color=RED if episodes else GREY, x=0.02, ha="left", wrap=False)


if __name__ == "__main__":
    try:
        for name in sys.argv[1:] or [""]:
            dashboard(name)
    except (ValueError, OSError, json.JSONDecodeError) as error:
        raise SystemExit(str(error)) from None
