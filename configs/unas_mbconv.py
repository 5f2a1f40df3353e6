"""UNAS, ImageNet, MBConv layers with a measured latency of 10 ms.

Paper: UNAS Table 3, 24.7 % top-1 and 7.6 % top-5 error at 9.8 ms on a V100
with batch 32; 5.97M parameters.
Differs from the paper: the latency is that of the device where the table was
built; the learning rates of the search are those of batch 192, not scaled with
it.

Build the table first: jnas latency build --config configs/unas_mbconv.py
--out latency_mbconv.json

Command: jnas run --config configs/unas_mbconv.py
"""

from jnas import config


def get_config() -> config.Config:
  """20 epochs of the weights alone, then 15 of both."""
  return config.Config(
    name="unas_mbconv",
    space="mbconv",
    method=config.MethodConfig(
      name="unas",
      settings={
        "cell": "edges",
        "softening": 0.08,
        "duplicate_weight": 0.0,
        "latency_table": "latency_mbconv.json",
        "latency_target": 10.0,
        "latency_weight": 0.1,
        "latency_ramp": 30_000,
        "latency_measure": "device",
      },
    ),
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
      cells=21,
      channels=40,
      stem="imagenet",
      epochs=35,
      batch_size=192,
      optimizer="adam",
      lr=3e-4,
      lr_min=1e-4,
      drop_skip=0.1,
      drop_skip_share=1.0,
      arch_warmup=20,
      arch_lr=1e-3,
      arch_lr_share=0.3,
      arch_beta1=0.9,
      arch_weight_decay=1e-6,
    ),
    evaluate=config.EvaluateConfig(
      cells=21,
      channels=40,
      stem="imagenet",
      epochs=300,
      batch_size=512,
      lr=0.2,
      lr_warmup=5,
      weight_decay=5e-5,
      cutout=0,
      drop_path=0.0,
      auxiliary_weight=0.0,
      label_smoothing=0.1,
    ),
  )
