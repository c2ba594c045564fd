"""How the tests run: Hypothesis profiles, and what several files share.

$HYPOTHESIS_PROFILE picks how hard Hypothesis looks: "ci" (the default: few examples, the same ones every time), "dev"
(new ones every time), "thorough" (many).
"""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import stand_in_cupy
from hypothesis import HealthCheck, settings

from minigan import device as devices
from minigan.data import Glyphs
from minigan.kernels.cuda import backends

SLOW_FIRST_CALL = [HealthCheck.too_slow]  # the first call of a kernel compiles it

settings.register_profile("ci", max_examples=12, derandomize=True, deadline=None, suppress_health_check=SLOW_FIRST_CALL)
settings.register_profile("dev", max_examples=30, deadline=None, suppress_health_check=SLOW_FIRST_CALL)
settings.register_profile("thorough", max_examples=1000, deadline=None, suppress_health_check=SLOW_FIRST_CALL)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(scope="module")
def module_cache(tmp_path_factory):
    """A cache folder for the tests of one file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIGAN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def glyphs(module_cache):
    return Glyphs(32)


@pytest.fixture
def rng():
    """A generator with a fixed seed: a test that fails, fails again."""
    return np.random.default_rng(7)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request):
    """Each device in turn: the same test on both."""
    if request.param == "cuda":
        request.getfixturevalue("cuda")
    return request.param


@pytest.fixture
def cuda(monkeypatch):
    """CuPy with a GPU behind it; without one, its stand-in, whose kernels run in the emulator."""
    if devices.resolve("auto") == "cuda":
        return sys.modules["cupy"]
    if not shutil.which("g++"):
        pytest.skip("no GPU, and no g++ for the emulator")
    cupy = stand_in_cupy.make()
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setattr(devices, "_has_gpu", lambda: True)
    backends._device.cache_clear()
    yield cupy
    backends._device.cache_clear()


def seeded(seed=0):
    """A generator of one's own."""
    return np.random.default_rng(seed)


def example(name):
    """An example as a module: example("05_games")."""
    path = Path(__file__).parent.parent / "examples" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"example_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
