"""What PT says of supernets, measured on a run's own.

Source: PT (arXiv:2108.04392), Sec. 3: Figures 1 and 3, Table 1.
"""

import math
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jnas.functional import decisions as rules
from jnas.nets import graph, swap
from jnas.pipeline import folder, problem, programs, stage, tuning
from jnas.pipeline import search as search_stage
from jnas.report import analysis as plots
from jnas.report import folder as logs
from jnas.report import picture
from jnas.spaces import SKIP, Space
from jnas.training import keys
from jnas.training.keys import Purpose
from jnas.training.state import SearchState


def run(
  what: str, workdir: pathlib.Path, *, edges: int, epochs: int, draws: int
) -> dict[str, Any]:
  """Runs an analysis of a finished search and writes it down.

  Args:
    what: "strength", "skip" or "shuffle".
    workdir: the run folder; gets analysis/WHAT.json and pictures.
    edges: of "strength", in each cell type, drawn at random; 0 for all.
    epochs: of tuning after an edge is discretised, for "strength".
    draws: of "shuffle".

  Returns:
    What the file holds.

  Raises:
    ValueError: for bad input.
    FileNotFoundError: without a finished search.
  """
  run_folder = folder.open_run(folder.read_config(workdir), workdir)
  if folder.summary(run_folder.search) is None:
    raise FileNotFoundError(
      f"no finished search in {str(workdir)!r}: run `jnas search` first"
    )
  found = problem.prepare(run_folder.config)
  if what == "skip":
    result = skip_lead(found.space, run_folder)
    figure = plots.plot_skip(result["difference"], result["valid_accuracy"])
  elif what == "strength":
    result = strength(found, run_folder, num_edges=edges, num_epochs=epochs)
    figure = plots.plot_strength(result["edges"])
  else:
    result, figure = shuffle(found, run_folder, num_draws=draws), None
  path = workdir / "analysis"
  path.mkdir(exist_ok=True)
  folder.write_json(path / f"{what}.json", result)
  if figure is not None:
    picture.write(picture.render(figure), path / what)
  return result


def skip_lead(space: Space, run_folder: folder.RunFolder) -> dict[str, Any]:
  """Weight of the skip minus that of the convolutions, epoch by epoch.

  The mean over the edges that have both, and over an edge's convolutions.

  Source: PT, Figure 3: mean(alpha_skip - alpha_conv), softmaxed.
  """
  log = logs.read_log(run_folder.search / "metrics.jsonl")
  measured = [
    epoch for epoch in (log.epochs if log else ()) if "mixing" in epoch
  ]
  difference = {
    name: [
      _lead(space, name, np.array(epoch["mixing"][name], float))
      for epoch in measured
    ]
    for name in space.cell_types
  }
  known = {
    name: values
    for name, values in difference.items()
    if not any(map(math.isnan, values))
  }
  if not known:
    raise ValueError(
      f"no edge of space {space.name!r} has both {SKIP!r} and a convolution"
    )
  return {
    "epoch": [epoch["epoch"] for epoch in measured],
    "valid_accuracy": [epoch["valid_accuracy"] for epoch in measured],
    "difference": known,
  }


def _lead(space: Space, cell_type: str, weights_ek: np.ndarray) -> float:
  skip_ek = space.is_op(cell_type, SKIP)
  conv_ek = np.array(
    [
      [
        column < len(names) and graph.lookup(names[column]).parametric
        for column in range(space.num_ops)
      ]
      for names in space.ops[cell_type]
    ]
  )
  leads = [
    weights[skip].sum() - weights[conv].mean()
    for weights, skip, conv in zip(weights_ek, skip_ek, conv_ek, strict=True)
    if skip.any() and conv.any()
  ]
  return float(np.mean(leads)) if leads else math.nan


def strength(
  found: problem.Problem,
  run_folder: folder.RunFolder,
  *,
  num_edges: int,
  num_epochs: int,
) -> dict[str, Any]:
  """Discretisation accuracy of each operation of some edges, and its weight.

  Source: PT, Sec. 3.1 and Figure 1: the supernet's accuracy after an edge is
  discretised to the operation and the rest is tuned.
  """
  space = found.space
  part, net = _supernet(found, run_folder, num_epochs)
  weights = jax.device_get(
    part.programs.believe(net.arch, net.memory, net.step).probs
  )
  measured = []
  for cell_type in space.cell_types:
    for edge in _drawn_edges(space, part.base_key, cell_type, num_edges):
      names = space.ops[cell_type][edge]
      measured.append(
        {
          "cell_type": cell_type,
          "edge": list(space.edges[edge]),
          "ops": list(names),
          "weights": weights[cell_type][edge][: len(names)].tolist(),
          "accuracies": [
            _discretised(part, net, cell_type, edge, op, num_epochs)
            for op in range(len(names))
          ],
        }
      )
  agree = [
    int(np.argmax(edge["weights"]) == np.argmax(edge["accuracies"]))
    for edge in measured
  ]
  return {
    "tune_epochs": num_epochs,
    "agreement": float(np.mean(agree)),
    "edges": measured,
  }


