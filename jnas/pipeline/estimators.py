"""How much each estimator's architecture gradient varies on a real supernet.

At fixed weights, architecture and batches, the samples of the architecture are
all that changes from draw to draw.

Source: UNAS, Sec. 5 (variance reduction is why REBAR is used); SPEC 4.3, E7,
for the variance: the sum over the coordinates.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.flatten_util
import numpy as np

from jnas import config as configs
from jnas import methods
from jnas.methods import unas
from jnas.pipeline import (
  display,
  networks,
  orders,
  problem,
  programs,
  search,
  stage,
)
from jnas.training import batches, checkpoint, keys, steps
from jnas.training.keys import Purpose, Stage
from jnas.training.state import SearchState

NUM_DRAWS = 50
NUM_STEPS = 20
# Draws in which REINFORCE's moving baseline settles; they do not count.
_SETTLING = 10
# What is subtracted is what the method remembers; it is made to forget that.
NO_BASELINE = "REINFORCE, no baseline"
ESTIMATORS: dict[str, dict[str, Any]] = {
  "REINFORCE": {"estimator": "reinforce"},
  NO_BASELINE: {"estimator": "reinforce"},
  "REBAR": {"estimator": "rebar", "coupled": True},
  "REBAR, uncoupled": {"estimator": "rebar", "coupled": False},
  "Gumbel-softmax": {"estimator": "gumbel_softmax"},
  "straight-through": {"estimator": "straight_through"},
}


def run(
  config: configs.Config,
  *,
  draws: int,
  weight_steps: int,
  out: str | pathlib.Path,
) -> dict[str, Any]:
  """Measures the estimators on a supernet trained for a few steps.

  Args:
    config: of a search by UNAS.
    draws: gradients of each estimator.
    weight_steps: steps of the weights before.
    out: folder for the figure.

  Returns:
    The fields of `jnas bench estimators --json`.

  Raises:
    ValueError: for bad input, before anything is compiled.
  """
  for name, value, least in (("draws", draws, 2), ("steps", weight_steps, 0)):
    if value < least:
      raise ValueError(f"--{name} is {value}; it must be at least {least}")
  found = problem.prepare(config)
  if not isinstance(found.settings, unas.Settings):
    raise ValueError(
      f"method.name is {config.method.name!r}; the estimators are compared in "
      "'unas'"
    )
  networks.search_net(found)
  problem.check_devices(config)
  checkpoint.check_writable(pathlib.Path(out))
  rows = measure(
    found, tuple(ESTIMATORS), draws=draws, weight_steps=weight_steps
  )
  reference = next(row for row in rows if row["estimator"] == "REBAR")
  for row in rows:
    row["cosine_to_rebar"] = _cosine(row["mean"], reference["mean"])
  for row in rows:
    del row["mean"]
  from jnas.report import variance

  paths = variance.write(rows, pathlib.Path(out) / "estimators")
  return {
    "estimators": rows,
    "draws": draws,
    "weight_steps": weight_steps,
    "batch": config.search.batch_size,
    "figures": [str(path) for path in paths],
  }


def measure(
  found: problem.Problem,
  names: Sequence[str],
  *,
  draws: int,
  weight_steps: int,
) -> list[dict[str, Any]]:
  """Mean and variance of the gradients by some estimators.

  Args:
    found: the problem of a search by UNAS.
    names: of `ESTIMATORS`.
    draws: gradients of each.
    weight_steps: steps of the weights before.

  Returns:
    A row for each, in their order; `mean` is the gradient, `[D]`.
  """
  config, settings = found.config, found.settings
  dataset = problem.load_data(found)
  parts = programs.make(found, dataset)
  base_key = keys.base(config.seed, Stage.SEARCH)
  state, train, valid = stage.place(
    programs.init_state(parts, base_key, dataset.image_shape),
    *search.split(found, dataset),
    batch_size=config.search.batch_size,
  )
  state = _train_weights(parts, base_key, state, train, weight_steps)
  both = train.first(), valid.first()
  rows = []
  for name in names:
    # The latency has an estimator of its own, RELAX, for all of them.
    changed = dataclasses.replace(
      settings, latency_table="", **ESTIMATORS[name]
    )
    rows.append(
      {"estimator": name}
      | _measure(
        parts._replace(settings=changed), base_key, state, both, name, draws
      )
    )
  return rows


def _train_weights(
  parts: steps.Search,
  base_key: jax.Array,
  state: SearchState,
  train: stage.Placed,
  number: int,
) -> SearchState:
  """The state after some steps of the weights, the architecture as it was."""
  if not number:
    return state
  base_key = jax.device_put(base_key, state.step.sharding)
  step = stage.compile_step(
    "weight step",
    steps.make_weight_step(parts),
    base_key,
    state,
    train.first(),
    donate_argnums=1,
  )
  for batch in train_batches(parts, base_key, train, number):
    state, _ = step(base_key, state, batch)
  return state


def train_batches(
  parts: steps.Search, base_key: jax.Array, train: stage.Placed, number: int
) -> Iterator[Any]:
  """The first batches of the weights, in the order of a search."""
  done = epoch = 0
  while done < number:
    order, _ = orders.of_epoch(
      parts,
      base_key,
      epoch,
      [train.num_images] * 2,
      train.batch_size,
    )
    crop_key, _ = orders.crops(base_key, epoch)
    for batch in train.batches(order[: number - done], crop_key=crop_key):
      yield batch
      done += 1
    epoch += 1


def _measure(
  parts: steps.Search,
  base_key: jax.Array,
  state: SearchState,
  both: tuple[Any, Any],
  name: str,
  draws: int,
) -> dict[str, Any]:
  """Mean and variance of one estimator's gradient."""
  first = memory = parts.method.init_memory(parts.settings, parts.space)
  gradient = stage.compile_step(
    f"gradient by {name}",
    _make_gradient(parts, state, both),
    state.arch,
    memory,
    base_key,
  )
  drawn = []
  with display.waiting(f"drawing gradients by {name}"):
    for index in range(_SETTLING + draws):
      key = keys.key_for(base_key, Purpose.VALID_MIX, index)
      value, memory = gradient(state.arch, memory, key)
      drawn.append(np.asarray(value, np.float64))
      if name == NO_BASELINE:
        memory = first
  drawn_nd = np.stack(drawn[_SETTLING:])
  mean_d = drawn_nd.mean(axis=0)
  variance = drawn_nd.var(axis=0, ddof=1)
  return {
    "variance": float(variance.sum()),
    "mean_norm": float(np.linalg.norm(mean_d)),
    "standard_error": float((variance.sum() / draws) ** 0.5),
    "mean": mean_d,
  }


