"""Random search: random cells trained apart, the best of them kept.

Source: DARTS, Sec. 3.3, the random baseline; SPEC 3.10.
"""

import dataclasses

from jnas.methods import base, random_sharing


@dataclasses.dataclass(frozen=True)
class Settings(random_sharing.Settings):
  """What random search leaves open.

  Attributes:
    num_candidates: cells that are drawn and trained for `search.epochs`.
  """

  num_candidates: int = 24

  def __post_init__(self):
    """Refuses settings without meaning."""
    if self.num_candidates < 1:
      raise ValueError(
        f"num_candidates {self.num_candidates}: must be at least 1"
      )


RANDOM = base.Method(
  settings=Settings,
  init=random_sharing.init,
  mix=random_sharing.mix,
  probs=random_sharing.probs,
  selector="threshold",
  schemes=("frozen",),
  trains_candidates=True,
)