def _drawn_edges(
  space: Space, key: jax.Array, cell_type: str, num_edges: int
) -> list[int]:
  every = len(space.edges)
  index = space.cell_types.index(cell_type)
  order = jax.random.permutation(
    keys.key_for(key, Purpose.SELECT, index), every
  )
  return sorted(map(int, order[: num_edges or every]))


def _discretised(
  part: tuning.Tuning,
  net: SearchState,
  cell_type: str,
  edge: int,
  op: int,
  num_epochs: int,
) -> float:
  """Accuracy with one edge decided, after tuning the rest."""
  memory = net.memory
  made = rules.project(memory.decisions[cell_type], edge, op)
  decided = memory._replace(decisions=memory.decisions | {cell_type: made})
  # A copy: training donates its state.
  one = jax.tree.map(jnp.copy, net._replace(memory=decided))
  one = jax.device_put(one, net.step.sharding)
  one = tuning.train(part, one, num_epochs)
  belief = part.programs.believe(one.arch, one.memory, one.step)
  return tuning.measure(part, one, belief.probs).accuracy


def shuffle(
  found: problem.Problem, run_folder: folder.RunFolder, *, num_draws: int
) -> dict[str, Any]:
  """Accuracy before and after two random edges of every cell are swapped.

  Source: PT, Table 1: 88.44 before, 81.09 +- 1.87 after, on CIFAR-10.
  """
  if found.space.network != "darts":
    raise ValueError(
      f"edges are shuffled in the networks of DARTS; space "
      f"{found.space.name!r} has those of {found.space.network!r}"
    )
  part, net = _supernet(found, run_folder, 1)
  weights = part.programs.believe(net.arch, net.memory, net.step).probs
  before = tuning.measure(part, net, weights).accuracy
  after = []
  for draw in range(num_draws):
    key = keys.key_for(part.base_key, Purpose.SELECT, draw)
    swapped = jax.device_put(_swap(part, net, key), net.step.sharding)
    after.append(tuning.measure(part, swapped, weights).accuracy)
  return {
    "before": before,
    "after": after,
    "mean": float(np.mean(after)),
    "deviation": float(np.std(after, ddof=1)) if len(after) > 1 else None,
  }


def _swap(part: tuning.Tuning, net: SearchState, key: jax.Array) -> SearchState:
  """The supernet with two edges of each cell exchanged."""
  search = part.search
  params, stats = dict(net.params), dict(net.batch_stats)
  for index, plan in enumerate(search.net.plan.cells):
    cell_graph = search.net.graphs[plan.cell_type]
    pairs = swap.swappable(cell_graph, search.space.edges)
    drawn = jax.random.randint(
      jax.random.fold_in(key, index), (), 0, len(pairs)
    )
    pair, name = pairs[int(drawn)], f"cell_{index}"
    params[name] = swap.swap_edges(params[name], cell_graph, *pair)
    stats[name] = swap.swap_edges(stats[name], cell_graph, *pair)
  return net._replace(params=params, batch_stats=stats)


def _supernet(
  found: problem.Problem, run_folder: folder.RunFolder, num_epochs: int
) -> tuple[tuning.Tuning, SearchState]:
  """The supernet at the end of the search, ready to be tuned."""
  dataset = problem.load_data(found)
  settings = tuning.settings_of(found, num_epochs)
  search = tuning.make(found, dataset, settings)
  net, train, valid = stage.place(
    tuning.begin(search, tuning.searched(found, dataset, run_folder)),
    *search_stage.split(found, dataset),
    batch_size=found.config.search.batch_size,
  )
  base_key = tuning.base_key(found)
  compiled, _ = programs.compile_programs(search, base_key, net, train.first())
  return (
    tuning.Tuning(search, settings, compiled, base_key, train, valid),
    net,
  )
