import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from jnas.native import blocks, library

needs_kernels = pytest.mark.skipif(
  not library.load().is_loaded, reason=f"kernels: {library.load().reason}"
)
# float32 takes the kernels where they are built, float64 always takes XLA.
both_codes = pytest.mark.parametrize(
  "dtype",
  [pytest.param(np.float32, marks=needs_kernels), np.float64],
  ids=["native", "xla"],
)


@st.composite
def layouts(draw):
  """Bands of blocks with gaps between and beside them, in any order."""
  places, row, most = [], draw(st.integers(0, 2)), 0
  for _ in range(draw(st.integers(1, 4))):
    height, column = draw(st.integers(0, 3)), draw(st.integers(0, 2))
    for _ in range(draw(st.integers(1, 3)) if height else 0):
      wide = draw(st.integers(0, 5))
      places.append(blocks.Place(row, column, height, wide))
      column += wide + draw(st.integers(0, 2))
    most = max(most, column)
    row += height + draw(st.integers(0, 2))
  places = draw(st.permutations(places))
  return places, (row + draw(st.integers(0, 1)), most)


def define(arrays, places, shape):
  matrix = np.zeros(shape)
  for array, (row, column, rows, columns) in zip(arrays, places, strict=True):
    inside = np.asarray(array).reshape(rows, columns)
    matrix[row : row + rows, column : column + columns] = inside
  return matrix


def fill(shapes, dtype, seed=0):
  random = np.random.default_rng(seed)
  return [jnp.asarray(random.normal(size=s), dtype) for s in shapes]


@both_codes
@hypothesis.given(layouts())
@hypothesis.settings(
  max_examples=40,
  deadline=None,
  derandomize=True,
  suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
def test_blocks_lie_in_their_places_and_come_back(dtype, layout):
  places, shape = layout
  hypothesis.assume(places)
  with jax.enable_x64(dtype == np.float64):
    shapes = [(p.rows, p.columns, 1) for p in places]
    arrays = fill(shapes, dtype)
    join = functools.partial(blocks.assemble, places=places, shape=shape)
    matrix, pull = jax.vjp(jax.jit(lambda *xs: join(xs)), *arrays)
    np.testing.assert_array_equal(matrix, define(arrays, places, shape))
    # Transposed, each of the two is the other.
    (ct,) = fill([shape], dtype, 1)
    split = jax.jit(lambda m: blocks.cut(m, places, shapes))
    parts, push = jax.vjp(split, ct)
    for part, pulled in zip(parts, pull(ct), strict=True):
      np.testing.assert_array_equal(part, pulled)
    np.testing.assert_array_equal(push(arrays)[0], matrix)
    np.testing.assert_array_equal(
      define(parts, places, shape), np.where(define_mask(places, shape), ct, 0)
    )


def define_mask(places, shape):
  return define([np.ones((p.rows, p.columns)) for p in places], places, shape)


@both_codes
def test_under_vmap_and_with_tangents(dtype):
  places = [blocks.Place(0, 1, 1, 2), blocks.Place(1, 0, 2, 3)]
  with jax.enable_x64(dtype == np.float64):
    first, second = fill([(4, 2), (6,)], dtype)

    def square(x, y):
      matrix = blocks.assemble([x, y], places, (3, 3))
      return sum(
        jnp.sum(a**2) for a in blocks.cut(matrix, places, [(2,), (6,)])
      )

    values = jax.jit(jax.vmap(square, (0, None)))(first, second)
    expected = np.sum(first**2, axis=1) + np.sum(second**2)
    np.testing.assert_allclose(values, expected, rtol=1e-5)
    _, tangent = jax.jvp(square, (first[0], second), (first[1], second))
    expected = 2 * (first[0] @ first[1] + second @ second)
    np.testing.assert_allclose(tangent, expected, rtol=1e-5)


@needs_kernels
def test_a_program_has_one_call_for_all_leaves():
  tree = {str(i): jnp.ones((2, i + 1)) for i in range(50)}

  def double(tree):
    flat, restore = blocks.ravel(tree)
    return restore(flat * 2)

  program = jax.jit(double).lower(tree).compile()
  text = program.as_text()
  assert text.count("jnas_assemble") == text.count("jnas_cut") == 1
  for leaf in jax.tree.leaves(program(tree)):
    np.testing.assert_array_equal(leaf, 2)


def test_leaves_of_several_types_keep_them():
  tree = {"a": jnp.ones(3, jnp.bfloat16), "b": jnp.arange(2.0), "c": {}}
  flat, restore = blocks.ravel(tree)
  assert flat.dtype == jnp.float32
  back = restore(flat + 1)
  assert jax.tree.map(lambda x: (x.dtype, x.tolist()), back) == {
    "a": (jnp.bfloat16, [2.0, 2.0, 2.0]),
    "b": (jnp.float32, [1.0, 2.0]),
    "c": {},
  }


@pytest.mark.parametrize(
  "place, message",
  [
    (blocks.Place(0, 0, 1, 3), "array"),
    (blocks.Place(2, 0, 1, 2), "in a matrix"),
    (blocks.Place(0, 2, 1, 2), "in a matrix"),
    (blocks.Place(-1, 0, 1, 2), "in a matrix"),
  ],
)
def test_blocks_outside_the_matrix_are_refused(place, message):
  with pytest.raises(ValueError, match=message):
    blocks.assemble([jnp.ones(2)], [place], (2, 3))
  with pytest.raises(ValueError, match=message):
    blocks.cut(jnp.ones((2, 3)), [place], [(2,)])
