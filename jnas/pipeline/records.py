"""What a search writes down of each epoch."""

import itertools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from jnas import genotype as genotypes
from jnas.data import loader, placing
from jnas.functional import mixing, numerics
from jnas.genotype import Genotype
from jnas.pipeline import problem, stage
from jnas.pipeline.programs import Programs, belief_of
from jnas.selection import magnitude, skips
from jnas.spaces import SKIP, Space
from jnas.training import keys, metrics, optim
from jnas.training.keys import Purpose, Stage
from jnas.training.state import SearchState
from jnas.types import CellWeights


def header(found: problem.Problem) -> dict[str, Any]:
  """What holds for all epochs: the space and the sizes of the splits."""
  space = found.space
  return {
    "edges": {
      name: [list(edge) for edge in space.edges_of(name)]
      for name in space.cell_types
    },
    "ops": dict(found.space.ops),
    "split_sizes": {"train": found.num_train, "valid": found.num_valid},
  }


def select(found: problem.Problem, decided: CellWeights) -> Genotype:
  """The genotype that the selector reads off, skip connections limited."""
  max_skips = found.config.progressive.max_skips
  if max_skips < 0:
    return found.selector(decided, found.space)
  return skips.limit(found.selector, decided, found.space, max_skips=max_skips)


def train_record(
  found: problem.Problem, state: SearchState, epoch: int
) -> dict[str, Any]:
  """What training says of an epoch: loss, accuracy, learning rates."""
  means = metrics.mean(state.sums)
  config = found.config.search
  moving = epoch - config.arch_warmup
  waits = moving < 0 or problem.scheme(found) == "frozen"
  return {
    "train_loss": means.loss,
    "train_accuracy": means.accuracy,
    "weights_lr": float(optim.weights_lr(config, jnp.asarray(epoch))),
    "arch_lr": 0.0
    if waits
    else float(optim.arch_lr(config, jnp.asarray(moving))),
  }


def valid_record(
  found: problem.Problem,
  programs: Programs,
  state: SearchState,
  valid: stage.Placed,
) -> dict[str, Any]:
  """Supernet and child on the validation split, and what the cells hold."""
  belief = belief_of(programs, state)
  genotype = select(found, belief.decided)
  child = magnitude.chosen_weights(genotype, found.space)

  def measure(weights: Iterator[Any], transit: Any) -> metrics.Means:
    def evaluate(batch: loader.Batch, mask: jax.Array) -> metrics.MetricSums:
      placed = placing.put((next(weights), transit), state.step.sharding)
      return programs.evaluate(
        state.params, state.batch_stats, *placed, batch, mask
      )

    return stage.measure(evaluate, valid)

  supernet_means = measure(
    _of_batches(found, programs, state, belief.probs), belief.transit
  )
  child_means = measure(
    itertools.repeat(child), None if belief.transit is None else child
  )
  cells = {"normal": genotype.normal, "reduce": genotype.reduce}
  counts = {name: op_counts(cells[name]) for name in found.space.cell_types}
  return {
    "valid_loss": supernet_means.loss,
    "valid_accuracy": supernet_means.accuracy,
    "child_loss": child_means.loss,
    "child_accuracy": child_means.accuracy,
    "gap": supernet_means.accuracy - child_means.accuracy,
    "entropy": _entropies(belief.probs, found.space),
    "op_counts": counts,
    "skip_share": {
      name: ops.get(SKIP, 0) / max(sum(ops.values()), 1)
      for name, ops in counts.items()
    },
    **belief.report,
    "mixing": belief.probs,
    "genotype": genotypes.to_dict(genotype),
  }


def _of_batches(
  found: problem.Problem,
  programs: Programs,
  state: SearchState,
  probs: CellWeights,
) -> Iterator[CellWeights]:
  """What the supernet is measured with, batch by batch."""
  if programs.sample is None:
    yield from itertools.repeat(probs)
    return
  base_key = keys.base(found.config.seed, Stage.SEARCH)
  key = keys.key_for(base_key, Purpose.VALID_SAMPLE, int(state.step))
  for index in itertools.count():
    drawn = placing.put(jax.random.fold_in(key, index), state.step.sharding)
    yield jax.device_get(
      programs.sample(state.arch, state.memory, state.step - 1, drawn)
    )


def op_counts(cell: genotypes.Cell | None) -> dict[str, int]:
  """How often each operation occurs in a cell."""
  names = [name for node in cell.nodes for name, _ in node] if cell else []
  return {name: names.count(name) for name in sorted(set(names))}


def _rows(weights_ek: jax.Array) -> jax.Array:
  """Each edge's weights as parts of their sum; zeros where there are none."""
  return numerics.safe_divide(
    weights_ek, jnp.sum(weights_ek, axis=-1, keepdims=True)
  )


def _entropies(weights: CellWeights, space: Space) -> dict[str, float]:
  return {
    name: float(
      mixing.relative_entropy(
        _rows(jnp.asarray(weights[name])), jnp.asarray(space.mask(name))
      )
    )
    for name in space.cell_types
  }
