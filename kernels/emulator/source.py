"""From a .cu file to one text: what it includes stands in it, and every line still knows its file and number.

One text is what the device's compiler takes and what a cache can be keyed by. For the CPU, two things that C++ cannot
express are spelled out: shared memory starts every block as NaN, and its dynamic part has the size of the launch.

Stands on nothing. Read build.py next.
"""

import re
from pathlib import Path

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)".*$', re.M)
_KERNEL = re.compile(r"__global__\s+(?:void\s+)?(?:__launch_bounds__\s*\([^)]*\)\s*)?(?:void\s+)?(\w+)\s*\(")
_SHARED = re.compile(r"(extern\s+)?__shared__\s+(?:__align__\s*\(\s*\d+\s*\)\s*)?([\w:]+(?:\s+\w+)*?)\s+(\w[^;(]*);")


def assemble(path, _seen=None):
    """The text of a .cu file with the files that it includes in "quotes" put in, each once → str."""
    path, seen = Path(path).resolve(), set() if _seen is None else _seen
    seen.add(path)
    text = path.read_text(encoding="utf-8").replace("#pragma once", "")

    def put_in(match):
        included = (path.parent / match[1]).resolve()
        line = text.count("\n", 0, match.start()) + 2
        inner = "" if included in seen else assemble(included, seen)
        return f'{inner}\n#line {line} "{path.name}"'

    return f'#line 1 "{path.name}"\n' + _INCLUDE.sub(put_in, text)


def kernel_names(text):
    """The names of the kernels in a text that can be launched by name: those that are no templates."""
    return [m[1] for m in _KERNEL.finditer(text) if not re.search(r"template\s*<[^;{}]*>\s*$", text[: m.start()])]


def for_cpu(text):
    """The text with its shared memory spelled out for the CPU, on the same lines."""

    def spell(match):
        external, kind, declared = match[1], match[2], match[3]
        names = re.findall(r"(?:^|,)\s*(\w+)", re.sub(r"\[[^\]]*\]", "", declared))
        if external:
            return " ".join(f"{kind}* {name} = ({kind}*)emulator::dynamic_shared();" for name in names)
        return match[0] + "".join(f" emulator::fresh(&{name}, sizeof {name});" for name in names)

    return _SHARED.sub(spell, text)
