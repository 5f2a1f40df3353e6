"""UNAS's space of mobile inverted residual blocks: a chain of layers.

Layers that keep their input's shape choose a block or nothing; layers that
change it choose a block (SPEC D21).

Source: UNAS, Sec. 5 and Appendix E.1; ProxylessNAS (arXiv:1812.00332), Sec.
4.2; SPEC 2.7.
"""

from jnas.spaces import base

MBCONV_OPS = tuple(
  f"mbconv_{kernel}x{kernel}_e{expansion}"
  for kernel in (3, 5, 7)
  for expansion in (3, 6)
)
# Stages of equal channels, of which the last has one layer.
NUM_STAGES = 6


def chain_space(
  name: str, *, repeats: int, num_stages: int = NUM_STAGES
) -> base.Space:
  """A chain of `repeats (num_stages - 1) + 1` layers.

  Source: SPEC 2.7, with 4 layers in each of 6 stages but the last.
  Choice: fewer layers a stage make a small space for small machines, and
  without the last stages a smaller one.

  Args:
    name: of the space.
    repeats: layers of each stage but the last, of which the first changes the
      shape; 2 or more.
    num_stages: stages of equal channels; 2 to 6.
  """
  num_normal = (num_stages - 1) * (repeats - 1)
  return base.Space(
    name=name,
    num_inputs=1,
    num_nodes=max(num_normal, num_stages),
    ops={
      "normal": ((base.SKIP, *MBCONV_OPS),) * num_normal,
      "reduce": (MBCONV_OPS,) * num_stages,
    },
    concat=(max(num_normal, num_stages),),
    pool_norm=False,
    edges_per_node=1,
    network="mbconv",
    chain=True,
  )


MBCONV = chain_space("mbconv", repeats=4)
MBCONV_SMALL = chain_space("mbconv_small", repeats=2)
MBCONV_TINY = chain_space("mbconv_tiny", repeats=2, num_stages=3)
