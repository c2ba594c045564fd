"""What the GPU's backend says when it cannot run, with a stand-in for CuPy: none of this needs a GPU.

The launchers and the kernels' texts are those of test_cuda_kernels.py.
"""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import stand_in_cupy

import minigan as mg
from minigan import kernels
from minigan.kernels import reference, rounding
from minigan.kernels.cuda import compile as cuda_compile
from minigan.kernels.cuda import device
from minigan.kernels.cuda.product import choose
from minigan.kernels.gpu import DeviceError


@pytest.fixture
def cupy(monkeypatch):
    """A CuPy with a driver and a GPU, for a test to break."""
    monkeypatch.setitem(sys.modules, "cupy", stand_in_cupy.make())
    return sys.modules["cupy"]


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


def test_an_old_gpu_runs_the_tiled_kernels_and_says_so(cupy, monkeypatch):
    monkeypatch.setattr(cupy.cuda.Device, "compute_capability", "75")
    with pytest.warns(UserWarning, match=r"this GPU is sm_75; kernels on tensor cores want sm_80\. The tiled kernels"):
        old = device.Device()
    assert choose(old, np.float32) == "tiled" and choose(old, np.float64) == "tiled"
    with pytest.raises(ValueError, match=r"version: tensor_64x64 wants tensor cores as GPUs have from sm_80 on"):
        choose(old, np.float32, "tensor_64x64")


def test_a_new_gpu_runs_float32_on_tensor_cores(cupy, monkeypatch):
    monkeypatch.delenv("MINIGAN_TF32", raising=False)
    new = device.Device()
    assert choose(new, np.float32) == "tensor" and choose(new, np.float64) == "tiled"
    monkeypatch.setenv("MINIGAN_TF32", "0")
    assert choose(new, np.float32) == "tiled"


def test_a_host_array_is_refused(cupy):
    with pytest.raises(TypeError, match=r"^add: argument 1 is a NumPy array, others are on the GPU; use cupy\.asarray"):
        device.Device().run("elementwise", "add", (1,), (256,), [object(), np.ones(3)], np.float32)


def test_a_file_is_compiled_once_for_each_dtype_and_large_shared_memory_asked_for(cupy, monkeypatch):
    made, launched = [], []

    class Function:
        max_dynamic_shared_size_bytes = 48 << 10

        def __call__(self, grid, block, args, *, shared_mem):
            assert shared_mem <= self.max_dynamic_shared_size_bytes
            launched.append((grid, block, args, shared_mem))

    def module(**given):
        made.append(given)
        function = Function()
        return SimpleNamespace(get_function=lambda name: function)

    monkeypatch.setattr(cupy, "RawModule", module)
    gpu, array = device.Device(), object()
    for dtype, shared in (("float32", 1024), ("float32", 60000), ("float64", 0)):
        gpu.run("gemm", "gemm_tiled", (2, 3), (256,), [array, np.int32(5)], np.dtype(dtype), shared)
    single, double = made
    assert "-DDOUBLE=0" in single["options"] and "-DDOUBLE=1" in double["options"]
    assert single["code"] == double["code"] == cuda_compile.source("gemm")
    assert launched[1] == ((2, 3), (256,), (array, np.int32(5)), 60000)


@pytest.mark.gpu
def test_the_kernels_alone_take_cupy_arrays(cuda, rng):
    """What a CuPy user types, and nothing of autograd."""
    x, w = rng.standard_normal((2, 9, 8, 3), np.float32), rng.standard_normal((3, 3, 3, 5), np.float32)
    here, there = reference.conv2d(x, w, stride=(2, 2), padding=(1, 1)), (cuda.asarray(x), cuda.asarray(w))
    with rounding.using("fp32"):
        y = kernels.conv2d(*there, stride=2, padding=1)
        g = kernels.conv2d_weight(there[0], y, kernel_size=(3, 3), stride=2, padding=1)
    assert isinstance(y, cuda.ndarray)
    np.testing.assert_allclose(y.get(), here, atol=1e-4)
    wanted = reference.conv2d_weight(x, y.get(), kernel_size=(3, 3), stride=(2, 2), padding=(1, 1))
    np.testing.assert_allclose(g.get(), wanted, atol=1e-3)
    with pytest.raises(TypeError, match=r"conv2d: arrays on one device, please; move with cupy.asarray\(x\)"):
        kernels.conv2d(there[0], w)


@pytest.mark.gpu
def test_tensors_and_modules_move_and_stay(cuda):
    x = mg.tensor([[1.0, -2.0]], device="cuda", requires_grad=True)
    assert x.device == "cuda" and isinstance(x.data, cuda.ndarray) and x.to("cuda") is x
    assert (x.to("cpu").data == [[1, -2]]).all() and "cuda" in repr(x) and float(x.sum()) == -1
    layer = mg.nn.Linear(2, 3)
    before = layer.weight.numpy()
    assert layer.to("cuda").weight.device == "cuda" and (layer.weight.numpy() == before).all()
    y = layer(x)
    (gx,) = mg.grad(y.sum(), [x])
    assert y.device == gx.device == "cuda"
    np.testing.assert_allclose(gx.numpy(), before.sum(1)[None], atol=2e-3)  # TF32
    assert layer.to("cpu").weight.device == "cpu"


@pytest.mark.gpu
def test_devices_do_not_mix(cuda):
    here, there = mg.tensor(np.ones(3)), mg.tensor(np.ones(3), device="cuda")
    places = r"inputs are on different devices \(a on {}, b on {}\); move one with \.to\('cuda'\) or \.to\('cpu'\)"
    with pytest.raises(ValueError, match="multiply: " + places.format("cpu", "cuda")):
        here * there
    with pytest.raises(ValueError, match="maximum: " + places.format("cuda", "cpu")):
        mg.ops.maximum(there, here)
    with pytest.raises(ValueError, match=r"join: inputs are on different devices"):
        mg.ops.concatenate([here, there])
    with pytest.raises(ValueError, match="multiply: " + places.format("cuda", "cpu")):
        there * np.ones(3)  # nor is an array of the host copied silently
    assert (2 * there).device == "cuda"


@pytest.mark.gpu
def test_the_two_libraries_do_not_mix(cuda):
    """On a GPU what CuPy says; elsewhere what its stand-in must say, for the tests above to mean anything."""
    ones = np.ones(3)
    for mix in (np.asarray, lambda x: x + ones, lambda x: ones * x, lambda x: np.maximum(x, ones)):
        with pytest.raises(TypeError):
            mix(cuda.zeros(3))
    with pytest.raises(TypeError):
        cuda.exp(ones)
    assert (cuda.zeros(3) + np.float64(1)).get().tolist() == [1, 1, 1]


def test_precision_is_chosen_once_for_all_and_gives_back_what_held(monkeypatch):
    monkeypatch.setattr(rounding, "_chosen", None)
    monkeypatch.delenv("MINIGAN_TF32", raising=False)
    gpu = SimpleNamespace(tensor_cores=True)
    assert kernels.precision("fp32") == "tf32" and choose(gpu, "f4") == "tiled"
    assert kernels.precision("tf32") == "fp32" and choose(gpu, "f4") == "tensor"
    assert kernels.precision("bf16") == "tf32" and choose(gpu, "f4") == "tensor" and choose(gpu, "f8") == "tiled"
    assert kernels.precision() == "bf16"
    with rounding.using("fp32"):
        assert kernels.precision() == "fp32"
    assert kernels.precision() == "bf16"
    with pytest.raises(ValueError, match="precision: got 'fp8'; know tf32, fp32, bf16"):
        kernels.precision("fp8")
