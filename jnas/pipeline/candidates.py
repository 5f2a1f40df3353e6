"""Random search: candidates trained one after the other, the best one found.

Source: DARTS, Sec. 3.3: random cells trained for a short time and picked by
their validation; SPEC 3.10.
"""

import dataclasses
import pathlib
from typing import Any

from jnas import config as configs
from jnas import genotype as genotypes
from jnas.data.base import AnySplit, Dataset
from jnas.genotype import Genotype
from jnas.pipeline import folder, problem, training
from jnas.selection import random as random_selection
from jnas.training import keys, memory, metrics, preemption
from jnas.training.keys import Purpose, Stage


def run(
  found: problem.Problem,
  dataset: Dataset,
  splits: tuple[AnySplit, AnySplit],
  *,
  path: pathlib.Path,
  config_hash: str,
  stop: preemption.StopFlag,
) -> tuple[Genotype, dict[str, Any]]:
  """Trains every candidate that the folder does not hold yet.

  Each is trained at the size and by the recipe of the search, without cutout,
  drop-path or auxiliary head, and measured on the split that the search would
  fit the architecture to.

  Args:
    found: the problem; its method's settings have `num_candidates`.
    dataset: whose splits these are.
    splits: images to train on, and images to choose by.
    path: folder of the search.
    config_hash: that the checkpoints must be of.
    stop: whether to stop.

  Returns:
    The best candidate and the search's summary, the last record of
    metrics.jsonl.

  Raises:
    stage.Stopped: if asked to stop; the state is saved.
  """
  train, valid = splits
  small = dataclasses.replace(
    found,
    config=dataclasses.replace(found.config, evaluate=recipe(found.config)),
    info=dataclasses.replace(found.info, num_train=len(train)),
  )
  images = dataclasses.replace(dataset, train=train, test=valid, valid=None)
  candidates = [
    draw(found, index) for index in range(found.settings.num_candidates)
  ]
  summaries = []
  for index, genotype in enumerate(candidates):
    folder_of = path / f"candidate_{index}"
    summary = folder.summary(folder_of)
    if summary is None:
      summary = training.run(
        small,
        images,
        genotype,
        path=folder_of,
        name=f"candidate {index}",
        config_hash=config_hash,
        stop=stop,
        split="valid",
      )
    summaries.append(summary)
  best = max(
    range(len(candidates)),
    key=lambda index: (summaries[index]["valid_accuracy"], -index),
  )
  summary = {
    "kind": "summary",
    **{name: summaries[best][name] for name in _BEST},
    "best_candidate": best,
    "candidates": [
      {
        "genotype": item["genotype"],
        "valid_accuracy": item["valid_accuracy"],
        "params": item["params"],
      }
      for item in summaries
    ],
    "genotype": genotypes.to_dict(candidates[best]),
    "epochs": found.config.search.epochs,
    "steps": sum(item["steps"] for item in summaries),
    "rss_bytes": memory.rss_peak_bytes(),
    "seconds": sum(item["seconds"] for item in summaries),
  }
  file = metrics.MetricsFile(path / "metrics.jsonl")
  file.truncate_after(None)
  file.write({"kind": "header", "split_sizes": _sizes(train, valid)})
  file.write(summary)
  return candidates[best], summary


# What the summary repeats of the best candidate.
_BEST = ("valid_accuracy", "valid_loss", "train_accuracy", "params")


def draw(found: problem.Problem, index: int) -> Genotype:
  """The candidate of this number."""
  key = keys.base(found.config.seed, Stage.SEARCH)
  return random_selection.sample(
    keys.key_for(key, Purpose.RANDOM_GENOTYPE, index), found.space
  )


def recipe(config: configs.Config) -> configs.EvaluateConfig:
  """The training of a candidate: the search's size and schedule."""
  search = config.search
  shared = {
    field.name: getattr(search, field.name)
    for field in dataclasses.fields(configs.EvaluateConfig)
    if hasattr(search, field.name)
  }
  shared["drop_path"] = 0.0
  return configs.EvaluateConfig(
    **shared, cutout=0, auxiliary_weight=0.0, random_baselines=0
  )


def _sizes(train: AnySplit, valid: AnySplit) -> dict[str, int]:
  return {"train": len(train), "valid": len(valid)}
