"""How many images a second the host decodes, and how many the steps take."""

import os
import statistics
import time
from typing import Any

import jax
import numpy as np

from jnas import config as configs
from jnas.data import prefetch
from jnas.data.base import Dataset
from jnas.data.streamed import StreamedSplit
from jnas.pipeline import problem
from jnas.training import keys
from jnas.training.keys import Purpose, Stage

# Images that are timed at once, and those before them, while disks wake up.
_IMAGES, _FIRST = 256, 32


def run(config: configs.Config, *, repeats: int) -> dict[str, Any]:
  """Measures the loader of streamed images.

  Args:
    config: of the run.
    repeats: timed runs over up to 256 images each.

  Returns:
    The fields of `jnas bench data --json`.

  Raises:
    ValueError: for bad input, or data that are kept on the device.
    FileNotFoundError: for data that are not there.
    streamed.UnreadableError: if too many images cannot be read.
  """
  found = problem.prepare(config)
  if not found.info.streamed:
    raise ValueError(
      f"{found.info.name} is kept on the device, where no loader is needed; "
      f"data.stream is {config.data.stream!r}: set it to 'on' to stream it"
    )
  dataset = problem.load_data(found)
  rates = {
    name: statistics.median(
      rate(found, dataset, train=train, draw=draw) for draw in range(repeats)
    )
    for name, train in (("images_per_s", True), ("eval_images_per_s", False))
  }
  return {
    **rates,
    "image_shape": list(found.info.image_shape),
    "threads": prefetch.num_threads(),
    "cores": os.cpu_count(),
  }


def rate(
  found: problem.Problem, dataset: Dataset, *, train: bool, draw: int = 0
) -> float:
  """Images a second, of some images drawn from the training split.

  Args:
    found: the problem.
    dataset: its images, streamed.
    train: whether they are cut out as for training.
    draw: which images.
  """
  split = dataset.train
  assert isinstance(split, StreamedSplit)
  key = keys.key_for(
    keys.base(found.config.seed, Stage.SEARCH), Purpose.TRAIN_CROP, draw
  )
  batch = min(_FIRST, len(split))
  random = np.random.default_rng(draw)
  steps = 1 + min(_IMAGES, len(split)) // batch
  order = random.integers(0, len(split), (steps, batch))
  batches = prefetch.batches(split, order, crop_key=key if train else None)
  jax.block_until_ready(next(batches))
  began = time.perf_counter()
  jax.block_until_ready(list(batches))
  return (steps - 1) * batch / (time.perf_counter() - began)


def plan(
  found: problem.Problem, search: dict[str, Any], evaluate: dict[str, Any]
) -> dict[str, Any]:
  """Whether the steps will wait for streamed images.

  Args:
    found: the problem; its images are streamed.
    search: the search's plan, with the images a second that it takes.
    evaluate: the evaluation's, likewise.

  Returns:
    `images_per_s` that this host decodes, None where the images are not
    there; what each stage takes; `waits_for_images`, the stages that will;
    and a line that says so.
  """
  needs = {
    "search": search["images_per_s"],
    "evaluate": evaluate["images_per_s"],
  }
  fields = {f"{name}_takes": value for name, value in needs.items()}
  try:
    given = rate(found, problem.load_data(found), train=True)
  except (FileNotFoundError, ValueError) as error:
    return {
      "images_per_s": None,
      **fields,
      "waits_for_images": None,
      "says": f"not measured: {error}",
    }
  waiting = [name for name, value in needs.items() if value > given]
  says = "fast enough for every stage"
  if waiting:
    shares = " and ".join(
      f"{name} runs at {given / needs[name]:.0%} of its speed"
      for name in waiting
    )
    says = f"the bottleneck: {shares} on {prefetch.num_threads()} threads"
  return {
    "images_per_s": given,
    **fields,
    "waits_for_images": waiting,
    "says": says,
  }
