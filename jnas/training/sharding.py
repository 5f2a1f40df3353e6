"""Data parallelism: one mesh axis over all devices.

The state is replicated and batches are split; under jit the compiler adds the
reductions, so batch norm sees the global batch and gradients are those of the
global mean.
"""

import contextlib
from typing import Any, TypeVar

import jax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

Values = TypeVar("Values")

# Devices that each process uses; None for all that it has.
_devices_each: int | None = None


def use_devices(number: int | None) -> None:
  """Uses the first so many devices of each process from now on; None: all.

  A CPU is divided into as many devices, for trying out; that must be done
  before JAX starts its backends. Whether there are as many is known, and
  checked, by `devices`.

  Args:
    number: 1 or more.

  Raises:
    ValueError: for a number below 1.
  """
  global _devices_each
  if number is not None:
    if number < 1:
      raise ValueError(f"--devices is {number}; it must be 1 or more")
    with contextlib.suppress(RuntimeError):  # the backends are started
      jax.config.update("jax_num_cpu_devices", number)
  _devices_each = number


def devices() -> list[Any]:
  """The devices in use, one process after another; starts the backends.

  Raises:
    ValueError: if there are fewer than were asked for.
  """
  if _devices_each is None:
    return jax.devices()
  there = jax.local_device_count()
  if there < _devices_each:
    raise ValueError(
      f"--devices is {_devices_each}; it must be 1 to {there}, the number of "
      f"{jax.default_backend()} devices here"
    )
  return [
    device
    for process in range(jax.process_count())
    for device in jax.local_devices(process)[:_devices_each]
  ]


def make_mesh() -> jax.sharding.Mesh:
  """All devices in use in one axis named "data"."""
  used = devices()
  return jax.make_mesh(
    (len(used),), ("data",), axis_types=(AxisType.Auto,), devices=used
  )


def replicated(mesh: jax.sharding.Mesh) -> NamedSharding:
  """The same array on every device."""
  return NamedSharding(mesh, PartitionSpec())


def split(mesh: jax.sharding.Mesh) -> NamedSharding:
  """The leading axis split over the devices."""
  return NamedSharding(mesh, PartitionSpec("data"))


def check_batch(name: str, batch_size: int) -> None:
  """Refuses a batch that the devices cannot share evenly.

  Raises:
    ValueError: naming the nearest sizes that can be shared.
  """
  number = len(devices())
  if batch_size % number:
    below = batch_size // number * number
    nearest = [str(n) for n in (below, below + number) if n]
    raise ValueError(
      f"{name} is {batch_size}, not divisible by {number} devices; use "
      f"{' or '.join(nearest)}"
    )


def wait(values: Values) -> Values:
  """Waits for results where the next program must not start before.

  That is on the CPUs of several processes: of two programs under way at once,
  each may hold the thread that the other one's reduction needs.
  """
  if jax.process_count() > 1 and jax.default_backend() == "cpu":
    return jax.block_until_ready(values)
  return values
