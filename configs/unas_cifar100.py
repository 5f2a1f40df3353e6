"""UNAS, CIFAR-100: REBAR on the generalisation gap.

Paper: UNAS Table 2, 16.72 +- 0.76 % error, best 15.79, 4.1M parameters.
Differs from the paper: batch 128 instead of 124 (D27), one architecture for a
batch; `--preset authors` draws one for each image.

Command: jnas run --config configs/unas_cifar100.py
"""

from jnas import config


def get_config() -> config.Config:
  """15 epochs of the weights alone, then 85 of both."""
  return config.Config(
    name="unas_cifar100",
    space="unas_cifar",
    method=config.MethodConfig(name="unas"),
    data=config.DataConfig(source="cifar100", valid_fraction=0.1),
    search=config.SearchConfig(
      epochs=100,
      batch_size=128,
      optimizer="adam",
      lr=6e-4,
      lr_min=1e-4,
      arch_warmup=15,
      arch_lr=2e-3,
      arch_lr_share=0.15,
      arch_beta1=0.9,
      arch_weight_decay=1e-6,
    ),
    evaluate=config.EvaluateConfig(batch_size=128, lr=0.05, drop_path=0.3),
  )
