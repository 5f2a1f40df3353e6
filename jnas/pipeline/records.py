"""What a search writes down of each epoch."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from jnas import genotype as genotypes
from jnas.data import placing
from jnas.functional import mixing, numerics
from jnas.genotype import Genotype
from jnas.pipeline import problem, stage
from jnas.pipeline.programs import Programs, belief_of
from jnas.selection import magnitude, skips
from jnas.spaces import SKIP, Space
from jnas.training import metrics, optim
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
  weights = belief.probs
  genotype = select(found, belief.decided)
  child = magnitude.chosen_weights(genotype, found.space)

  def measure(weights: Any, transit: Any) -> metrics.Means:
    placed = placing.put((weights, transit), state.step.sharding)
    return stage.measure(
      functools.partial(
        programs.evaluate, state.params, state.batch_stats, *placed
      ),
      valid,
    )

  supernet_means = measure(weights, belief.transit)
  child_means = measure(child, None if belief.transit is None else child)
  cells = {"normal": genotype.normal, "reduce": genotype.reduce}
  counts = {name: op_counts(cells[name]) for name in found.space.cell_types}
  return {
    "valid_loss": supernet_means.loss,
    "valid_accuracy": supernet_means.accuracy,
    "child_loss": child_means.loss,
    "child_accuracy": child_means.accuracy,
    "gap": supernet_means.accuracy - child_means.accuracy,
    "entropy": _entropies(weights, found.space),
    "op_counts": counts,
    "skip_share": {
      name: ops.get(SKIP, 0) / max(sum(ops.values()), 1)
      for name, ops in counts.items()
    },
    **belief.report,
    "mixing": weights,
    "genotype": genotypes.to_dict(genotype),
  }


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
