"""What a multiprocessor issues beside its tensor cores: instructions of every main loop, read off the machine code.

    python -m minigan.kernels.cuda.machine_code [architecture]        90 if none is named

A multiprocessor has four schedulers, each of which issues one instruction a clock to one of its warps and feeds one
tensor core. A product of 16 x 8 x 8 takes the tensor core 8 clocks on sm_80 and 4 at the very best on sm_90, so a loop
that issues more instructions than that for each of them is limited by their number, and not by the tensor cores.
Neither a GPU nor a driver is needed for this: NVRTC writes the machine code, NVIDIA's disassembler reads it.

Stands on compile.py. Read tensor_tile.cuh next.
"""

import collections
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from . import compile

KINDS = {  # what an instruction is there for, by how its name begins; the rest are addresses and bounds
    "HMMA": "tensor",
    "FMUL": "round",
    "F2FP": "round",
    "LDSM": "read",
    "LDS": "read",
    "LDGSTS": "copy",
    "MOV": "move",
    "IMAD.MOV": "move",
}


class Loop(NamedTuple):
    """The instructions of a kernel's main loop, in order, without their operands."""

    instructions: tuple[str, ...]

    @property
    def counts(self):
        """{kind: how many}, of KINDS and "address"."""
        found = collections.Counter()
        for name in self.instructions:
            found[next((kind for start, kind in KINDS.items() if name.startswith(start)), "address")] += 1
        return found

    @property
    def per_tensor(self):
        """Instructions issued for each one of the tensor cores."""
        return len(self.instructions) / self.counts["tensor"]


def loops(name, dtype, architecture):
    """The loops with most tensor core instructions of a .cu file → {kernel: Loop}, kernels without any left out.

    A product has two such loops, for copies of 16 bytes and of 4; the shorter one is the first.
    """
    code, _ = compile.cubin(compile.source(name), name, dtype, architecture)
    found = {}
    for part in re.split(r"\n\s*\.section\s+\.text\.", _disassembled(code))[1:]:
        loop = max(_loops(part), key=lambda body: (_tensor(body), -len(body)), default=())
        if _tensor(loop):
            found[part.split(",", 1)[0].strip()] = Loop(tuple(loop))
    return found


def _tensor(body):
    return sum(name.startswith("HMMA") for name in body)


_LABEL = re.compile(r"^\s*(\.L_\w+):", re.M)
_INSTRUCTION = re.compile(r"^\s*/\*[0-9a-f]{4,}\*/\s+(?:@!?\w+\s+)?([\w.]+)(.*);", re.M)


def _loops(text):
    """Every stretch of instructions that ends with a branch to its beginning."""
    labels, body = {}, []
    for line in text.splitlines():
        if label := _LABEL.match(line):
            labels[label[1]] = len(body)
        elif found := _INSTRUCTION.match(line):
            body.append(found[1])
            target = re.search(r"`\((\.L_\w+)\)", found[2]) if found[1].startswith("BRA") else None
            if target and target[1] in labels:
                yield body[labels[target[1]] :]


def _disassembled(code):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "kernels.cubin")
        path.write_bytes(code)
        done = subprocess.run([disassembler(), "-c", str(path)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"nvdisasm: {done.stderr.strip()}")
    return done.stdout


def disassembler():
    """The path of nvdisasm; RuntimeError that says how to get it."""
    try:
        from cuda.pathfinder import find_nvidia_binary_utility

        found = find_nvidia_binary_utility("nvdisasm")
    except ImportError:
        found = None
    if not found:
        raise RuntimeError("reading machine code needs NVIDIA's disassembler: pip install 'minigan[test]'")
    return found


def main(architecture=90):
    """Print a table of all kernels that use tensor cores."""
    kinds = list(dict.fromkeys([*KINDS.values(), "address"]))
    print(f"sm_{architecture}: instructions of one step of the main loop, for each one of a tensor core\n")
    print(f"{'kernel':32} {'factors':8} {'loop':>5} {'each':>6}   " + "".join(f"{kind:>9}" for kind in kinds))
    for name, dtype in compile.builds(("float32", "bfloat16")):
        for kernel, loop in sorted(loops(name, dtype, architecture).items()):
            factors = "bf16" if dtype == "bfloat16" else "tf32"
            columns = "".join(f"{loop.counts[kind]:9}" for kind in kinds)
            print(f"{kernel:32} {factors:8} {len(loop.instructions):5} {loop.per_tensor:6.1f}   {columns}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
