"""Packaging: the folder kernels/ at the top is installed as the package minigan.kernels.

The link minigan/kernels -> ../kernels gives an editable install, a plain checkout and type checkers
the same module; package_dir gives it to wheels.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+?)"', (ROOT / "minigan/__init__.py").read_text(encoding="utf-8"))[1]
KERNELS = ["minigan.kernels", *(f"minigan.kernels.{name}" for name in find_packages("kernels"))]
PACKAGES = [name for name in find_packages(include=["minigan", "minigan.*"]) if not name.startswith("minigan.kernels")]
CUDA = [f"nvidia-cuda-{name}>=13" for name in ("nvrtc", "runtime", "crt", "nvdisasm")]  # a compiler without a toolkit
CUDA = [f"{name}; platform_system != 'Darwin'" for name in ("cuda-bindings>=13", *CUDA)]
TEST = ["pytest>=8", "hypothesis>=6.100", "ruff>=0.6", "ml_dtypes>=0.4", *CUDA]

setup(
    name="minigan",
    version=VERSION,
    description="GANs all the way down: losses, a tiny autodiff engine, and the kernels that it runs on",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10,<3.14",
    packages=PACKAGES + KERNELS,
    package_dir={"minigan.kernels": "kernels"},
    package_data={"minigan": ["py.typed"], "minigan.kernels": ["cuda/*.cu", "cuda/*.cuh", "emulator/*.h"]},
    install_requires=["numpy>=1.26", "numba>=0.61", "matplotlib>=3.8", "tqdm>=4.60", "safetensors>=0.7"],
    extras_require={
        "cuda12": ["cupy-cuda12x>=14", "ml_dtypes>=0.4"],
        "cuda13": ["cupy-cuda13x>=14", "ml_dtypes>=0.4"],
        "test": TEST,
        "bench": ["torch>=2.6"],
    },
)
