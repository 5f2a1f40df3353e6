"""States of the stages: pytrees of arrays and nothing else."""

from typing import NamedTuple

from jnas.training.metrics import MetricSums
from jnas.types import ArchParams, Array, PyTree


class SearchState(NamedTuple):
  """Everything that a search resumes from.

  Attributes:
    step: `[]` int32, weight steps done.
    params: of the supernet.
    batch_stats: running batch statistics of the supernet.
    params_opt: state of the weights' optimiser.
    arch: architecture parameters.
    arch_opt: state of the architecture's optimiser.
    memory: what the method remembers from step to step.
    sums: training metrics of the epoch under way.
  """

  step: Array
  params: PyTree
  batch_stats: PyTree
  params_opt: PyTree
  arch: ArchParams
  arch_opt: PyTree
  memory: PyTree
  sums: MetricSums


class TrainState(NamedTuple):
  """Everything that the training of a derived network resumes from.

  Attributes:
    step: `[]` int32, steps done.
    params: of the network.
    batch_stats: running batch statistics.
    params_opt: state of the optimiser.
    sums: training metrics of the epoch under way.
    best: `[]` float32, the best test accuracy of any epoch so far.
  """

  step: Array
  params: PyTree
  batch_stats: PyTree
  params_opt: PyTree
  sums: MetricSums
  best: Array
