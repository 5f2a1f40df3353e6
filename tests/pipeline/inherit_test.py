"""evaluate.inherit, through the command line."""

import dataclasses
import functools
import pathlib

import numpy as np
import orbax.checkpoint as ocp
import pytest

from jnas import cli
from jnas import genotype as genotypes
from jnas.pipeline import (
  evaluate,
  folder,
  networks,
  problem,
  search,
  select,
  stage,
  training,
)
from jnas.training import keys, metrics
from jnas.training.keys import Stage
from tests.pipeline import tiny, tiny_selection

CONFIG = pathlib.Path(tiny.__file__)


def last_params(path: pathlib.Path) -> dict[str, np.ndarray]:
  """The weights of the last checkpoint, by name."""
  with ocp.CheckpointManager(
    path, options=ocp.CheckpointManagerOptions(read_only=True)
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


def test_after_a_selection_the_weights_are_those_of_the_tuned_supernet(
  tmp_path,
):
  config = tiny_selection.get_config(name="perturbation")
  # The pools of the supernet have batch norms, and so its child's.
  inherit = dataclasses.replace(config.evaluate, inherit=True, pool_norm=True)
  config = dataclasses.replace(config, evaluate=inherit)
  search.run(config, tmp_path)
  with pytest.raises(FileNotFoundError, match="run `jnas select` first"):
    evaluate.run(
      config,
      tmp_path,
      genotype=genotypes.load(tmp_path / "search" / "genotype.json"),
    )
  found = select.run(config, tmp_path)
  measured = measure_inherited(config, tmp_path, found.genotype)
  assert measured.accuracy == pytest.approx(found.summary["child_accuracy"])
  assert measured.loss == pytest.approx(found.summary["child_loss"], rel=1e-5)


def measure_inherited(config, workdir, genotype):
  """The derived network on the valid split, before its first step."""
  found = problem.prepare(config)
  dataset = problem.load_data(found)
  parts = training.make(found, dataset, networks.derived_net(found, genotype))
  base_key = keys.base(config.seed, Stage.EVALUATE, 1)
  state = evaluate._inherit(
    found,
    dataset,
    folder.open_run(config, workdir),
    genotype,
    training.init_state(parts, base_key, dataset.image_shape),
  )
  state, train, valid = stage.place(
    state,
    *search.split(found, dataset),
    batch_size=config.evaluate.batch_size,
  )
  _, measure, _ = training.compile_programs(
    parts, base_key, state, train.first(), "inherited"
  )
  return stage.measure(functools.partial(measure, state.variables), valid)
