"""Segmentation that trains in seconds; also a config file."""

from jnas import config, genotype

GENOTYPE = genotype.from_dict(
  {
    "format": "jnas.genotype/1",
    **{
      name: {
        "num_inputs": 2,
        "nodes": [[["skip_connect", 0], [op, 1]]],
        "concat": [2],
      }
      for name, op in (
        ("normal", "sep_conv_3x3"),
        ("reduce", "max_pool_3x3"),
      )
    },
  }
)


def get_config() -> config.Config:
  """Two epochs of three steps; the source is to be given."""
  return config.Config(
    name="tiny",
    evaluate=config.EvaluateConfig(
      cells=3, channels=4, stem="imagenet", auxiliary_weight=0.0
    ),
    segment=config.SegmentConfig(
      rates=(1, 2),
      features=8,
      crop_size=32,
      eval_size=64,
      epochs=2,
      batch_size=4,
      lr=0.01,
      checkpoint_seconds=3600.0,
    ),
  )
