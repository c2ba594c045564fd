"""What a training run leaves behind: a folder. The loop stays the reader's own `for`.

    parser = arguments(__doc__, steps=20_000, out="runs/ring", lr=2e-4)
    args = parser.parse_args()
    parts = dict(G=G, D=D, opt_G=opt_G, opt_D=opt_D, rng=rng, batches=batches)

    with Run(args.out, args, resume=args.resume) as run:
        start = run.restore(**parts)                       # 0, or the step of the checkpoint
        run.checkpoint_on_exit(lambda: parts)              # Ctrl-C then loses nothing
        steps = algorithm1(..., start=start, steps=args.steps)
        for t, seen in run.progress(steps, total=args.steps, initial=start, batch_size=64):
            run.log(t, seen)                               # t counts the steps done: 1, 2, ...
            if t % 500 == 0:
                run.samples(t, G(fixed_z))
                run.save(t, **parts)
        run.finish()

    run.json             arguments, versions, machine
    metrics.jsonl        one line of figures per logged step
    checkpoint.safetensors
    samples/000500.png   losses.png   samples.gif

Stands on checkpoint.py and plot.py. Read examples/ next.
"""

import argparse
import contextlib
import datetime
import importlib.metadata
import json
import math
import os
import platform
import shlex
import signal
import sys
import threading
from pathlib import Path

import numpy as np

from . import checkpoint, plot
from .kernels.rounding import KNOWN, precision

MAY_CHANGE = {"steps", "out", "resume", "device", "precision"}      # between a run and its continuation


def arguments(doc, *, steps, out, **more):
    """The parser that every example starts from; add to it with add_argument.

    doc     the example's docstring, shown by --help
    more    defaults of --seed and --device, and options of the example's own: lr=2e-4 makes --lr, a float;
            batch=64 makes --batch, a whole number from 1
    """
    class Help(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
        pass

    parser = argparse.ArgumentParser(description=doc, formatter_class=Help)
    add = parser.add_argument
    add("--steps", type=_whole(0), default=steps, help="steps of training, those of a resumed run included")
    add("--seed", type=_whole(0), default=more.pop("seed", 0), help="the same seed gives the same numbers")
    add("--out", default=out, help="folder of the run")
    add("--resume", action="store_true", help="go on from the checkpoint in the folder")
    add("--device", choices=["auto", "cpu", "cuda"], default=more.pop("device", "auto"),
        help="where arrays live; auto takes a GPU if there is one")
    add("--precision", choices=KNOWN, default=precision(),
        help="of products on a GPU; bf16: also of what lies between layers")
    add("--smoke", action="store_true", help="a few seconds, to see that everything runs")
    for name, default in more.items():
        option, text = "--" + name.replace("_", "-"), name.replace("_", " ")
        if isinstance(default, bool):
            add(option, action=argparse.BooleanOptionalAction, default=default, help=text)
        else:
            kind = _whole(min(default, 1)) if isinstance(default, int) else type(default)
            add(option, type=kind, default=default, help=text)
    return parser


def _whole(least):
    """The type of an option: whole numbers from `least` on."""
    def integer(text):
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"must be {least} or more, not {text}")
        return int(text)
    return integer


