"""EnTranNAS-DST, CIFAR-10: lambda 0.1.

Paper: EnTranNAS Table 6, 2.48 +- 0.08 % error, 3.20M parameters, 0.10 GPU-days;
Table 4 for lambda on ImageNet: 17, 17, 27 edges for 0.2, 0.1, 0.05.
Differs from the paper: which lambda CIFAR-10 had is not stated.

Command: jnas run --config configs/dst_cifar10.py
"""

from jnas import config


def get_config() -> config.Config:
  """Thresholds decide how many connections a node keeps."""
  return config.Config(
    name="dst_cifar10",
    space="darts_no_none",
    method=config.MethodConfig(
      name="entrannas_dst", settings={"sparsity_weight": 0.1}
    ),
    data=config.DataConfig(source="cifar10"),
    supernet=config.SupernetConfig(
      engine="first", share_features=True, bottleneck=4
    ),
    search=config.SearchConfig(batch_size=512, lr=0.2, arch_lr=6e-4),
  )
