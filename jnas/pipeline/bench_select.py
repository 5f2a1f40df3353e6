"""Time of PT's trials against plain validation passes, on this machine.

No data are needed: the images are random bytes of the config's shape. Trials
are timed with nothing, half and all of the edges decided, since what nothing
weighs is not computed.
"""

import dataclasses
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jnas import config as configs
from jnas.pipeline import (
  bench,
  networks,
  problem,
  programs,
  scoring,
  select,
  stage,
)
from jnas.selection import perturbation
from jnas.spaces import Space
from jnas.training import keys, memory, sharding, steps, trials
from jnas.training.keys import Stage
from jnas.training.state import SearchState

# Batches of images that a timed pass has.
_NUM_BATCHES = 4
# Shares of the edges that are decided, and how much each counts in the mean
# over the operation phase (Simpson's rule).
_SHARES = {0.0: 1 / 6, 0.5: 4 / 6, 1.0: 1 / 6}


def run(config: configs.Config, *, repeats: int) -> dict[str, Any]:
  """Measures the trials of a whole selection by a sample of them.

  Args:
    config: of the run.
    repeats: timed runs of each pass, after one that is not counted.

  Returns:
    The fields of `jnas bench select --json`. Seconds are for a pass over
    `images` images; `ratio` is the time of all trials over that of as many
    plain validation passes.

  Raises:
    ValueError: for bad input.
  """
  if config.selection.name == "none":
    config = dataclasses.replace(
      config,
      selection=dataclasses.replace(config.selection, name="perturbation"),
    )
  found = problem.prepare(config)
  select.check(found)
  networks.search_net(found)
  problem.check_devices(config)
  num_images = _NUM_BATCHES * max(
    config.selection.batch_size, config.search.batch_size
  )
  dataset = bench.random_dataset(found, num_images)
  search = programs.make(found, dataset)
  base_key = keys.base(config.seed, Stage.SEARCH)
  state = programs.init_state(search, base_key, found.info.image_shape)
  state, valid = stage.place(
    state, dataset.train, batch_size=config.search.batch_size
  )
  passes: dict[Any, Callable[[], Any]] = {
    "valid": _plain_pass(found, search, state, valid)
  }
  compile_s, peak_bytes = 0.0, 0
  for name in found.space.cell_types:
    began = time.perf_counter()
    scorer, call = scoring.make_scorer(found, search, state, valid, (name,))
    compile_s += time.perf_counter() - began
    peak_bytes = max(peak_bytes, stage.peak_bytes(call))
    for share in _SHARES:
      passes[name, share] = _trial_pass(found.space, scorer, state, name, share)
  seconds = _time(passes, repeats)
  num_weights = config.selection.trials_per_call
  valid_s = seconds.pop("valid")
  trial_s = {place: value / num_weights for place, value in seconds.items()}
  counts = _count(found)
  total = 0.0
  for name in found.space.cell_types:
    num_ops, num_edges = counts[name]
    mean = sum(
      weight * trial_s[name, share] for share, weight in _SHARES.items()
    )
    total += num_ops * mean + num_edges * trial_s[name, 1.0]
  num_trials = sum(map(sum, counts.values()))
  return {
    "valid_s": valid_s,
    "trial_s": total / num_trials,
    "ratio": total / (num_trials * valid_s),
    "trials": num_trials,
    **{
      f"trial_{name}_{share:.0%}_s": value
      for (name, share), value in trial_s.items()
    },
    "images": num_images,
    "compile_s": compile_s,
    "peak_bytes": peak_bytes,
    "rss_bytes": memory.rss_peak_bytes(),
    "batch": config.selection.batch_size,
    "trials_per_call": num_weights,
    "devices": len(sharding.devices()),
  }


def _plain_pass(
  found: problem.Problem,
  search: steps.Search,
  state: SearchState,
  valid: stage.Placed,
) -> Callable[[], Any]:
  """A pass of the search's validation, batch norms as in the trials."""
  weights = jax.device_put(
    _weights(found.space, 0.0, np.random.default_rng(0)), state.step.sharding
  )
  batch = valid.first()
  evaluate = stage.compile_step(
    "validation",
    steps.make_search_eval(
      search, batch_statistics=found.config.selection.batch_statistics
    ),
    state.params,
    state.batch_stats,
    weights,
    None,
    batch,
    jax.device_put(jnp.ones(len(batch["labels"])), valid.sharding),
  )

  def run_pass() -> None:
    stage.measure(
      lambda batch, mask: evaluate(
        state.params, state.batch_stats, weights, None, batch, mask
      ),
      valid,
    )

  return run_pass


def _trial_pass(
  space: Space,
  scorer: scoring.Scorer,
  state: SearchState,
  cell_type: str,
  share: float,
) -> Callable[[], Any]:
  """A pass of one call of trials, this share of the edges decided."""
  weights = _weights(space, share, np.random.default_rng(1))
  varied = np.repeat(weights[cell_type][None], scorer.num_weights, axis=0)
  for index in range(scorer.num_weights):
    edge, column = divmod(index, space.num_ops)
    varied[index, edge % len(space.edges), column] = 0
  placed, zeros = jax.device_put(
    (
      (weights | {cell_type: varied}, np.ones(scorer.num_weights, bool)),
      (trials.zero_sums(scorer.num_weights), jnp.zeros((), jnp.int32)),
    ),
    state.step.sharding,
  )

  def run_pass() -> None:
    sums, batch = zeros
    for split in scoring.splits(scorer.valid, scorer.index, 0):
      sums, batch = scorer.call(
        state.params,
        state.batch_stats,
        *placed,
        split,
        scorer.order,
        sums,
        batch,
      )
    jax.block_until_ready(sums)

  return run_pass


def _weights(
  space: Space, share: float, generator: np.random.Generator
) -> dict[str, np.ndarray]:
  """Uniform weights, and one operation on a random share of the edges."""
  weights = {}
  for name in space.cell_types:
    mask = space.mask(name)
    value = (mask / mask.sum(axis=-1, keepdims=True)).astype(np.float32)
    num_decided = round(share * len(space.edges))
    for edge in generator.permutation(len(space.edges))[:num_decided]:
      value[edge] = np.eye(space.num_ops)[generator.integers(mask[edge].sum())]
    weights[name] = value
  return weights


def _time(
  passes: dict[Any, Callable[[], Any]], repeats: int
) -> dict[Any, float]:
  """Median seconds of each, taken in turns so that all see the same load."""
  seconds: dict[Any, list[float]] = {name: [] for name in passes}
  for _ in range(repeats + 1):
    for name, run_pass in passes.items():
      began = time.perf_counter()
      run_pass()
      seconds[name].append(time.perf_counter() - began)
  return {
    name: statistics.median(values[1:]) for name, values in seconds.items()
  }


def _count(found: problem.Problem) -> dict[str, tuple[int, int]]:
  """Trials of operations and of edges in each cell type, one-shot."""
  space, none = found.space, found.config.selection.none_candidate
  counts = {}
  for name in space.cell_types:
    candidates = [
      perturbation.op_candidates(space, name, edge, none_candidate=none)
      for edge in range(len(space.edges))
    ]
    counts[name] = (
      sum(len(columns) for columns in candidates if len(columns) > 1),
      sum(
        len(perturbation.edges_into(space, node))
        for node in perturbation.open_nodes(space)
      ),
    )
  return counts
