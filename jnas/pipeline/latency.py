"""The latency that a search minimises, looked up or by the clock.

Source: UNAS, Sec. 5; SPEC 3.9, "surrogate g".
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from jnas import latency as tables
from jnas import methods
from jnas.data import placing
from jnas.functional import surrogate
from jnas.latency import Table, Timing
from jnas.nets import families
from jnas.pipeline import display, networks, problem
from jnas.selection import magnitude
from jnas.selection import random as random_selection
from jnas.training import keys, steps
from jnas.training.keys import Purpose, Stage
from jnas.training.state import SearchState
from jnas.types import CellWeights

# Discrete `[E, K]` weights of each cell type, NumPy.
HostWeights = Mapping[str, Any]


def load(found: problem.Problem) -> methods.Latency | None:
  """The latency that a config's method asks for; None where it asks for none.

  Raises:
    FileNotFoundError: for a table that is not there.
    ValueError: for a table of other networks.
  """
  table = _table(found)
  if table is None:
    return None
  return methods.Latency(
    surrogate=_linear(table.coefficients, table.bias),
    table=_linear(table.operations(), table.rest_ms),
  )


def check(found: problem.Problem) -> Table | None:
  """The table of a config whose method has every architecture timed.

  Returns:
    None where latencies are looked up, or where there are none.

  Raises:
    FileNotFoundError: for a table that is not there.
    ValueError: for one of other networks, or to be timed on another device.
  """
  table, timing = _table(found), found.method.timing
  if table is None or timing is None or not timing.measures(found.settings):
    return None
  here = tables.describe_device()
  if table.device["kind"] != here["kind"]:
    raise ValueError(
      f"{timing.table(found.settings)} is of {table.device['kind']!r}, but "
      f"this is {here['kind']!r}, on which latencies would be timed; build a "
      "table here, or set latency_measure 'table'"
    )
  return table


def timer(
  found: problem.Problem, search: steps.Search, base_key: jax.Array
) -> Callable[[SearchState], SearchState] | None:
  """Times what the next architecture step will draw, and has it remembered.

  The device must be idle, so each call waits for the steps before.

  Returns:
    None where nothing is to be timed.
  """
  table, timing = check(found), found.method.timing
  if table is None or timing is None:
    return None
  clock = Clock(found, table)

  @jax.jit
  def sample(arch: Any, step: jax.Array) -> CellWeights:
    key = steps.arch_key(search, base_key, step)
    return timing.sample(found.settings, arch, key, found.space)

  def time(state: SearchState) -> SearchState:
    weights = jax.device_get(sample(state.arch, state.step))
    jax.block_until_ready(state)
    value = placing.put(clock.milliseconds(weights), state.step.sharding)
    return state._replace(memory=timing.remember(state.memory, value))

  return time


class Clock:
  """Times the architectures that a search draws, before each step of them.

  In several processes the first one measures and tells the others.
  """

  def __init__(self, found: problem.Problem, table: Table) -> None:
    self._correction = table.correction
    self._is_timing = jax.process_index() == 0
    if self._is_timing:
      self._program = Program(found, table.batch_size, table.repeats)

  def milliseconds(self, weights: HostWeights) -> np.float32:
    """The latency of a discrete architecture.

    Args:
      weights: `[E, K]` of each cell type, on the host.
    """
    value = np.zeros((), np.float32)
    if self._is_timing:
      raw = self._program.time(weights).median_ms
      scale, offset = self._correction["scale"], self._correction["offset"]
      value = np.float32(offset + scale * raw)
    if jax.process_count() > 1:
      value = multihost_utils.broadcast_one_to_all(value)
    return np.float32(value)


class Program:
  """One compiled program that runs the network of any architecture."""

  def __init__(
    self, found: problem.Problem, batch_size: int, repeats: int
  ) -> None:
    family, timing = timed_family(found), found.method.timing
    assert family.indexed is not None
    every_edge = timing is not None and timing.every_edge(found.settings)
    indexed = family.indexed(
      found.space,
      networks.evaluate_plan(found),
      networks.derived_settings(found),
      every_edge or found.space.every_edge,
    )
    device = jax.local_devices()[0]
    images = jax.device_put(
      np.zeros((batch_size, *found.info.image_shape), np.float32), device
    )
    self._variables = jax.device_put(indexed.init(images), device)
    self._images, self._index, self._device = images, indexed.index, device
    self._repeats = repeats
    some = indexed.index(draw(found, 1)[0])
    with display.waiting("compiling the network that branches"):
      self._run = (
        jax.jit(indexed.apply)
        .lower(self._variables, images, jax.device_put(some, device))
        .compile()
      )

  def time(self, weights: HostWeights) -> Timing:
    """Times the network of discrete weights on the host."""
    index = jax.device_put(self._index(weights), self._device)
    return tables.time_calls(
      self._run,
      self._variables,
      self._images,
      index,
      warmup=1,
      repeats=self._repeats,
    )


def draw(found: problem.Problem, number: int) -> list[HostWeights]:
  """Architectures from the distribution that the search begins with.

  Source: SPEC 3.9: sampled from the uniform phi.
  """
  base_key = keys.base(found.config.seed, Stage.SEARCH)
  key = keys.key_for(base_key, Purpose.LATENCY)
  timing, space = found.method.timing, found.space
  if timing is None:
    return [
      magnitude.chosen_weights(
        random_selection.sample(jax.random.fold_in(key, index), space), space
      )
      for index in range(number)
    ]
  arch = found.method.init(found.settings, key, space)
  drawn = jax.jit(
    jax.vmap(lambda key: timing.sample(found.settings, arch, key, space))
  )(jax.random.split(key, number))
  host = jax.device_get(drawn)
  return [
    {name: value[index] for name, value in host.items()}
    for index in range(number)
  ]


def network(found: problem.Problem) -> dict[str, Any]:
  """The layout of the derived network, on which its latency depends."""
  config = found.config.evaluate
  return {
    "cells": config.cells,
    "channels": config.channels,
    "stem": config.stem,
    "image_shape": list(found.info.image_shape),
    "classes": found.info.num_classes,
  }


def timed_family(found: problem.Problem) -> families.Family:
  """The kind of network, if there is a program for its latency.

  Raises:
    ValueError: where there is none.
  """
  family = found.family
  if family.indexed is None:
    raise ValueError(
      f"space {found.config.space!r}: networks of this kind "
      f"({found.space.network}) have no program that branches, by which "
      "latencies are measured"
    )
  return family


def _linear(rows: Mapping[str, Any], bias: float) -> surrogate.LinearModel:
  return surrogate.LinearModel(
    coefficients={
      name: jnp.asarray(value, jnp.float32) for name, value in rows.items()
    },
    bias=jnp.asarray(bias, jnp.float32),
  )


def _table(found: problem.Problem) -> Table | None:
  """The table that the method's settings name, checked."""
  timing = found.method.timing
  path = "" if timing is None else timing.table(found.settings)
  if not path:
    return None
  table = tables.load(path)
  wanted = {
    "space": found.config.space,
    "shapes": {
      name: found.space.mask(name).shape for name in found.space.cell_types
    },
    **network(found),
  }
  has = {"space": table.space, "shapes": table.shapes(), **table.network}
  for name, value in wanted.items():
    if has.get(name) != value:
      raise ValueError(
        f"{path}: {name} is {has.get(name)!r}, that of the network to derive "
        f"{value!r}; build a table with this config"
      )
  return table
