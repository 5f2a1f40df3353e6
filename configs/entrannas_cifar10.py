"""EnTranNAS, CIFAR-10: the paper's full setting.

Paper: EnTranNAS Table 6, 2.53 +- 0.06 % error, 3.45M parameters, 0.06 GPU-days;
the best of 5 searches by validation accuracy. Table 3's ladder: leave out
bottleneck, share_features and engine, one after the other.

Command: jnas run --config configs/entrannas_cifar10.py
"""

from jnas import config


def get_config() -> config.Config:
  """One Engine-cell of each type, shared features, bottleneck."""
  return config.Config(
    name="entrannas_cifar10",
    space="darts_no_none",
    method=config.MethodConfig(name="entrannas"),
    data=config.DataConfig(source="cifar10"),
    supernet=config.SupernetConfig(
      engine="first", share_features=True, bottleneck=4
    ),
    search=config.SearchConfig(batch_size=512, lr=0.2, arch_lr=6e-4),
  )
