"""Tuning: the supernet goes on training between PT's decisions.

Source: PT (arXiv:2108.04392), Algorithm 1, "tune the supernet until it
converges again"; SPEC 3.6, "Tuning", and 6, D11 and D30.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jnas import config as configs
from jnas.data import placing
from jnas.data.base import Dataset
from jnas.methods import held
from jnas.pipeline import epochs, folder, orders, problem, programs, stage
from jnas.pipeline.journal import Journal
from jnas.training import keys, loop, metrics, optim, sharding, steps
from jnas.training.keys import Stage
from jnas.training.state import SearchState, SelectionState
from jnas.types import CellWeights


class Tuning(NamedTuple):
  """What tuning needs besides a state.

  Attributes:
    search: the static parts, the method held at what is decided.
    settings: of the weights' optimiser.
    programs: compiled steps.
    base_key: of the stage.
    train: images that the weights are fitted to.
    valid: images that the architecture is fitted to.
  """

  search: steps.Search
  settings: configs.SearchConfig
  programs: programs.Programs
  base_key: jax.Array
  train: stage.Placed
  valid: stage.Placed


def settings_of(
  found: problem.Problem, num_epochs: int
) -> configs.SearchConfig:
  """Settings of the optimisers while tuning.

  Source: SPEC 6, D11: a tenth of the search's rate, a cosine from there; the
  authors' code never steps it.

  Args:
    found: the problem.
    num_epochs: of the tuning.
  """
  search, selection = found.config.search, found.config.selection
  lr = search.lr * selection.lr_share
  return dataclasses.replace(
    search,
    epochs=max(num_epochs, 1),
    lr=lr,
    lr_min=lr * selection.lr_end_share,
    lr_warmup=0,
    schedule="cosine",
    # The architecture's rate stays where its schedule ended.
    arch_lr=search.arch_lr * search.arch_lr_share,
    arch_lr_share=1.0,
  )


def make(
  found: problem.Problem, dataset: Dataset, settings: configs.SearchConfig
) -> steps.Search:
  """The static parts of the tuning's steps.

  The architecture of open edges goes on as in the search, first order.

  Args:
    found: the problem.
    dataset: its images.
    settings: from `settings_of`.
  """
  search = programs.make(found, dataset)
  scheme = search.scheme
  if not found.config.selection.train_arch:
    scheme = "frozen"
  elif scheme == "second_order":
    scheme = "bilevel"
  return search._replace(
    method=held.hold(found.method),
    params_tx=optim.weights(settings, steps_per_epoch=search.steps_per_epoch),
    arch_tx=optim.architecture(
      settings, steps_per_epoch=search.steps_per_epoch
    ),
    scheme=scheme,
    arch_warmup=0,
    drop_skip=0.0,
  )


def shapes(search: steps.Search, image_shape: tuple[int, int, int]) -> Any:
  """What the state of a search looks like on this machine's devices."""
  placed = sharding.replicated(sharding.make_mesh())
  key = jax.random.key(0)
  return jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=placed),
    jax.eval_shape(lambda: programs.init_state(search, key, image_shape)),
  )


def searched(
  found: problem.Problem,
  dataset: Dataset,
  run_folder: folder.RunFolder,
) -> SearchState:
  """The supernet at the end of the search.

  Raises:
    FileNotFoundError: if the search has no checkpoint.
  """
  search = programs.make(found, dataset)
  with epochs.open_checkpoints(
    run_folder.search, run_folder.hash
  ) as checkpoints:
    restored = checkpoints.restore(shapes(search, dataset.image_shape))
  if restored is None:
    raise FileNotFoundError(f"no checkpoint in {run_folder.search}")
  return restored.state


def begin(search: steps.Search, trained: SearchState) -> SearchState:
  """The state that tuning starts from: all weights open, no momentum.

  Source: SPEC 3.6: momentum buffers are reset; Adam's state is kept.

  Args:
    search: from `make`.
    trained: the supernet at the end of the search.
  """
  state = trained._replace(
    step=jnp.zeros((), jnp.int32),
    params_opt=jax.jit(search.params_tx.init)(trained.params),
    memory=held.Memory(trained.memory, held.undecided(search.space)),
    sums=metrics.zero_sums(),
  )
  return placing.put(state, trained.step.sharding)


