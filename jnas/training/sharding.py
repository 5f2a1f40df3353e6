"""Data parallelism: one mesh axis over all devices.

The state is replicated and batches are split; under jit the compiler adds the
reductions, so batch norm sees the global batch and gradients are those of the
global mean.
"""

import jax
from jax.sharding import AxisType, NamedSharding, PartitionSpec


def make_mesh() -> jax.sharding.Mesh:
  """All devices in one axis named "data"."""
  return jax.make_mesh(
    (jax.device_count(),), ("data",), axis_types=(AxisType.Auto,)
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
  devices = jax.device_count()
  if batch_size % devices:
    below = batch_size // devices * devices
    nearest = [str(n) for n in (below, below + devices) if n]
    raise ValueError(
      f"{name} is {batch_size}, not divisible by {devices} devices; use "
      f"{' or '.join(nearest)}"
    )
