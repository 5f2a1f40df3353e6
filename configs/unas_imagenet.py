"""UNAS's cells, searched on ImageNet itself: REBAR on the generalisation gap.

Paper: UNAS Table 2, 24.60 +- 0.06 % top-1 error, best 24.49; Table 6, 24.46 %
top-1 and 7.44 % top-5 error, 5.07M parameters, 563M multiply-adds.
Differs from the paper: 16 channels in the first cells of the supernet (D20);
the learning rates of the search are those of batch 192, not scaled with it.

Command: jnas search --config configs/unas_imagenet.py --workdir RUN
Then: jnas transfer RUN --config configs/unas_imagenet.py
--target 'madds<600M' --workdir TRAINED

The images: `jnas prepare imagenet2012 --from DIR --to DIR`, or class
folders by --data.source folder:PATH.
"""

from jnas import config


def get_config() -> config.Config:
  """5 epochs of the weights alone, then 15 of both."""
  return config.Config(
    name="unas_imagenet",
    space="unas_imagenet",
    method=config.MethodConfig(name="unas", settings={"softening": 0.08}),
    data=config.DataConfig(
      source="imagenet2012",
      image_size=224,
      valid_fraction=0.1,
      crop_padding=0,
      crop_scale=0.08,
      eval_crop=0.875,
      jitter=0.4,
      hue=0.2,
    ),
    search=config.SearchConfig(
      cells=14,
      channels=16,
      stem="imagenet",
      epochs=20,
      batch_size=192,
      optimizer="adam",
      lr=3e-4,
      lr_min=1e-4,
      arch_warmup=5,
      arch_lr=1e-3,
      arch_lr_share=0.3,
      arch_beta1=0.9,
      arch_weight_decay=1e-6,
    ),
    evaluate=config.EvaluateConfig(
      cells=14,
      channels=46,
      stem="imagenet",
      epochs=250,
      batch_size=1024,
      lr=0.1,
      lr_batch=128,
      lr_warmup=5,
      weight_decay=3e-5,
      cutout=0,
      drop_path=0.0,
      auxiliary_weight=0.4,
      label_smoothing=0.1,
      random_baselines=0,
    ),
  )
