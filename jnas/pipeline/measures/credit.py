"""Whether the operations that SNAS credits gain probability.

Source: SNAS (arXiv:1812.09926), Sec. 2.3 and Eq. (8); SPEC 5, P4.
"""

import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jnas import config as configs
from jnas.functional import credit
from jnas.pipeline import display, estimators, problem, programs, search, stage
from jnas.training import batches, keys, steps
from jnas.training.keys import Purpose, Stage
from jnas.types import ArchParams, CellWeights


def credits(config: configs.Config, path: pathlib.Path) -> dict[str, Any]:
  """Correlation of an operation's credit and the change of its log alpha.

  The sample that the credit is of is the one that the step moves by. Both are
  taken relative to the mean of their edge: a shift of all its logits changes
  nothing.

  Args:
    config: of a search by SNAS in a single level, run here for all its epochs.
    path: the run folder; nothing is needed there.

  Returns:
    `by_step`, the correlation over steps and operations; `by_search`, that of
    an operation's mean credit and the change of its logit in the search.
  """
  del path
  found = problem.prepare(config)
  dataset = problem.load_data(found)
  parts = programs.make(found, dataset)
  base_key = keys.base(config.seed, Stage.SEARCH)
  state, train, _ = stage.place(
    programs.init_state(parts, base_key, dataset.image_shape),
    *search.split(found, dataset),
    batch_size=config.search.batch_size,
  )
  base_key = jax.device_put(base_key, state.step.sharding)
  arguments = base_key, state, train.first()
  assign = stage.compile_step("credit", make_credit(parts), *arguments)
  step = stage.compile_step(
    "weight step", steps.make_weight_step(parts), *arguments, donate_argnums=1
  )
  number = config.search.epochs * parts.steps_per_epoch
  credited, moved = [], []
  with display.waiting("taking the steps of SNAS"):
    for batch in estimators.train_batches(parts, base_key, train, number):
      before = jax.device_get(state.arch)
      credited.append(_relative(parts, assign(base_key, state, batch)))
      state, _ = step(base_key, state, batch)
      after = jax.device_get(state.arch)
      change = {name: after[name] - before[name] for name in after}
      moved.append(_relative(parts, change))
  return correlations(np.stack(credited), np.stack(moved))


def correlations(
  credit_td: np.ndarray, change_td: np.ndarray
) -> dict[str, float]:
  """The two correlations.

  Args:
    credit_td: `[T, D]` credit of each operation at each step.
    change_td: `[T, D]` change of its logit in that step.
  """
  return {
    "by_step": _correlation(credit_td.ravel(), change_td.ravel()),
    "by_search": _correlation(credit_td.mean(axis=0), change_td.sum(axis=0)),
  }


def make_credit(parts: steps.Search) -> Callable[..., CellWeights]:
  """`(base_key, state, batch) -> {cell type: [E, K]}`.

  The credit under the sample that the weight step draws from the same key,
  state and batch.
  """

  def assign(base_key: jax.Array, state: Any, batch: Any) -> CellWeights:
    key = jax.random.fold_in(base_key, state.step)
    context = parts.context(state.memory, state.step)
    images = parts.images.training(
      keys.key_for(key, Purpose.TRAIN_AUGMENT), batch["images"]
    )
    weights = parts.method.mix(
      parts.settings,
      state.arch,
      keys.key_for(key, Purpose.TRAIN_MIX),
      context,
    )

    def loss(weights: CellWeights) -> jax.Array:
      logits, _ = parts.apply(
        state.params,
        state.batch_stats,
        images,
        weights,
        parts.transit(state.arch, context),
        keys.key_for(key, Purpose.TRAIN_NOISE),
        context.progress,
      )
      return jnp.mean(batches.losses(logits, batch["labels"]))

    grad = jax.grad(loss)(weights)
    return {
      name: credit.snas_credit(grad[name], weights[name])[1] for name in weights
    }

  return assign


def _relative(parts: steps.Search, values: ArchParams) -> np.ndarray:
  """`[D]`, those of the operations that there are, less their edge's mean."""
  kept = []
  for name in parts.space.cell_types:
    for row, exists in zip(
      np.asarray(values[name], np.float64), parts.space.mask(name), strict=True
    ):
      kept.append(row[exists] - row[exists].mean())
  return np.concatenate(kept)


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
  """Pearson's, 0 where one of them does not vary."""
  a, b = a - a.mean(), b - b.mean()
  size = float(np.linalg.norm(a) * np.linalg.norm(b))
  return float(a @ b) / size if size else 0.0
