"""The search of several seeds in one compiled program.

A step of all seeds is the step of one, mapped over states, keys and batches
that have the seed as leading axis. The seeds are divided between the devices,
which have nothing to tell each other.
"""

import functools
import itertools
import pathlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from jnas.data import loader, placing
from jnas.data.base import Dataset, Split
from jnas.nets import count
from jnas.pipeline import (
  epochs,
  folder,
  orders,
  problem,
  programs,
  records,
  search,
  stage,
)
from jnas.training import keys, metrics, preemption, sharding, steps
from jnas.training.keys import Stage
from jnas.training.state import SearchState


def over_seeds(
  step: Callable[..., Any], mesh: Mesh, *, in_turn: bool
) -> Callable[..., Any]:
  """Maps a step over seeds, the leading axis of what it takes and gives.

  Args:
    step: of one seed; a function of pytrees.
    mesh: its devices share the seeds.
    in_turn: whether a device runs its seeds one after another, for steps that
      skip what they do not need, which `vmap` would compute.
  """

  def share(*args: Any) -> Any:
    if jax.tree.leaves(args)[0].shape[0] == 1:
      out = step(*jax.tree.map(lambda leaf: leaf[0], args))
      return jax.tree.map(lambda leaf: leaf[None], out)
    if in_turn:
      return jax.lax.map(lambda each: step(*each), args)
    return jax.vmap(step)(*args)

  if mesh.size == 1:
    return share
  spec = PartitionSpec(mesh.axis_names)
  return jax.shard_map(
    share, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False
  )


class _Images(NamedTuple):
  """The images of all seeds, which differ in how they are divided.

  Attributes:
    train: those that the weights' are taken from.
    valid: those that the architecture's are taken from.
    index: of each seed, its images of either.
    measured: of each seed, the architecture's images, to measure on.
  """

  train: loader.Resident
  valid: loader.Resident
  index: list[tuple[np.ndarray, np.ndarray]]
  measured: list[stage.Placed]


def run(
  founds: Sequence[problem.Problem],
  dataset: Dataset,
  runs: Sequence[folder.RunFolder],
  path: pathlib.Path,
  stop: preemption.StopFlag,
) -> None:
  """Searches, or continues, and gives each seed what its search has found.

  Args:
    founds: the problem of each seed.
    dataset: the images, in memory.
    runs: the run folder of each; those that are finished stay as they are.
    path: folder of the states of all.
    stop: whether to stop.

  Raises:
    stage.Stopped: if asked to stop; the states are saved.
  """
  config = founds[0].config.search
  made = programs.make(founds[0], dataset)
  mesh = sharding.make_mesh()
  by_seed = sharding.split(mesh)
  base_keys = [keys.base(found.config.seed, Stage.SEARCH) for found in founds]
  states = placing.put(
    _stack(
      programs.init_state(made, key, dataset.image_shape) for key in base_keys
    ),
    by_seed,
  )
  images = _place(founds, dataset, by_seed)

  def batches(epoch: int, start: int) -> Iterator[tuple[Any, Any, bool]]:
    drawn = [
      orders.of_epoch(
        made, key, epoch, [len(part) for part in index], config.batch_size
      )
      for key, index in zip(base_keys, images.index, strict=True)
    ]
    train, valid = (
      loader.batches(
        whole,
        np.stack(
          [
            index[part][order[part]]
            for index, order in zip(images.index, drawn, strict=True)
          ],
          axis=1,
        ),
        start=start,
        sharding=by_seed,
      )
      for part, whole in enumerate((images.train, images.valid))
    )
    moves_arch = made.moves_arch and epoch >= config.arch_warmup
    return zip(train, valid, itertools.repeat(moves_arch), strict=False)

  compiled, peak_bytes = _compile(
    made,
    placing.put(jnp.stack(base_keys), by_seed),
    states,
    next(batches(0, 0))[0],
    images.measured[0].first(),
    mesh,
  )

  def advance(states: SearchState, given: Any) -> tuple[SearchState, jax.Array]:
    train_batch, valid_batch, moves_arch = given
    if moves_arch and compiled.arch_step is not None:
      states = compiled.arch_step(states, (train_batch, valid_batch))
    return compiled.weight_step(states, train_batch)

  def finish(
    states: SearchState, epoch: int
  ) -> tuple[SearchState, dict[str, Any]]:
    each = [_one(states, index, mesh) for index in range(len(runs))]
    rows = [
      records.train_record(found, state, epoch)
      for found, state in zip(founds, each, strict=True)
    ]
    moved = [
      state._replace(
        memory=compiled.after_epoch(state.arch, state.memory, state.step - 1),
        sums=metrics.zero_sums(),
      )
      for state in each
    ]
    last = epoch == config.epochs - 1
    if last or (epoch + 1) % config.valid_every == 0:
      rows = [
        row | records.valid_record(found, compiled, state, valid)
        for row, found, state, valid in zip(
          rows, founds, moved, images.measured, strict=True
        )
      ]
    after = _stack((state.memory, state.sums) for state in moved)
    memory, sums = placing.put(after, by_seed)
    return states._replace(memory=memory, sums=sums), {"seeds": rows}

  course = epochs.Epochs(
    title=f"search {founds[0].config.name} of {len(runs)} seeds",
    num_epochs=config.epochs,
    steps_per_epoch=made.steps_per_epoch,
    images_per_step=(1 + made.moves_arch) * config.batch_size * len(runs),
    batches=batches,
    advance=advance,
    finish=finish,
    line=_line,
  )
  header = records.header(founds[0])
  states, _, seconds = epochs.run(
    course,
    states,
    path=path,
    config_hash=",".join(each.hash for each in runs),
    header={**header, "seeds": [each.config.seed for each in runs]},
    stop=stop,
    checkpoint_seconds=config.checkpoint_seconds,
  )
  rows = metrics.MetricsFile(path / "metrics.jsonl").read()
  for index, (found, run_folder) in enumerate(zip(founds, runs, strict=True)):
    if search.finished(run_folder) is not None:
      continue
    state = _one(states, index, mesh)
    trained = search.Trained(
      selected=records.select(
        found, programs.belief_of(compiled, state).decided
      ),
      last=rows[-1]["seeds"][index],
      epochs=config.epochs,
      steps=course.num_steps,
      params=count.count_params(state.params),
      peak_bytes=peak_bytes,
      seconds=seconds / len(runs),  # so that the seeds' add up
    )
    _hand_over(run_folder, state, trained, header, rows[1:], index)


