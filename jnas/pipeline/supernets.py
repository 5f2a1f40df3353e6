"""The supernet that a run ends with, after its search or its selection.

Source: SPEC 3.6: a selection goes on training the supernet.
"""

import jax.numpy as jnp

from jnas.data import placing
from jnas.data.base import Dataset
from jnas.pipeline import (
  epochs,
  folder,
  problem,
  programs,
  selecting,
  tuning,
)
from jnas.selection import perturbation
from jnas.training import keys, processes, trials
from jnas.training.keys import Stage
from jnas.training.state import SearchState, SelectionState


def begin_selection(found: problem.Problem, net: SearchState) -> SelectionState:
  """The state of a selection before its first trial.

  Args:
    found: the problem.
    net: the supernet, from `tuning.begin`.
  """
  config, space = found.config.selection, found.space
  candidates = max(space.num_ops, space.num_inputs + space.num_nodes)
  if config.name == "sampled":
    candidates = config.num_samples
  state = SelectionState(
    *(jnp.zeros((), jnp.int32) for _ in range(4)),
    scores=jnp.zeros((candidates, 2), jnp.float32),
    sums=trials.zero_sums(config.trials_per_call),
    search=net,
  )
  return placing.put(state, net.step.sharding)


def check(run_folder: folder.RunFolder) -> None:
  """Refuses a run whose supernet is not there yet.

  Raises:
    FileNotFoundError: naming the command that makes it.
  """
  if not processes.from_first(run_folder.search.exists):
    raise FileNotFoundError(
      f"evaluate.inherit needs the search's weights: no {run_folder.search}"
    )
  if not selecting.after(run_folder.config):
    return
  if folder.summary(run_folder.selection) is None:
    raise FileNotFoundError(
      "evaluate.inherit needs the weights of the finished selection: "
      f"run `jnas select` first in {str(run_folder.path)!r}"
    )


def final(
  found: problem.Problem, dataset: Dataset, run_folder: folder.RunFolder
) -> SearchState:
  """The supernet of the last stage: the tuned one where one selected.

  Args:
    found: the problem.
    dataset: its images.
    run_folder: of the run.

  Raises:
    FileNotFoundError: if the stage has no checkpoint.
  """
  search = programs.make(found, dataset)
  target = programs.init_state(
    search, keys.base(found.config.seed, Stage.SEARCH), dataset.image_shape
  )
  if not selecting.after(found.config):
    with epochs.open_checkpoints(
      run_folder.search, run_folder.hash
    ) as checkpoints:
      restored = checkpoints.restore(target)
    if restored is None:
      raise FileNotFoundError(f"no checkpoint in {run_folder.search}")
    return restored.state
  _, num_epochs = perturbation.tasks(
    found.space, tune_epochs=found.config.selection.tune_epochs
  )
  tuned = tuning.make(found, dataset, tuning.settings_of(found, num_epochs))
  begin = begin_selection(found, tuning.begin(tuned, target))
  with epochs.open_checkpoints(
    run_folder.selection, run_folder.hash
  ) as checkpoints:
    restored = checkpoints.restore(begin)
  if restored is None:
    raise FileNotFoundError(f"no checkpoint in {run_folder.selection}")
  return restored.state.search