class Run:
    """A run's folder, opened for writing.

    out     the folder, made if need be; one that holds a checkpoint is only entered with resume=True
    args    the run's arguments, a Namespace or a dict; a resumed run must have those it was started with,
            but for steps, out, resume, device and precision
    Raises OSError where nothing can be written, FileExistsError, FileNotFoundError or ValueError when the
    folder and `resume` do not go together.
    """

    def __init__(self, out, args, *, resume=False):
        self.out, self.resume = Path(out), resume
        self.args = json.loads(json.dumps(args if isinstance(args, dict) else vars(args), default=str))
        self.checkpoint = self.out / "checkpoint.safetensors"
        self._metrics = self._hook = self._bar = self._saved = self._done = None
        self._batch_size, self._stop, self._broken = None, False, False
        self._handlers, self._shown = {}, {}
        if resume:
            self._saved = self._check_resume()
        elif self.checkpoint.exists():
            raise FileExistsError(f"{self.out} holds a run with a checkpoint: pass --resume to go on with it, "
                                  f"or another --out to start afresh")
        try:
            (self.out / "samples").mkdir(parents=True, exist_ok=True)
            if not resume and (self.out / "run.json").exists():
                self._forget_after(-1)           # left by a run that never reached a checkpoint
            self._write_record()
        except OSError as error:
            raise OSError(f"cannot write to {self.out} ({error.strerror or error}): give another --out") from error

    # ---- in the loop --------------------------------------------------------------------------------------

    def restore(self, **parts):
        """Bring `parts` to where the checkpoint left them; return its step, or 0 for a fresh run.

        Figures and samples later than that step are dropped: they are about to be made again.
        """
        if not self.resume:
            return 0
        step = checkpoint.load(self.checkpoint, **parts)["step"]
        self._close_metrics()
        self._forget_after(step)
        self._saved = step
        return step

    def save(self, step, **parts):
        """Write the checkpoint of `step` (the number of steps done), replacing the one before.

        Raises FloatingPointError, and leaves that one alone, if an array is not finite: a step that spoils the
        weights shows in no figure before the next.
        """
        bad = ["a figure"] if self._broken else checkpoint.not_finite(**parts)
        if bad:
            raise FloatingPointError(f"not saved: {bad[0]} was not finite at step {step}; {self._last_good()}")
        checkpoint.save(self.checkpoint, step=step, args=self.args, **parts)
        self._saved = step

    def progress(self, iterator, *, total, initial=0, batch_size=None):
        """Pass `iterator` on, one item per step, behind a bar on stderr with the figures last logged.

        Ctrl-C, or SIGTERM, lets the step in hand end and stops before the next; a second one stops at once.
        """
        from tqdm import tqdm

        patience = 0.1 if sys.stderr.isatty() else 10.0      # a log file wants a line now and then
        bar = self._bar = tqdm(total=total, initial=initial, unit="step", file=sys.stderr,
                               mininterval=patience, dynamic_ncols=True)
        self._batch_size, self._done = batch_size, None
        done = initial
        try:
            for item in iterator:
                yield item
                done += 1
                bar.update()
                if self._stop:
                    break
            if self._stop:
                self._done = done            # between two steps: here, and only here, the parts fit together
                raise KeyboardInterrupt
        finally:
            bar.close()
            self._bar = None

    def log(self, step, seen):
        """Append one line to metrics.jsonl: the step, and each figure in `seen` as a float.

        seen    {name: float, 0-d array, Tensor}; lists and dicts of what JSON knows are written as they are, and stay
                out of the progress bar
        Raises FloatingPointError for a figure that is not finite. It is written all the same; from then on
        nothing is saved, so the last checkpoint stays good.
        """
        more = {name: v for name, v in seen.items() if isinstance(v, (dict, list))}
        figures = {name: float(v.item() if hasattr(v, "item") else v) for name, v in seen.items() if name not in more}
        if self._metrics is None:
            # by line, so that a kill loses one at most
            self._metrics = open(self.out / "metrics.jsonl", "a", buffering=1)               # noqa: SIM115
        self._metrics.write(json.dumps({"step": int(step), **figures, **more}) + "\n")
        bad = [name for name, value in figures.items() if not math.isfinite(value)]
        if bad:
            self._broken = True
            self._metrics.flush()
            rest = ", ".join(f"{k} = {v:.4g}" for k, v in figures.items() if k not in bad) or "nothing else logged"
            what = ", ".join(f"{name} is {figures[name]}" for name in bad)
            raise FloatingPointError(f"{what} at step {step}: {rest}; {self._last_good()}")
        if self._bar is not None:
            rate = self._bar.format_dict["rate"]
            if self._batch_size and rate:
                figures["img/s"] = round(rate * self._batch_size)
            self._shown |= figures                   # what is not measured at every step stays in sight
            self._bar.set_postfix(self._shown, refresh=False)

    def samples(self, step, images, *, columns=8):
        """Write images (N, H, W, C) in [-1, 1] as the grid samples/<step>.png."""
        plot.save_image(self.sample_path(step), plot.enlarged(plot.image_grid(images, columns)))

    def sample_path(self, step):
        """Where the picture of `step` goes, for a picture that is not a grid."""
        return self.out / "samples" / f"{step:06d}.png"

    def finish(self, seconds_per_frame=0.15):
        """Draw losses.png from the figures and samples.gif from the samples (at most 100); print and return paths."""
        self._close_metrics()
        made, rows = [], read_metrics(self.out / "metrics.jsonl")
        panels = {"loss": _lines(rows, "loss"), "mean of D": _lines(rows, "D(")}
        panels = {label: lines for label, lines in panels.items() if lines}
        if panels:
            made.append(self.out / "losses.png")
            plot.curves(made[-1], panels)
        pictures = self._pictures()
        if pictures:
            made.append(self.out / "samples.gif")
            chosen = pictures[::-1][::math.ceil(len(pictures) / 100)][::-1]      # the last one always among them
            plot.save_gif(made[-1], (plot.read_image(p, width=640) for p in chosen), seconds_per_frame)
        for path in made:
            print(path)
        return made

    # ---- leaving ------------------------------------------------------------------------------------------

    def checkpoint_on_exit(self, parts):
        """On Ctrl-C or SIGTERM save `parts()`, a dict as save takes it, as of the last whole step."""
        self._hook = parts

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) != signal.SIG_IGN:                   # nohup's wish stands
                    self._handlers[number] = signal.signal(number, self._on_signal)
        return self

    def _on_signal(self, number, frame):
        if self._stop or self._bar is None:
            raise KeyboardInterrupt
        self._stop = True
        with contextlib.suppress(OSError):
            os.write(2, b"\nstopping after this step (once more: at once)\n")     # print may be what was interrupted

    def __exit__(self, kind, error, trace):
        try:
            if self._bar is not None:
                self._bar.close()
            self._close_metrics()
            if kind is not None and issubclass(kind, KeyboardInterrupt):
                if self._hook and self._done is not None and self._done != self._saved:
                    self.save(self._done, **self._hook())
                print(self._farewell(), file=sys.stderr)
                raise SystemExit(130) from None
        finally:
            for number, handler in self._handlers.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _farewell(self):
        if self._saved is None:
            return "\nStopped before the first checkpoint: there is nothing to go on from."
        command = sys.orig_argv + ["--resume"] * ("--resume" not in sys.argv)
        return f"\nStopped; the checkpoint is of step {self._saved}. To go on:\n    {shlex.join(command)}"

    def _last_good(self):
        if self._saved is None:
            return "there is no checkpoint yet"
        return f"the last good checkpoint is {self.checkpoint} (step {self._saved})"

    def _close_metrics(self):
        if self._metrics is not None:
            self._metrics.close()
            self._metrics = None

    # ---- the folder ---------------------------------------------------------------------------------------

    def _check_resume(self):
        """The step of the checkpoint to go on from, once it is sure that it belongs to these arguments."""
        if not self.checkpoint.is_file():
            raise FileNotFoundError(f"--resume: there is no checkpoint in {self.out}; start without --resume")
        held = checkpoint.load(self.checkpoint)
        old = held.get("args", {})
        pairs = {name: (old.get(name, "absent"), self.args.get(name, "absent")) for name in {**old, **self.args}}
        changed = [f"{name} was {was!r}, is now {now!r}" for name, (was, now) in pairs.items()
                   if was != now and name not in MAY_CHANGE]
        if changed:
            raise ValueError(f"{self.out} cannot be resumed with other arguments: {'; '.join(changed)}. "
                             f"Go back to the old ones, or give another --out")
        return held.get("step")

    def _write_record(self):
        path = self.out / "run.json"
        here = {"started": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
                "command": shlex.join(sys.orig_argv), "platform": platform.platform(), "cpus": os.cpu_count(),
                "python": platform.python_version(), **{name: _version(name) for name in ("numpy", "numba", "minigan")}}
        record = {"arguments": self.args, "seed": self.args.get("seed"), **here}
        if self.resume and path.exists():
            record = json.loads(path.read_text())
            record.setdefault("resumed", []).append({"steps": self.args.get("steps"), **here})
        checkpoint.write_file(path, (json.dumps(record, indent=2) + "\n").encode())

    def _forget_after(self, step):
        path = self.out / "metrics.jsonl"
        kept = [row for row in read_metrics(path) if row["step"] <= step]
        checkpoint.write_file(path, "".join(json.dumps(row) + "\n" for row in kept).encode())
        for picture in self._pictures():
            if int(picture.stem) > step:
                picture.unlink()

    def _pictures(self):
        found = [p for p in (self.out / "samples").glob("*.png") if p.stem.isdigit()]
        return sorted(found, key=lambda p: int(p.stem))


