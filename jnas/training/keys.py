"""Random keys by purpose and counter, so that a resume needs no saved key.

The key of a draw is folded from the base key, what it is for, and a counter
(the step or the epoch); it never depends on what was drawn before.
"""

import enum

import jax

from jnas.types import PRNGKey


class Purpose(enum.IntEnum):
  """What a key is for. The numbers are part of what a seed means."""

  INIT = 0
  SPLIT = 1
  TRAIN_ORDER = 2
  VALID_ORDER = 3
  TRAIN_AUGMENT = 4
  VALID_AUGMENT = 5
  TRAIN_MIX = 6
  VALID_MIX = 7
  TRAIN_NOISE = 8
  VALID_NOISE = 9
  DROP_PATH = 10
  RANDOM_GENOTYPE = 11
  ARCH_INIT = 12
  SELECT = 13
  TRIAL_ORDER = 14
  LATENCY = 15
  TRAIN_CROP = 16
  VALID_CROP = 17
  DROPOUT = 18
  VALID_SAMPLE = 19


class Stage(enum.IntEnum):
  """Stages whose draws must not coincide."""

  SEARCH = 0
  EVALUATE = 1
  SELECT = 2
  SEGMENT = 3


def base(seed: int, stage: Stage, index: int = 0) -> PRNGKey:
  """The base key of a stage; `index` tells runs of one stage apart."""
  key = jax.random.fold_in(jax.random.key(seed), stage)
  return jax.random.fold_in(key, index)


def key_for(base_key: PRNGKey, purpose: Purpose, counter=0) -> PRNGKey:
  """The key of one draw.

  Args:
    base_key: of the stage; not consumed.
    purpose: what it is for.
    counter: step or epoch, an int or a traced `[]` integer.
  """
  return jax.random.fold_in(jax.random.fold_in(base_key, int(purpose)), counter)
