"""EnTranNAS-DST, searched on ImageNet itself: lambda 0.2.

Paper: EnTranNAS Table 7, 23.8 % top-1 and 7.0 % top-5 error, 5.2M parameters,
594M multiply-adds, 2.1 GPU-days; Table 4 for lambda: 17, 17, 27 edges, 580M,
673M, 779M multiply-adds for 0.2, 0.1, 0.05.
Differs from the paper: which images are searched on is not stated; here, as in
PC-DARTS, 10 % fit the weights and 2.5 % the architecture (SPEC 7, U5), the
head of a class-balanced order.

Command: jnas search --config configs/dst_imagenet.py --workdir RUN
Then: jnas transfer RUN --config configs/dst_imagenet.py
--target 'madds<600M' --workdir TRAINED

The images: `jnas prepare imagenet2012 --from DIR --to DIR`, or class
folders by --data.source folder:PATH with --data.limit an eighth of them.
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """As entrannas_imagenet; thresholds decide how many connections stay."""
  return dataclasses.replace(
    config.load("entrannas_imagenet"),
    name="dst_imagenet",
    method=config.MethodConfig(
      name="entrannas_dst", settings={"sparsity_weight": 0.2}
    ),
  )
