"""From a .cu file to one text: what it includes stands in it, and every line still knows its file and number.

One text is what the device's compiler takes and what a cache can be keyed by. For the CPU, what C++ cannot express is
spelled out once the preprocessor has expanded the macros: shared memory starts every block as NaN, its dynamic part has
the size of the launch, and every kernel can be found by its name.

Stands on nothing. Read build.py next.
"""

import re
from pathlib import Path

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)".*$', re.M)
_SYSTEM = re.compile(r"^[ \t]*#[ \t]*include[ \t]*<([^>]+)>.*$", re.M)
_BOUNDS = r"__launch_bounds__\s*\((?:[^()]|\([^()]*\))*\)\s*"
_KERNEL = re.compile(rf"__global__\s+(?:void\s+)?(?:{_BOUNDS})?(?:void\s+)?(\w+)\s*\(")
_TYPE = r"(?:(?:unsigned|signed|long|short|volatile)\s+)*[\w:]+"
_SHARED = re.compile(rf"(extern\s+)?__shared__\s+(?:__align__\s*\(\s*\d+\s*\)\s*)?({_TYPE})\s+(\w[^;(]*);")


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


def keep_includes(text):
    """The text with its #include <...> hidden from a preprocessor, and CUDA's own left out."""
    return _SYSTEM.sub(lambda m: "" if m[1].startswith("cuda") else f"#pragma emulator include <{m[1]}>", text)


def for_cpu(text):
    """A preprocessed text with its shared memory and kernels spelled out for the CPU, line by line as before."""

    def spell(match):
        external, kind, declared = match[1], match[2], match[3]
        names = re.findall(r"(?:^|,)\s*(\w+)", re.sub(r"\[[^\]]*\]", "", declared))
        if external:
            return " ".join(f"{kind}* {name} = ({kind}*)emulator::dynamic_shared();" for name in names)
        return match[0] + "".join(f" emulator::fresh(&{name}, sizeof {name});" for name in names)

    names = [m[1] for m in _KERNEL.finditer(text) if not re.search(r"template\s*<[^;{}]*>\s*$", text[: m.start()])]
    exports = "\n".join(f"EMULATOR_EXPORT({name})" for name in names)
    text = _SHARED.sub(spell, text).replace("#pragma emulator include", "#include")
    return f'{text}\n#line 1 "exports"\n{exports}\nEMULATOR_NAMES("{" ".join(names)}")\n'
