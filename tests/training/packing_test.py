import jax.numpy as jnp
import numpy as np
import pytest

from jnas.training import packing


def test_bytes_stand_one_after_another_with_a_row_each():
  state = {"b": jnp.array([1, 258], jnp.uint16), "a": (jnp.array(True),)}
  content, table = packing.pack(state)
  # "a" sorts first; 258 is 2 + 256, little end first.
  np.testing.assert_array_equal(content, [1, 1, 0, 2, 1])
  assert [row[:3] for row in table] == [
    ["a/0", "bool", []],
    ["b", "uint16", [2]],
  ]
  assert packing.content_size(table) == 5


def test_a_state_without_bytes_packs_to_one():
  content, table = packing.pack({"a": jnp.zeros((0, 3)), "b": ()})
  assert content.shape == (1,) == (packing.content_size(table),)
  (leaf,) = packing.unpack(content, table)
  assert leaf.shape == (0, 3)


@pytest.mark.parametrize("position", range(12))
def test_every_byte_of_every_leaf_is_checked(position):
  state = {"v": jnp.float32(1.5), "w": jnp.array([0.0, -1.0], jnp.float32)}
  content, table = packing.pack(state)
  content[position] ^= 1
  name = "v" if position < 4 else "w"
  with pytest.raises(packing.DamagedError, match=f"leaf {name} does not match"):
    packing.unpack(content, table)


@pytest.mark.parametrize("row", [["w", "int32", [2]], ["w", "float32", [2, 1]]])
def test_type_and_shape_are_part_of_the_checksum(row):
  content, table = packing.pack({"w": jnp.ones(2)})
  with pytest.raises(packing.DamagedError, match="leaf w does not match"):
    packing.unpack(content, [[*row, table[0][3]]])


def test_a_seal_is_blind_to_layout_and_sees_any_value():
  sealed = packing.seal({"a": (1, 2.5), "b": None})
  assert packing.open_seal(
    {"checksum": sealed["checksum"], "header": {"b": None, "a": [1, 2.5]}}
  ) == {"a": [1, 2.5], "b": None}
  for other in ({"a": [1, 2.5], "b": 0}, {"a": [1, 2.5]}, [], None):
    with pytest.raises(packing.DamagedError, match="does not match"):
      packing.open_seal({**sealed, "header": other})
