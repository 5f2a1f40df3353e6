"""Values of the host on devices, be they those of one process or of several."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jnas.types import PyTree


def put(tree: PyTree, sharding: jax.sharding.Sharding | None) -> PyTree:
  """Puts arrays on the devices of a sharding; the transfer is explicit.

  In several processes each must give the same values, and places those that
  its own devices hold; they do not compare what they give.

  Args:
    tree: of arrays of NumPy or JAX, random keys among them, and of scalars.
    sharding: of every leaf; None for the default device.
  """
  if sharding is None or sharding.is_fully_addressable:
    return jax.device_put(tree, sharding)
  return jax.tree.map(lambda leaf: _put(leaf, sharding), tree)


def _put(leaf: Any, sharding: jax.sharding.Sharding) -> jax.Array:
  if isinstance(leaf, jax.Array):
    if not leaf.is_fully_addressable:
      return jax.device_put(leaf, sharding)
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
      data = _put(jax.random.key_data(leaf), sharding)
      return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
  elif not isinstance(leaf, np.ndarray | np.generic):
    leaf = jnp.asarray(leaf)
  host = np.asarray(jax.device_get(leaf))
  with jax.transfer_guard_host_to_device("allow"):
    return jax.make_array_from_callback(
      host.shape, sharding, lambda index: host[index]
    )


def from_local(
  row: np.ndarray, shape: tuple[int, ...], sharding: jax.sharding.Sharding
) -> jax.Array:
  """An array each of whose parts is what the process that holds it gives.

  Args:
    row: the part that each device of this process holds.
    shape: of the whole array.
    sharding: that divides the shape into parts of the row's.
  """
  with jax.transfer_guard_host_to_device("allow"):
    return jax.make_array_from_callback(shape, sharding, lambda _: row)


def local_rows(
  number: int, sharding: jax.sharding.Sharding | None
) -> np.ndarray:
  """Which rows of an array the devices of this process hold.

  Args:
    number: of all rows.
    sharding: that divides them, and no other axis; None for one device.

  Returns:
    `[L]` integers, ascending.
  """
  if sharding is None or sharding.is_fully_addressable:
    return np.arange(number)
  held = np.zeros(number, bool)
  for index in sharding.addressable_devices_indices_map((number,)).values():
    held[index] = True
  return np.flatnonzero(held)


def from_rows(
  rows: np.ndarray,
  held: np.ndarray,
  number: int,
  sharding: jax.sharding.Sharding | None,
) -> jax.Array:
  """An array of which each process gives the rows that its devices hold.

  Args:
    rows: `[L, ...]`, this process's.
    held: `[L]`, which rows these are, of `local_rows`.
    number: of all rows.
    sharding: that divides them; None for one device.

  Returns:
    `[number, ...]`.
  """
  if sharding is None or sharding.is_fully_addressable:
    return jax.device_put(rows, sharding)

  def part(index: Any) -> np.ndarray:
    begin, end, _ = index[0].indices(number)
    first = np.searchsorted(held, begin)
    return rows[first : first + end - begin]

  with jax.transfer_guard_host_to_device("allow"):
    return jax.make_array_from_callback(
      (number, *rows.shape[1:]), sharding, part
    )
