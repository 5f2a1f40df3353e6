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
    best: `[]` float32, the best test accuracy of any epoch so far; of classes
      of pixels, the best mean intersection over union.
    average: moving average of `{"params", "batch_stats"}`; None where none is
      kept.
  """

  step: Array
  params: PyTree
  batch_stats: PyTree
  params_opt: PyTree
  sums: MetricSums
  best: Array
  average: PyTree = None

  @property
  def variables(self) -> PyTree:
    """Weights and statistics to use the network with: the average, if any."""
    if self.average is not None:
      return self.average
    return {"params": self.params, "batch_stats": self.batch_stats}


class SelectionState(NamedTuple):
  """Everything that a selection resumes from.

  Attributes:
    count: `[]` int32, calls of trials, decisions and tuning steps so far;
      it numbers the checkpoints.
    decided: `[]` int32, decisions made.
    tried: `[]` int32, candidates of the present decision that are scored.
    batch: `[]` int32, batches done of the call under way.
    scores: `[C, 2]` float32, accuracy and loss of the scored candidates.
    sums: `[M]` each, sums of the call under way.
    search: the supernet, tuned; `step` counts the steps of tuning.
  """

  count: Array
  decided: Array
  tried: Array
  batch: Array
  scores: Array
  sums: MetricSums
  search: SearchState
