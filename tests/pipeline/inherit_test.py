"""evaluate.inherit, through the command line."""

import pathlib

import numpy as np
import orbax.checkpoint as ocp
import pytest

from jnas import cli
from jnas.training import metrics
from tests.pipeline import tiny

CONFIG = pathlib.Path(tiny.__file__)


def last_params(folder: pathlib.Path) -> dict[str, np.ndarray]:
  """The weights of the last checkpoint, by name."""
  with ocp.CheckpointManager(
    folder, options=ocp.CheckpointManagerOptions(read_only=True)
  ) as manager:
    read = manager.restore(
      manager.latest_step(),
      args=ocp.args.Composite(
        header=ocp.args.JsonRestore(), state=ocp.args.StandardRestore()
      ),
    )
  content, found, start = read.state["bytes"].tobytes(), {}, 0
  for name, dtype, shape, *_ in read.header["header"]["leaves"]:
    leaf = np.zeros(shape, dtype)
    leaf = np.frombuffer(content, dtype, leaf.size, start).reshape(shape)
    start += leaf.nbytes
    if name.startswith("params/"):
      found[name.removeprefix("params/")] = leaf
  return found


def test_training_starts_from_the_weights_of_the_supernet(tmp_path, capfd):
  workdir = tmp_path / "run"
  with pytest.raises(SystemExit) as done:
    cli.main(
      ["run", "--config", str(CONFIG), "--workdir", str(workdir)]
      + ["--evaluate.inherit", "--evaluate.random-baselines", "0"]
      # So small that no weight moves: what it ends with, it started with.
      + ["--evaluate.lr", "1e-30"]
    )
  assert done.value.code == 0
  supernet = last_params(workdir / "search" / "checkpoints")
  child = last_params(workdir / "evaluate" / "checkpoints")
  kernels = {name for name in child if name.endswith("kernel")}
  assert {"stem/conv/kernel", "classifier/kernel"} <= kernels
  for name in kernels:
    if "/node_" in name:  # an operation has one slice for each target
      of_targets = [leaf.tobytes() for leaf in supernet[name]]
      assert all(leaf.tobytes() in of_targets for leaf in child[name]), name
    else:
      np.testing.assert_array_equal(child[name], supernet[name], name)
  file = metrics.MetricsFile(workdir / "evaluate" / "metrics.jsonl")
  assert file.read()[-1]["inherited"] is True
  page = (workdir / "report" / "index.html").read_text()
  assert "searched network started from the supernet" in page
