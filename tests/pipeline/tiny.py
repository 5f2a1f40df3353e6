"""A problem that passes through every stage in seconds; also a config file."""

import dataclasses
import hashlib
import json
import pathlib
from typing import Any

import orbax.checkpoint as ocp

from jnas import config
from jnas.spaces import Space
from jnas.training import metrics

STEPS_PER_EPOCH = 3
SPACE = Space(
  name="tiny",
  num_inputs=2,
  num_nodes=1,
  ops={
    "normal": (("skip_connect", "sep_conv_3x3"),) * 2,
    "reduce": (("skip_connect", "max_pool_3x3"),) * 2,
  },
  concat=(2,),
)
STAGES = ("search", "evaluate", "evaluate/random_0")


def get_config(
  *, checkpoint_seconds: float = 3600.0, random_baselines: int = 1
) -> config.Config:
  """Two epochs of three steps in each stage, on images of 4x4."""
  return config.Config(
    name="tiny",
    space="tests.pipeline.tiny:SPACE",
    data=config.DataConfig(
      limit=48, test_limit=20, image_size=4, crop_padding=1
    ),
    search=config.SearchConfig(
      cells=3,
      channels=2,
      epochs=2,
      batch_size=8,
      checkpoint_seconds=checkpoint_seconds,
    ),
    evaluate=config.EvaluateConfig(
      cells=3,
      channels=2,
      epochs=2,
      batch_size=16,
      auxiliary_weight=0.0,
      cutout=2,
      random_baselines=random_baselines,
      checkpoint_seconds=checkpoint_seconds,
    ),
  )


def with_seed(seed: int) -> config.Config:
  """The same problem with another seed."""
  return dataclasses.replace(get_config(), seed=seed)


def results(workdir: pathlib.Path, *stages: str) -> dict[str, Any]:
  """What a run computed: every bit of its last states, and its records.

  Args:
    workdir: the run folder.
    *stages: whose results, all that there are by default.
  """
  found = {}
  for stage in stages or STAGES:
    if (workdir / stage).is_dir():
      file = metrics.MetricsFile(workdir / stage / "metrics.jsonl")
      found[stage] = {
        "state": state_hash(workdir / stage / "checkpoints"),
        "metrics": metrics.strip_times(file.read()),
      }
  found["genotype"] = json.loads((workdir / "genotype.json").read_text())
  # Differs with `checkpoint_seconds`, which changes nothing that is computed.
  del found["genotype"]["provenance"]["config_hash"]
  return found


def state_hash(folder: pathlib.Path) -> tuple[int, list[list], str]:
  """Last step, names, types and shapes of the leaves, SHA-256 of their bits."""
  with ocp.CheckpointManager(
    folder, options=ocp.CheckpointManagerOptions(read_only=True)
  ) as manager:
    step = manager.latest_step()
    read = manager.restore(
      step,
      args=ocp.args.Composite(
        header=ocp.args.JsonRestore(), state=ocp.args.StandardRestore()
      ),
    )
  leaves = [leaf[:3] for leaf in read.header["header"]["leaves"]]
  assert len(leaves) > 50
  return step, leaves, hashlib.sha256(read.state["bytes"]).hexdigest()
