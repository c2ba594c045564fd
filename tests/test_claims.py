"""Claims and their verdict: a table to read, an answer, and a file to compare runs by."""

import json

import numpy as np

from minigan.claims import Claim, verdict


def test_a_verdict_is_a_table_and_an_answer(capsys):
    assert verdict([("modes covered", "8", "8", True)]) is True
    assert verdict([("modes covered", "8", "8", True), ("KL", "< 0.1", "nan", np.bool_(False))]) is False
    out = capsys.readouterr().out.splitlines()
    assert out[-1].split() == ["KL", "<", "0.1", "nan", "FAIL"] and "PASS" in out[1]
    assert out[-1].index("FAIL") == out[-2].index("PASS")


def test_the_papers_number_stands_beside_ours_and_the_file_keeps_the_value(tmp_path, capsys):
    claim = Claim("KL", "< 0.1", np.float64(0.0471), np.bool_(True), form="{:.2f}", paper="0.07")
    assert verdict([claim], out=tmp_path)
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["claim", "paper", "expected", "measured"]
    assert row.split() == ["KL", "0.07", "<", "0.1", "0.05", "PASS"]
    held = json.loads((tmp_path / "verdict.json").read_text())
    wanted = {"name": "KL", "expected": "< 0.1", "value": 0.0471, "form": "{:.2f}", "passed": True, "paper": "0.07",
              "measured": "0.05"}  # fmt: skip
    assert held == {"passed": True, "claims": [wanted]}