def read_metrics(path):
    """The rows of a metrics.jsonl as dicts; a last line torn by a kill is left out."""
    rows = []
    if Path(path).exists():
        for line in Path(path).read_text().splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                rows.append(json.loads(line))
    return rows


def _lines(rows, prefix):
    names = dict.fromkeys(name for row in rows for name in row if name.startswith(prefix))
    return {name: tuple(zip(*((row["step"], row[name]) for row in rows if name in row))) for name in names}


def _version(package):
    """Its version, without importing what is not imported yet; None where it is not installed."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return getattr(sys.modules.get(package), "__version__", None) or importlib.metadata.version(package)
    return None


def main(train, parser):
    """Run an example: parse its arguments, train, and exit with 0 (PASS), 1 (FAIL) or 2 (one sentence says why not).

    train   function of the arguments; True if what it measured is what the paper says
    With --smoke, steps are cut to a few and the verdict does not count.
    """
    args = parser.parse_args()
    if args.smoke:
        args.steps = min(args.steps, 20)
    precision(args.precision)
    try:
        with np.errstate(all="ignore"):          # log and save say what is not finite, and when
            passed = train(args)
    except KeyboardInterrupt:                    # before or after the Run, which answers by itself
        raise SystemExit(130) from None
    except (ValueError, OSError, RuntimeError, FloatingPointError, MemoryError) as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        raise SystemExit(2) from error if os.environ.get("MINIGAN_TRACEBACK") else None
    if args.smoke:
        print("--smoke: it runs; so few steps are no basis for a verdict")
    raise SystemExit(0 if passed or args.smoke else 1)
