"""A found cell on ImageNet in the mobile setting: 14 cells, 224 pixels.

Paper: DARTS, Sec. 3.3, less than 600M multiply-adds; recipe of EnTranNAS,
Table 7: 24.8 % top-1 and 7.6 % top-5 error (4.9M, 562M) for its CIFAR-10 cell.
The paper states no warm-up of the learning rate; evaluate.lr_warmup sets one.

The number of channels follows from the genotype: the largest with less than
600M multiply-adds. GENOTYPE is a run folder, a file or a published name:

Command: jnas transfer GENOTYPE --config configs/mobile_imagenet.py
--target 'madds<600M'

The images: `jnas prepare imagenet2012 --from DIR --to DIR`, or class
folders by --data.source folder:PATH.
"""

from jnas import config


def get_config() -> config.Config:
  """250 epochs, a linear schedule, label smoothing and an auxiliary head."""
  return config.Config(
    name="mobile_imagenet",
    data=config.DataConfig(
      source="imagenet2012",
      image_size=224,
      crop_padding=0,
      crop_scale=0.08,
      eval_crop=0.875,
      jitter=0.4,
      hue=0.2,
    ),
    evaluate=config.EvaluateConfig(
      cells=14,
      channels=48,
      stem="imagenet",
      epochs=250,
      batch_size=1024,
      lr=0.5,
      schedule="linear",
      weight_decay=3e-5,
      cutout=0,
      drop_path=0.0,
      auxiliary_weight=0.4,
      label_smoothing=0.1,
      random_baselines=0,
    ),
  )
