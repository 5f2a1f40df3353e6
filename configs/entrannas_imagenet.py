"""EnTranNAS, searched on ImageNet itself.

Paper: EnTranNAS Table 7, 24.3 % top-1 and 7.2 % top-5 error, 5.5M parameters,
637M multiply-adds.
Differs from the paper: which images are searched on is not stated; here, as in
PC-DARTS, 10 % fit the weights and 2.5 % the architecture (SPEC 7, U5), the
head of a class-balanced order.

Command: jnas search --config configs/entrannas_imagenet.py --workdir RUN
Then: jnas transfer RUN --config configs/entrannas_imagenet.py
--target 'madds<600M' --workdir TRAINED

The images: `jnas prepare imagenet2012 --from DIR --to DIR`, or class
folders by --data.source folder:PATH with --data.limit an eighth of them.
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """One Engine-cell of each type, shared features; evaluated as mobile."""
  base = config.load("mobile_imagenet")
  return dataclasses.replace(
    base,
    name="entrannas_imagenet",
    space="darts_no_none",
    method=config.MethodConfig(name="entrannas"),
    data=dataclasses.replace(base.data, limit=160_145, valid_fraction=0.2),
    supernet=config.SupernetConfig(
      engine="first", share_features=True, bottleneck=4
    ),
    search=config.SearchConfig(
      stem="imagenet", batch_size=1024, lr=0.5, arch_lr=6e-3
    ),
  )
