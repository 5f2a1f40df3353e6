"""The configs that claims compare, as they are or for a quick look.

Source: SPEC 5.
"""

import dataclasses

from jnas import config as configs
from jnas import data

# What a quick look at all claims takes, at most: images, of all and of a batch,
# cells, epochs of searches, of trainings and of tuning after a decision. Every
# stage of every arm runs; the figures mean little.
_QUICK_IMAGES = 400
_QUICK_BATCH = 32
_QUICK_CELLS = 3
_QUICK_EPOCHS = 4
_QUICK_TRAININGS = 1
_QUICK_TUNING = 1


def config_of(
  arm: str,
  source: str,
  *,
  seed: int,
  epochs: int | None,
  quick: bool,
  table: str,
) -> configs.Config:
  """The config of an arm, with what the command line says of all of them.

  Args:
    arm: its name, without "claims/".
    source: the data, as `data.source`.
    seed: of the run.
    epochs: of the search; None for the config's, or those of a quick look.
    quick: whether to use few images and epochs.
    table: the user's table of NAS-Bench-201; "" for none.

  Raises:
    ValueError: for a config with a value that is not allowed.
  """
  if quick and epochs is None:
    epochs = _QUICK_EPOCHS
  config = configs.load(f"claims/{arm}")
  config = dataclasses.replace(
    config,
    seed=seed,
    data=dataclasses.replace(config.data, source=source),
    benchmark=configs.BenchmarkConfig(table),
  )
  if epochs is not None:
    config = dataclasses.replace(
      config, search=dataclasses.replace(config.search, epochs=epochs)
    )
  return configs.check(_shrink(config) if quick else config)


def _shrink(config: configs.Config) -> configs.Config:
  """The config of a quick look: every stage, in less than a minute."""
  limit = min(_QUICK_IMAGES, data.describe(config.data.source).num_train)
  return dataclasses.replace(
    config,
    data=dataclasses.replace(config.data, limit=limit),
    search=dataclasses.replace(
      config.search,
      cells=min(_QUICK_CELLS, config.search.cells),
      batch_size=min(_QUICK_BATCH, config.search.batch_size),
    ),
    selection=dataclasses.replace(
      config.selection,
      tune_epochs=min(_QUICK_TUNING, config.selection.tune_epochs),
    ),
    evaluate=dataclasses.replace(
      config.evaluate,
      cells=min(_QUICK_CELLS, config.evaluate.cells),
      batch_size=min(_QUICK_BATCH, config.evaluate.batch_size),
      epochs=_QUICK_TRAININGS,
    ),
  )
