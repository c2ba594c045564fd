"""Every example with --device cuda: on a GPU; elsewhere a step of it on CuPy's stand-in, with the smallest networks.

What it shows is that no array of the host meets one of the device, and that CuPy has what is called. Whether the
numbers are right is for the tests of the parts.
"""

import runpy
import sys
from pathlib import Path

import pytest

from minigan.kernels import rounding

EXAMPLES = Path(__file__).parent.parent / "examples"
TINY = {
    "01_gan_ring": "", "02_dcgan": "--batch 2 --width 2 --judged 20", "05_games": "--game wgan-gp --steps 2",
    "06_pacgan": "",
    "07_textbook_figures": "", "08_optimal_discriminator": "", "09_wasserstein_distance": "",
    "10_wgan_gp_surfaces": "", "11_wgan_div": "", "12_f_gan": "",
    "13_vanishing_gradients": "--data glyphs --batch 2 --width 2",
    "14_conditional": "--data glyphs --size 32 --batch 2 --width 2 --judged 20",
    "15_infogan": "--batch 2 --width 2", "16_semi_supervised": "--batch 10 --width 2", "17_collapse": "",
    "18_dcgan_features": "--batch 2 --width 2 --labels 100 --judged 20",
    "19_cuda_graph": "--batch 2 --width 2 --images 10",
}  # fmt: skip
TUTORIALS = {"03_write_an_op", "04_write_a_kernel"}  # they choose the device themselves
SLOW_IN_THE_EMULATOR = {"13_vanishing_gradients", "14_conditional", "16_semi_supervised", "18_dcgan_features"}


def test_every_example_is_here():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == TINY.keys() | TUTORIALS


@pytest.mark.gpu
@pytest.mark.parametrize(
    "name, precision", [*((name, "tf32") for name in TINY), ("01_gan_ring", "bf16"), ("15_infogan", "bf16")]
)
def test_an_example_runs_on_the_device(name, precision, cuda, monkeypatch, tmp_path):
    if name in SLOW_IN_THE_EMULATOR and "stand-in" in cuda.__version__:
        pytest.skip("takes more than 10 s in the emulator")
    options = f"--smoke --steps 1 --device cuda --precision {precision} --out {tmp_path / 'run'} {TINY[name]}"
    monkeypatch.setattr(rounding, "_chosen", None)  # and back again
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *options.split()])
    monkeypatch.setenv("MINIGAN_TRACEBACK", "1")
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    assert ended.value.code == 0
