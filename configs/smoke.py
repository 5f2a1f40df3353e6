"""The whole pipeline in a minute on CPU, for tests; the result means nothing.

Command: jnas run --config configs/smoke.py
"""

from jnas import config


def get_config() -> config.Config:
  """The smallest network and data that pass through every stage."""
  return config.Config(
    name="smoke",
    data=config.DataConfig(limit=200, test_limit=100, image_size=16),
    search=config.SearchConfig(
      cells=3, channels=4, epochs=2, batch_size=20, checkpoint_seconds=3600.0
    ),
    evaluate=config.EvaluateConfig(
      cells=3,
      channels=2,
      epochs=2,
      batch_size=50,
      auxiliary_weight=0.0,
      checkpoint_seconds=3600.0,
    ),
  )
