"""The vector unit of this machine, and the size of the register tile that suits it.

A tile holds ROWS x VECTORS vector registers of sums. It must leave room for the VECTORS registers of weights that each
step loads, and be large enough to hide the latency of a fused multiply-add (about 4 cycles, two a cycle: 8 sums).

$MINIGAN_SIMD = avx512 | avx2 | neon | plain forces a narrower unit than the host's, so that each can be tested.

Stands on llvmlite, which knows the host. Read tile.py next.
"""

import os
import platform
from typing import NamedTuple

from llvmlite import binding


class Unit(NamedTuple):
    """A vector unit: register width in bytes, whether it multiplies and adds in one, rows of the two tiles.

    The outer tile has an address for every row and a table to follow in its inner loop: more rows than 8 run out of
    general registers, and the loop halves its speed.
    """

    name: str
    register_bytes: int
    fused: bool
    rows: int
    outer_rows: int


UNITS = {
    "avx512": Unit("avx512", 64, True, 12, 8),  # 32 registers: 24 sums
    "avx2": Unit("avx2", 32, True, 6, 6),  # 16 registers: 12 sums
    "neon": Unit("neon", 16, True, 8, 8),  # 32 registers: 16 sums
    "plain": Unit("plain", 16, False, 4, 4),  # 16 registers: 8 sums
}
VECTORS = 2


def _host():
    features = binding.get_host_cpu_features()
    if features.get("avx512f"):
        return "avx512"
    if features.get("avx2") and features.get("fma"):
        return "avx2"
    return "neon" if platform.machine().lower() in ("aarch64", "arm64") else "plain"


def choose(wanted=None):
    """The unit to use: the host's, or the one that $MINIGAN_SIMD names."""
    host = _host()
    name = wanted or host
    if name not in UNITS:
        raise ValueError(f"MINIGAN_SIMD: got {name!r}; know {', '.join(UNITS)}")
    foreign = name != "plain" and (name == "neon") != (host == "neon")
    if foreign or UNITS[name].register_bytes > UNITS[host].register_bytes:
        raise ValueError(f"MINIGAN_SIMD: {name!r} is not to be had on this machine, whose unit is {host!r}")
    return UNITS[name]


UNIT = choose(os.environ.get("MINIGAN_SIMD"))


def lanes(itemsize):
    """Numbers of `itemsize` bytes in one vector register."""
    return UNIT.register_bytes // itemsize
