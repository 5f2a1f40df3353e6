"""The best of many random cells by the accuracy of one trained supernet.

Source: Li and Talwalkar (arXiv:1902.07638), Sec. 4, random search with weight
sharing; SPEC 3.10.
"""

from typing import Any

import jax
import numpy as np

from jnas.genotype import Genotype
from jnas.pipeline import problem, scoring
from jnas.pipeline.journal import Journal
from jnas.selection import magnitude, random
from jnas.training import keys
from jnas.training.keys import Purpose
from jnas.training.state import SelectionState


def run(
  found: problem.Problem,
  scorer: scoring.Scorer,
  journal: Journal,
  state: SelectionState,
  base_key: jax.Array,
) -> tuple[SelectionState, Genotype, dict[str, Any]]:
  """Scores all random cells; the best wins, the first of equal ones.

  Args:
    found: the problem.
    scorer: in which all cell types vary.
    journal: where it is written down.
    state: with the scores so far.
    base_key: of the stage; each cell is drawn with a key of its own.

  Returns:
    The state with all scores, the best cell, and its scores.
  """
  config = found.config.selection
  drawn = [
    random.sample(keys.key_for(base_key, Purpose.SELECT, index), found.space)
    for index in range(config.num_samples)
  ]
  chosen = [magnitude.chosen_weights(cells, found.space) for cells in drawn]
  weights = {
    name: np.stack([weights[name] for weights in chosen])
    for name in found.space.cell_types
  }
  state = scoring.score(
    scorer, journal, state, weights, lambda index: {"sample": index}
  )
  scores = np.asarray(state.scores)
  best = scores[:, 0] if config.criterion == "acc" else -scores[:, 1]
  winner = int(np.argmax(best))
  return (
    state,
    drawn[winner],
    {
      "sample": winner,
      "child_accuracy": float(scores[winner, 0]),
      "child_loss": float(scores[winner, 1]),
    },
  )
