"""python -m minigan: check a layer's derivatives or the checker itself; run the examples and compare with the papers.

    python -m minigan gradcheck my_module:MyLayer --input 4,8,8,3 --order 2
    python -m minigan gradcheck "minigan.nn:Conv2d(3, 8, 4, stride=2)" --input 2,8,8,3
    python -m minigan gradcheck minigan.ops:matmul --input 2,3 --input 3,4
    python -m minigan faults --seeds 50 --alarms 1000
    python -m minigan reproduce --list

The exit status is 0 when all is right, 1 when a derivative is wrong or a claim fails, 2 when something cannot be run.

Stands on testing/ and reproduce/.
"""

import argparse
import ast
import importlib
import os
import sys

import numpy as np

from .device import DeviceError
from .nn import Module
from .reproduce import command as reproducing
from .tensor import tensor
from .testing import KinkError
from .testing.gradcheck import GradientError, examine
from .testing.precisions import against_float64
from .testing.subject import Subject


class Unusable(Exception):
    """What was asked for cannot be done; the message is one sentence that says why."""


def main(argv=None):
    """Run a command; returns the exit status."""
    args = _parser().parse_args(argv)
    try:
        return args.command(args)
    except Unusable as error:
        if os.environ.get("MINIGAN_TRACEBACK"):
            raise
        print(f"minigan {args.name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser():
    style = {"formatter_class": argparse.RawDescriptionHelpFormatter}
    parser = argparse.ArgumentParser("python -m minigan", description=__doc__, **style)
    commands = parser.add_subparsers(dest="name", required=True, metavar="gradcheck | faults | reproduce")
    check = commands.add_parser("gradcheck", help="check the derivatives of a layer, an op or a function")
    check.set_defaults(command=gradcheck_command)
    check.add_argument("target", metavar="MODULE:NAME", help='what to check; a class may be called: "m:Layer(3, 8)"')
    check.add_argument("--input", action="append", required=True, metavar="4,8,8,3", help="a shape, once per input")
    check.add_argument("--order", type=_count, default=1, help="2: gradients of gradients too (default 1)")
    check.add_argument("--seed", type=int, default=0, help="of the inputs and directions (default 0)")
    check.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    sweep = commands.add_parser("faults", help="check the checker: planted faults, and false alarms in right ops")
    sweep.set_defaults(command=faults_command)
    sweep.add_argument("--seeds", type=_count, default=50, help="seeds for each planted fault (default 50)")
    sweep.add_argument("--alarms", type=_count, default=1000, help="seeds for each right op (default 1000)")
    table = commands.add_parser("reproduce", help="run the examples; one table", description=reproducing.HELP, **style)
    table.set_defaults(command=reproduce_command)
    reproducing.add_arguments(table, _count)
    return parser


def _count(text):
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, not {text}")
    return int(text)


# --------------------------------------------------------------------------------------------------- gradcheck


def gradcheck_command(args):
    """A table: each argument at each order, its error as a share of the tolerance, and the verdict."""
    if args.seed < 0:
        raise Unusable(f"--seed must be 0 or more, got {args.seed}")
    function = _target(args.target)
    shapes = [_shape(text) for text in args.input]
    rng = np.random.default_rng(args.seed)
    try:
        subject = Subject(function, [tensor(rng.normal(size=shape), device=args.device) for shape in shapes])
        findings = _table(subject, args)
        rounded = _precisions(subject, args.seed) if _on_cuda_kernels(args.device) else []
    except (KinkError, DeviceError, ValueError, TypeError) as error:
        raise Unusable(_sentence(error)) from error
    except Exception as error:  # the user's own code may raise anything
        raise Unusable(f"{args.target} raised {type(error).__name__}: {_sentence(error)}") from error
    wrong = [finding for finding in findings if not finding.passed]
    for finding in wrong:
        print(f"\n{GradientError(subject.label, finding, args.seed, args.order)}".partition("\nTo repeat:")[0])
    if wrong:
        again = " ".join(f"--input {text}" for text in args.input)
        print(f'To repeat: python -m minigan gradcheck "{args.target}" {again} --order {args.order} --seed {args.seed}')
    return 1 if wrong or not all(comparison.passed for comparison in rounded) else 0


def _on_cuda_kernels(device):
    return device == "cuda" or os.environ.get("MINIGAN_KERNELS") == "emulator"


def _precisions(subject, seed):
    """Print a row for each result in float32, by every precision that the CUDA kernels know."""
    print("\nfloat32 against float64: the error's norm over the result's\n")
    print("precision  result           error / bound  verdict")
    found = []
    for comparison in against_float64(subject, seed):
        found.append(comparison)
        figures = f"{comparison.error:7.1e} / {comparison.bound:.1e}"
        what = comparison.what if comparison.what == "y" else f"d/d{comparison.what}"
        verdict = "right" if comparison.passed else "WRONG"
        print(f"{comparison.precision:10} {what:14} {figures:>17}  {verdict}", flush=True)
    return found


def _table(subject, args):
    """Print a row for each finding as it comes."""
    width = max(len("argument"), *(len(name) for name in subject.names)) + 2
    found = []
    for finding in examine(subject, order=args.order, seed=args.seed):
        if not found:
            print(f"{subject.label}, float64, seed {args.seed}\n")
            print(f"{'argument':{width}}order  error / tolerance  verdict")
        found.append(finding)
        share = finding.slope.error / finding.slope.tolerance if finding.slope.tolerance else np.nan
        verdict = "right" if finding.passed else "WRONG"
        print(f"{finding.argument:{width}}{finding.order:5}  {share:17.2g}  {verdict}", flush=True)
    return found


def _sentence(error):
    return " ".join(str(error).split()).removeprefix("gradcheck: ")


def _shape(text):
    try:
        shape = tuple(int(n) for n in text.split(",") if n.strip())
    except ValueError:
        shape = (0,)
    if any(n < 1 for n in shape):
        raise Unusable(f"--input {text!r} is not a shape; write whole numbers from 1 on: --input 4,8,8,3")
    return shape


def _target(text):
    """The function of tensors that MODULE:NAME, or MODULE:NAME(1, 2, key=3), stands for."""
    where, colon, what = text.partition(":")
    name, bracket, _ = what.partition("(")
    if not (colon and where and name):
        raise Unusable(f"{text!r} is not MODULE:NAME; write, for instance, my_module:MyLayer")
    try:
        found = importlib.import_module(where.removesuffix(".py").replace("/", "."))
    except Exception as error:
        raise Unusable(f"cannot import {where}: {type(error).__name__}: {_sentence(error)}") from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise Unusable(f"{where} has no {name!r}")
        found = getattr(found, part)
    if bracket or (isinstance(found, type) and issubclass(found, Module)):
        found = _made(found, name, what if bracket else f"{what}()")
    if not callable(found):
        raise Unusable(f"{text} is of type {type(found).__name__}, which is not callable; wants a layer or a function")
    return found


def _made(kind, name, call):
    """What a call with literal arguments makes: Conv2d(3, 8, 4, stride=2)."""
    try:
        call = ast.parse(call, mode="eval").body
        arguments = [ast.literal_eval(a) for a in call.args]
        options = {k.arg: ast.literal_eval(k.value) for k in call.keywords}
    except (SyntaxError, ValueError, AttributeError):
        raise Unusable(f'{name}: wants a call with plain numbers, such as "my_module:{name}(3, 8, stride=2)"') from None
    try:
        return kind(*arguments, **options)
    except Exception as error:
        raise Unusable(f'cannot make {name}: {_sentence(error)}; give arguments: "my_module:{name}(3, 8)"') from error


# ------------------------------------------------------------------------------------------------------ faults


def faults_command(args):
    """Count the planted faults that gradcheck finds, and the false alarms it raises."""
    from tqdm import tqdm

    from .testing.faults import sweep

    bar = lambda work: tqdm(work, desc="minigan faults", unit="rule", file=sys.stderr, leave=False)
    score = sweep(args.seeds, args.alarms, progress=bar)
    for name, seed in score.escaped:
        print(f"escaped: {name} (seed {seed})")
    for name, seed, error in score.alarms:
        print(f"false alarm: {name} (seed {seed}): {error}")
    print(score)
    return 1 if score.escaped or score.alarms else 0


# --------------------------------------------------------------------------------------------------- reproduce


def reproduce_command(args):
    """Run the examples that are not yet run, and write the table of what they claim."""
    try:
        return reproducing.reproduce(args)
    except (ValueError, OSError) as error:
        raise Unusable(error) from error


if __name__ == "__main__":
    raise SystemExit(main())
