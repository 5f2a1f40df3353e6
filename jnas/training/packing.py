"""A pytree of arrays as one array of bytes and a table, with checksums.

The bytes of the leaves stand one after another; the table has one row a leaf.
The table goes into a header, a JSON value sealed by a checksum of its own.
"""

import hashlib
import json
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jnas.types import PyTree


class DamagedError(Exception):
  """What was read is not what was written; the message says where."""


class Kind(NamedTuple):
  """What a leaf must be to take the place of another.

  Attributes:
    name: its path, such as `params/cell_0/kernel`.
    dtype: name of its type.
    shape: its shape.
  """

  name: str
  dtype: str
  shape: tuple[int, ...]

  def __str__(self) -> str:
    return f"{self.name} {self.dtype}{[*self.shape]}"

  @property
  def num_bytes(self) -> int:
    """Bytes of the leaf's contents."""
    return math.prod(self.shape) * jnp.dtype(self.dtype).itemsize


def kinds(tree: PyTree) -> list[Kind]:
  """The kinds of a tree's leaves, in order.

  Raises:
    ValueError: a leaf would not come back exactly as it is.
  """
  found = []
  for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
    name = jax.tree_util.keystr(path, simple=True, separator="/")
    if not isinstance(leaf, jax.Array | jax.ShapeDtypeStruct):
      raise ValueError(
        f"state leaf {name} is a {type(leaf).__name__}, not a jax array"
      )
    if jnp.issubdtype(leaf.dtype, jax.dtypes.extended):
      raise ValueError(
        f"state leaf {name} is a {leaf.dtype}; store its jax.random.key_data"
      )
    if leaf.weak_type:  # such a type is lost, and with it how it promotes
      raise ValueError(
        f"state leaf {name} has a weak type; make it with dtype={leaf.dtype}"
      )
    found.append(Kind(name, leaf.dtype.name, leaf.shape))
  return found


def pack(tree: PyTree) -> tuple[np.ndarray, list[list]]:
  """Copies the leaves' bytes into one array.

  Returns:
    `[N]` uint8, at least one byte, and the table: name, type, shape and
    checksum of each leaf, as JSON values.
  """
  wanted, content = collect(tree)
  return content, table(wanted, content)


def collect(tree: PyTree) -> tuple[list[Kind], np.ndarray]:
  """Copies the leaves' bytes into one array, `[N]` uint8, at least one byte.

  Raises:
    ValueError: a leaf would not come back exactly as it is.
  """
  wanted = kinds(tree)
  return wanted, join(jax.device_get(jax.tree.leaves(tree)))


def table(wanted: list[Kind], content: np.ndarray) -> list[list]:
  """Name, type, shape and checksum of each leaf in the array of bytes."""
  rows, start = [], 0
  for kind in wanted:
    part = content[start : start + kind.num_bytes]
    rows.append([kind.name, kind.dtype, [*kind.shape], _checksum(kind, part)])
    start += kind.num_bytes
  return rows


def join(leaves: list[np.ndarray]) -> np.ndarray:
  """The bytes of arrays one after another, `[N]` uint8, at least one byte."""
  content = np.zeros(max(sum(leaf.nbytes for leaf in leaves), 1), np.uint8)
  start = 0
  for leaf in leaves:
    part = content[start : start + leaf.nbytes]
    part[:] = np.ascontiguousarray(leaf).reshape(-1).view(np.uint8)
    start += leaf.nbytes
  return content


def table_kinds(table: list[list]) -> list[Kind]:
  """The kinds that a table describes."""
  return [Kind(name, dtype, tuple(shape)) for name, dtype, shape, _ in table]


def content_size(table: list[list]) -> int:
  """Length of the array of bytes that goes with a table."""
  return max(sum(kind.num_bytes for kind in table_kinds(table)), 1)


def unpack(content: np.ndarray, table: list[list]) -> list[np.ndarray]:
  """Undoes `pack`, checking every leaf.

  Raises:
    DamagedError: naming the first leaf that is not as it was saved.
  """
  leaves, start = [], 0
  for kind, (*_, checksum) in zip(table_kinds(table), table, strict=True):
    part = content[start : start + kind.num_bytes]
    if _checksum(kind, part) != checksum:
      raise DamagedError(f"leaf {kind.name} does not match its checksum")
    leaves.append(part.view(jnp.dtype(kind.dtype)).reshape(kind.shape))
    start += kind.num_bytes
  return leaves


def place(leaves: list[np.ndarray], target: PyTree) -> PyTree:
  """Puts host arrays where the target's leaves are, or shall be."""
  wanted, structure = jax.tree.flatten(target)
  shardings = [
    # An array that no one has placed may still follow the others.
    leaf.sharding if getattr(leaf, "committed", True) else None
    for leaf in wanted
  ]
  if all(s is None or s.is_fully_addressable for s in shardings):
    placed = jax.device_put(leaves, shardings)
  else:  # several processes: each gives the parts that its devices hold
    placed = [
      jax.device_put(leaf)
      if sharding is None
      else jax.make_array_from_callback(leaf.shape, sharding, leaf.__getitem__)
      for leaf, sharding in zip(leaves, shardings, strict=True)
    ]
  return jax.tree.unflatten(structure, placed)


def seal(header: dict[str, Any]) -> dict[str, Any]:
  """A JSON value together with its checksum."""
  return {"header": header, "checksum": _json_checksum(header)}


def open_seal(sealed: Any) -> dict[str, Any]:
  """Undoes `seal`.

  Raises:
    DamagedError: the header is not the one that was sealed.
  """
  if not isinstance(sealed, dict) or set(sealed) != {"header", "checksum"}:
    raise DamagedError("its header is incomplete")
  if _json_checksum(sealed["header"]) != sealed["checksum"]:
    raise DamagedError("its header does not match its checksum")
  return sealed["header"]


def _checksum(kind: Kind, part: np.ndarray) -> str:
  digest = hashlib.blake2b(str(kind).encode(), digest_size=16)
  digest.update(part.data)
  return digest.hexdigest()


def _json_checksum(value: Any) -> str:
  """Checksum of a JSON value, whatever the spaces and the order in a file."""
  plain = json.loads(json.dumps(value))  # as a file gives it back
  text = json.dumps(plain, sort_keys=True)
  return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