def _make_gradient(
  parts: steps.Search, state: SearchState, both: tuple[Any, Any]
) -> Callable[..., tuple[jax.Array, Any]]:
  """`(arch, memory, key) -> ([D] gradient, memory)` at fixed weights."""
  images = [parts.images.plain(batch["images"]) for batch in both]

  def gradient(arch: Any, memory: Any, key: jax.Array) -> Any:
    context = parts.context(memory, state.step)

    def of(which: int) -> Callable[[Any], jax.Array]:
      def losses(weights: Any) -> jax.Array:
        logits, _ = parts.apply(
          state.params,
          state.batch_stats,
          images[which],
          weights,
          parts.transit(arch, context),
          key,
          context.progress,
        )
        return batches.losses(logits, both[which]["labels"])

      return losses

    def objective(arch: Any) -> tuple[jax.Array, Any]:
      return methods.objective(
        parts.method,
        parts.settings,
        arch,
        key,
        context,
        methods.Losses(train=of(0), valid=of(1)),
      )

    grad, moved = jax.grad(objective, has_aux=True)(arch)
    return jax.flatten_util.ravel_pytree(grad)[0], moved

  return gradient


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
  size = float(np.linalg.norm(a) * np.linalg.norm(b))
  return float(a @ b) / size if size else 0.0