def run_epoch(
  tuning: Tuning,
  journal: Journal,
  state: SelectionState,
  epoch: int,
  *,
  validate: bool,
) -> SelectionState:
  """Trains what is left of an epoch of tuning, writes it down and saves.

  Args:
    tuning: the parts.
    journal: where it is written down.
    state: at the epoch's start, or within it.
    epoch: from 0.
    validate: whether the supernet is measured at the end.
  """
  steps_per_epoch = tuning.search.steps_per_epoch
  begin = epoch * steps_per_epoch
  done = int(state.search.step) - begin
  batches = _batches(tuning, epoch, done)
  clock = stage.Clock(0.0)

  before = journal.count - (begin + done)

  def after_step(net: SearchState, step: int, loss: float) -> None:
    journal.reach(before + step, loss)
    if step % steps_per_epoch:
      journal.save_in_time(state._replace(search=net))

  with jax.transfer_guard("disallow"):
    net = loop.run_steps(
      state.search,
      batches,
      advance=lambda net, batches: _advance(tuning, net, batches),
      after_step=after_step,
      first_step=begin + done,
    )
  rate = tuning.train.batch_size * (steps_per_epoch - done) / clock.seconds
  means = metrics.mean(net.sums)
  lr = optim.weights_lr(tuning.settings, jnp.asarray(epoch))
  record: dict[str, Any] = {
    "epoch": epoch,
    "train_loss": means.loss,
    "train_accuracy": means.accuracy,
    "weights_lr": float(lr),
  }
  net = net._replace(
    memory=tuning.programs.after_epoch(net.arch, net.memory, net.step - 1),
    sums=placing.put(metrics.zero_sums(), net.step.sharding),
  )
  if validate:
    belief = tuning.programs.believe(net.arch, net.memory, net.step)
    measured = measure(tuning, net, belief.probs)
    record["valid_loss"] = measured.loss
    record["valid_accuracy"] = measured.accuracy
  journal.write("epoch", **record, images_per_s=rate, seconds=journal.seconds)
  state = state._replace(search=net)
  journal.save(state)
  return state


def train(tuning: Tuning, net: SearchState, num_epochs: int) -> SearchState:
  """Trains whole epochs, nothing written down.

  Args:
    tuning: the parts.
    net: with some decisions in force; donated.
    num_epochs: 0 or more.
  """
  for epoch in range(num_epochs):
    batches = _batches(tuning, epoch, 0)
    with jax.transfer_guard("disallow"):
      net = loop.run_steps(
        net,
        batches,
        advance=lambda net, both: _advance(tuning, net, both),
        after_step=lambda net, step, loss: None,
        first_step=epoch * tuning.search.steps_per_epoch,
      )
  return net


def measure(
  tuning: Tuning, net: SearchState, weights: CellWeights
) -> metrics.Means:
  """The supernet on the validation split, running batch statistics."""
  return stage.measure(
    lambda batch, mask: tuning.programs.evaluate(
      net.params, net.batch_stats, weights, None, batch, mask
    ),
    tuning.valid,
  )


def _batches(
  tuning: Tuning, epoch: int, start: int
) -> Iterator[tuple[Any, Any]]:
  sizes = [part.num_images for part in (tuning.train, tuning.valid)]
  train_order, valid_order = orders.of_epoch(
    tuning.search, tuning.base_key, epoch, sizes, tuning.train.batch_size
  )
  train_crops, valid_crops = orders.crops(tuning.base_key, epoch)
  return zip(
    tuning.train.batches(train_order, start=start, crop_key=train_crops),
    tuning.valid.batches(valid_order, start=start, crop_key=valid_crops),
    strict=True,
  )


def _advance(
  tuning: Tuning, net: SearchState, batches: tuple[Any, Any]
) -> tuple[SearchState, jax.Array]:
  train_batch, _ = batches
  if tuning.programs.arch_step is not None:
    net = tuning.programs.arch_step(net, batches)
  return tuning.programs.weight_step(net, train_batch)


def base_key(found: problem.Problem) -> jax.Array:
  """The base key of the stage."""
  return keys.base(found.config.seed, Stage.SELECT)
