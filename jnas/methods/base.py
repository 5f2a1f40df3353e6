"""What a search method owes.

All methods reduce to how mixing weights are made from architecture parameters
and which gradient reaches them. The supernet sees weights and nothing else.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from jnas.spaces import Space
from jnas.types import ArchParams, Array, CellWeights, PRNGKey, Progress


class Method(NamedTuple):
  """A search method: pure functions over architecture parameters.

  Attributes:
    settings: frozen dataclass type of the method's own settings; an instance
      is the first argument of each function below.
    init: `(settings, key, space) -> arch`, the pytree to train.
    mix: `(settings, arch, key, space, progress) -> CellWeights`, the mixing
      weights of one step, differentiable in arch.
    arch_objective: `(settings, arch, key, space, progress, loss_fn) -> scalar`
      whose gradient with respect to arch *is* the method's estimator.
      `loss_fn` maps CellWeights to the mean loss of the batch.
    probs: `(settings, arch, space, progress) -> CellWeights`, what the method
      believes: the weights that validation, entropy and derivation look at.
    selector: name of the selector that derives its genotype from `probs`
      unless the config names another.
  """

  settings: type
  init: Callable[[Any, PRNGKey, Space], ArchParams]
  mix: Callable[[Any, ArchParams, PRNGKey, Space, Progress], CellWeights]
  arch_objective: Callable[..., Array]
  probs: Callable[[Any, ArchParams, Space, Progress], CellWeights]
  selector: str
