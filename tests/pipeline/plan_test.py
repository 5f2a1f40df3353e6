"""jnas plan, through the command line."""

import json
import pathlib

import pytest

from jnas import cli
from tests.pipeline import tiny


def test_rungs_save_more_each_time(capsys):
  path = str(pathlib.Path(tiny.__file__))
  arguments = ["plan", "--config", path, "--search.channels", "8"]
  with pytest.raises(SystemExit) as exit_info:
    cli.main([*arguments, "--rungs", "--json"])
  assert exit_info.value.code == 0
  found = json.loads(capsys.readouterr().out)
  rungs = found["rungs"]
  assert [rung["supernet"] for rung in rungs] == [
    "all cells mix",
    "+ Engine and Transit cells",
    "+ shared features",
    "+ bottleneck",
  ]
  # The config saves nothing: the first rung is the search itself.
  assert rungs[0]["params"] == found["params"]
  assert rungs[0]["madds"] == found["madds"]
  # Cells that skip keep all their weights, and here no two edges leave a node
  # that could share theirs.
  assert rungs[0]["params"] == rungs[1]["params"] == rungs[2]["params"]
  assert rungs[2]["params"] > rungs[3]["params"]
  for rung in rungs:
    assert rung["eta_s"] == rung["step_s"] * rung["steps"]
    assert rung["peak_bytes"] > 0
