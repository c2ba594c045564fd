"""Each case in PyTorch on a GPU, in the ways that its users know to make it fast.

    NCHW, channels_last    eager, in either layout
    compiled               channels_last, both players by torch.compile(mode="max-autotune")
    CUDA graph             channels_last, the whole step, or several calls of a kernel, captured and replayed

float32 products are TF32, as are ours; cuDNN tries its algorithms and keeps the fastest. In bf16, everything forward
runs under autocast, as its documentation says. Compiled and captured steps have the fused Adam.

Sources: the notes "CUDA semantics" (TF32, CUDA graphs) and "Automatic mixed precision" of PyTorch's documentation.

Stands on ../pytorch.py. Read worker.py next.
"""

import contextlib

import torch

from ..place import Device
from ..pytorch import Pytorch, adversarial_step
from ..sizes import ADAM

WARM_UP = 3  # steps on a side stream before a capture, as PyTorch's documentation has it


class TorchDevice(Device):
    """Where PyTorch's tensors are made and waited for; a rehearsal has no GPU and captures nothing."""

    def __init__(self, place):
        self.device = "cuda" if place == "cuda" else "cpu"
        self.on_gpu = self.device == "cuda"

    def building(self):
        """What is made inside lies on the device; outside, no call pays for that."""
        return torch.device(self.device)

    def synchronize(self):
        if self.on_gpu:
            torch.cuda.synchronize()

    def release(self):
        if self.on_gpu:
            torch.cuda.empty_cache()

    def capture(self, step, networks=()):
        """The function that replays one step as a CUDA graph."""
        if not self.on_gpu:
            return step
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                step()
        torch.cuda.current_stream().wait_stream(side)
        for network in networks:
            network.zero_grad(set_to_none=True)  # so that the capture makes them, in its own memory
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
        return graph.replay


class GpuPytorch(Pytorch):
    """The cases on a device; `mode` is one of those above."""

    def __init__(self, sizes, mode, threads, place):
        super().__init__(sizes, "NCHW" if mode == "NCHW" else "channels_last", threads)
        self.mode, self.place, self.precision = mode, TorchDevice(place), "tf32"
        self.captured, self.capture = mode == "CUDA graph", self.place.capture
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
        if hasattr(torch.backends.cudnn, "fp32_precision"):
            torch.backends.cudnn.fp32_precision = "tf32"  # which torch.compile's own convolutions ask
        torch.backends.cudnn.benchmark = True
        torch.empty(1, device=self.place.device)  # a PyTorch without CUDA says so here, once

    def describe(self):
        return f"torch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"

    def choose(self, precision):
        """That of the next cases; None: whatever it is."""
        self.precision = precision or self.precision

    def matmul(self, n):
        a, b = torch.randn(2, n, n, dtype=torch.bfloat16 if self.precision == "bf16" else torch.float32)
        return lambda: a @ b

    def adam(self):
        params = [torch.randn(shape, requires_grad=True) for shape in self.sizes.parameters]
        for p in params:
            p.grad = torch.randn_like(p)
        return torch.optim.Adam(params, **ADAM, fused=True).step

    def dcgan_step(self, size, channels):
        G, D, real, noise = self.dcgan(size, channels)
        cast = self._cast()
        if self.mode == "compiled":
            options = {"mode": "max-autotune"} if self.place.on_gpu else {"backend": "eager"}  # a rehearsal is short
            compiled = [torch.compile(network, **options) for network in (G, D)]
            step = adversarial_step(*compiled, real, noise, cast, fused=True)
            return lambda: (torch.compiler.cudagraph_mark_step_begin(), step())
        if self.captured:
            step = adversarial_step(G, D, real, noise, cast, fused=True, capturable=self.place.on_gpu)
            return self.capture(step, (G, D))
        return adversarial_step(G, D, real, noise, cast)

    def _cast(self):
        """The context of everything forward."""
        if self.precision != "bf16":
            return contextlib.nullcontext
        return lambda: torch.autocast(self.place.device, dtype=torch.bfloat16, cache_enabled=False)