def _place(
  founds: Sequence[problem.Problem],
  dataset: Dataset,
  by_seed: jax.sharding.NamedSharding,
) -> _Images:
  """Puts the images on the devices: once for all steps."""
  batch_size = founds[0].config.search.batch_size
  splits = [search.split(found, dataset) for found in founds]
  _, *measured = stage.place(
    None, *(valid for _, valid in splits), batch_size=batch_size
  )
  assert isinstance(dataset.train, Split)
  train = valid = loader.put(dataset.train, sharding=by_seed)
  if isinstance(dataset.valid, Split):
    valid = loader.put(dataset.valid, sharding=by_seed)
    whole = np.arange(len(dataset.train)), np.arange(len(dataset.valid))
    index = [whole] * len(founds)
  else:
    index = [
      search.divide(found.config, len(dataset.train)) for found in founds
    ]
  return _Images(train, valid, index, measured)


def _compile(
  made: steps.Search,
  base_keys: jax.Array,
  states: SearchState,
  batch: loader.Batch,
  measured_batch: loader.Batch,
  mesh: Mesh,
) -> tuple[programs.Programs, int]:
  """Compiles the steps of all seeds, and what measures one of them.

  Args:
    made: the static parts of the steps.
    base_keys: `[S]`.
    states: of all seeds.
    batch: of all seeds.
    measured_batch: of one seed, divided between the devices.
    mesh: the devices.

  Returns:
    The programs, and the largest memory that one of them needs on a device.
    The steps take and give what has the seed as leading axis, and the mean
    loss of all seeds; the others are of one seed.
  """
  lift = functools.partial(over_seeds, mesh=mesh, in_turn=made.has_transit)

  def weight_step(
    base_keys: jax.Array, states: SearchState, batch: loader.Batch
  ) -> tuple[SearchState, jax.Array]:
    states, losses = lift(steps.make_weight_step(made))(
      base_keys, states, batch
    )
    return states, jnp.mean(losses)

  state = _one(states, 0, mesh)
  believe = jax.jit(programs.make_believe(made))
  belief = believe(state.arch, state.memory, state.step)
  of_states = programs.describe(states)
  compiled = [
    stage.compile_step(
      "weight step", weight_step, base_keys, of_states, batch, donate_argnums=1
    ),
    programs.compile_validation(made, state, belief, measured_batch),
  ]
  if made.moves_arch:
    arch_step = stage.compile_step(
      "architecture step",
      lift(steps.make_arch_step(made)),
      base_keys,
      of_states,
      (batch, batch),
      donate_argnums=1,
    )
    compiled.append(arch_step)
  of_seeds = programs.Programs(
    arch_step=(
      functools.partial(compiled[2], base_keys) if made.moves_arch else None
    ),
    weight_step=functools.partial(compiled[0], base_keys),
    evaluate=compiled[1],
    believe=believe,
    after_epoch=jax.jit(programs.make_after_epoch(made)),
    sample=programs.make_sample(made),
  )
  return of_seeds, stage.peak_bytes(*compiled)


def _hand_over(
  run_folder: folder.RunFolder,
  state: SearchState,
  trained: search.Trained,
  header: dict[str, Any],
  rows: Sequence[dict[str, Any]],
  index: int,
) -> None:
  """Writes what a search of this seed alone would have left.

  Its summary comes last: without it, all is written again.
  """
  file = metrics.MetricsFile(run_folder.search / "metrics.jsonl")
  file.truncate_after(None)
  file.write({"kind": "header", **header})
  for row in rows:
    shared = {name: row[name] for name in ("kind", "epoch", "step")}
    file.write(
      {
        **shared,
        **row["seeds"][index],
        "images_per_s": row["images_per_s"],
        "seconds": row["seconds"] / len(row["seeds"]),
      }
    )
  shutil.rmtree(run_folder.search / "checkpoints", ignore_errors=True)
  with epochs.open_checkpoints(
    run_folder.search, run_folder.hash
  ) as checkpoints:
    checkpoints.save(trained.steps, state, {"seconds": trained.seconds})
  search.write_result(run_folder, trained)


def _stack(trees: Iterable[Any]) -> Any:
  """Pytrees as one whose leaves have them as leading axis."""
  return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def _one(states: SearchState, index: int, mesh: Mesh) -> SearchState:
  """The state of one seed, whole on every device."""
  state = jax.tree.map(lambda leaf: leaf[index], states)
  return placing.put(state, sharding.replicated(mesh))


def _line(record: dict[str, Any]) -> str:
  rows = record["seeds"]
  names = ("train_accuracy", "valid_accuracy", "child_accuracy")
  means = {
    name: float(np.mean([row[name] for row in rows]))
    for name in names
    if name in rows[0]
  }
  return f"mean of seeds: {search.describe(means)}"
