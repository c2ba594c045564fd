"""What the GPU's backend says when it cannot run, with a stand-in for CuPy: none of this needs a GPU.

What a GPU computes is for a machine that has one: the launchers and the kernels' texts are those of
test_cuda_kernels.py.
"""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from minigan import kernels
from minigan.kernels import rounding
from minigan.kernels.cuda import compile as cuda_compile
from minigan.kernels.cuda import device
from minigan.kernels.cuda.product import choose
from minigan.kernels.gpu import DeviceError


class Function:
    """A compiled kernel that remembers its launches."""

    max_dynamic_shared_size_bytes = 49152

    def __init__(self, name):
        self.name, self.launches = name, []

    def __call__(self, grid, block, args, shared_mem):
        self.launches.append((grid, block, args, shared_mem))


class RawModule:
    made = ()

    def __init__(self, code, options):
        self.code, self.options, self.functions = code, options, {}
        RawModule.made += (self,)

    def get_function(self, name):
        return self.functions.setdefault(name, Function(name))


@pytest.fixture
def cupy(monkeypatch):
    """A CuPy with a driver and a GPU, for a test to break."""

    class CUDARuntimeError(RuntimeError):
        pass

    gpu = SimpleNamespace(compute_capability="90", attributes={"MultiProcessorCount": 132})
    runtime = SimpleNamespace(driverGetVersion=lambda: 13000, CUDARuntimeError=CUDARuntimeError)
    cuda = SimpleNamespace(runtime=runtime, is_available=lambda: True, Device=lambda: gpu)
    fake = SimpleNamespace(__version__="14.0", cuda=cuda, gpu=gpu, RawModule=RawModule, empty=np.empty)
    monkeypatch.setitem(sys.modules, "cupy", fake)
    monkeypatch.setattr(RawModule, "made", ())
    return fake


def says(match):
    return pytest.raises(DeviceError, match=match)


def test_no_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with says(r"CuPy, which is not installed .* pip install 'minigan\[cuda13\]'"):
        device.Device()


def test_no_driver(cupy):
    def missing():
        raise cupy.cuda.runtime.CUDARuntimeError("cudaErrorNoDevice")

    cupy.cuda.runtime.driverGetVersion = missing
    with says(r"no NVIDIA driver answers \(cudaErrorNoDevice\)"):
        device.Device()


def test_no_gpu(cupy):
    cupy.cuda.is_available = lambda: False
    with says(r"finds no NVIDIA GPU"):
        device.Device()


def test_an_old_driver(cupy):
    cupy.cuda.runtime.driverGetVersion = lambda: 11080
    with says(r"the NVIDIA driver knows CUDA 11\.8, wants 12\.0 or newer"):
        device.Device()


def test_an_old_gpu_runs_the_tiled_kernels_and_says_so(cupy):
    cupy.gpu.compute_capability = "75"
    with pytest.warns(UserWarning, match=r"this GPU is sm_75; kernels on tensor cores want sm_80\. The tiled kernels"):
        old = device.Device()
    assert choose(old, np.float32) == "tiled" and choose(old, np.float64) == "tiled"


def test_a_new_gpu_runs_float32_on_tensor_cores(cupy, monkeypatch):
    monkeypatch.delenv("MINIGAN_TF32", raising=False)
    new = device.Device()
    assert new.processors == 132
    assert choose(new, np.float32) == "tensor" and choose(new, np.float64) == "tiled"
    monkeypatch.setenv("MINIGAN_TF32", "0")
    assert choose(new, np.float32) == "tiled"


def test_a_host_array_is_refused(cupy):
    with pytest.raises(TypeError, match=r"^add: argument 1 is a NumPy array, others are on the GPU; use cupy\.asarray"):
        device.Device().run("elementwise", "add", (1,), (256,), [object(), np.ones(3)], np.float32)


def test_a_file_is_compiled_once_for_each_dtype_and_large_shared_memory_asked_for(cupy):
    gpu, array = device.Device(), object()
    for dtype, shared in (("float32", 1024), ("float32", 60000), ("float64", 0)):
        gpu.run("gemm", "gemm_tiled", (2, 3), (256,), [array, np.int32(5)], np.dtype(dtype), shared)
    single, double = RawModule.made
    assert "-DDOUBLE=0" in single.options and "-DDOUBLE=1" in double.options
    assert single.code == double.code == cuda_compile.source("gemm")
    function = single.functions["gemm_tiled"]
    assert function.launches[1] == ((2, 3), (256,), (array, np.int32(5)), 60000)
    assert function.max_dynamic_shared_size_bytes == 60000


def test_precision_is_chosen_once_for_all_and_gives_back_what_held(monkeypatch):
    monkeypatch.setattr(rounding, "_chosen", None)
    monkeypatch.delenv("MINIGAN_TF32", raising=False)
    gpu = SimpleNamespace(tensor_cores=True)
    assert kernels.precision("fp32") == "tf32" and choose(gpu, "f4") == "tiled"
    assert kernels.precision("tf32") == "fp32" and choose(gpu, "f4") == "tensor"
    assert kernels.precision("bf16") == "tf32" and choose(gpu, "f4") == "tensor" and choose(gpu, "f8") == "tiled"
    assert kernels.precision() == "bf16"
    with pytest.raises(ValueError, match="precision: got 'fp8'; know tf32, fp32, bf16"):
        kernels.precision("fp8")
