import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from jnas.native import blocks
from tests.native import kernels

both_codes = kernels.both_codes()


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
@hypothesis.settings(max_examples=40, deadline=None, derandomize=True)
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
@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("in_axes", [(0, 0), (0, None), (None, 1)])
def test_under_vmap(dtype, rows, in_axes):
  places = [blocks.Place(0, 1, rows, 2), blocks.Place(0, 4, rows, 3)]
  with jax.enable_x64(dtype == np.float64):
    mapped = fill([(4, rows, 2), (4, rows * 3)], dtype)
    operands = [
      x[0] if axis is None else jnp.moveaxis(x, 0, axis)
      for x, axis in zip(mapped, in_axes, strict=True)
    ]

    def run(x, y):
      matrix = blocks.assemble([x, y], places, (rows, 8))
      parts = blocks.cut(matrix**2, places, [(rows, 2), (rows, 3)])
      return matrix, parts[0].sum() * parts[1].sum()

    found = jax.jit(jax.vmap(run, in_axes))(*operands)
    for index in range(4):
      one = [
        x if axis is None else jnp.take(x, index, axis)
        for x, axis in zip(operands, in_axes, strict=True)
      ]
      jax.tree.map(
        lambda f, e, i=index: np.testing.assert_allclose(f[i], e, rtol=1e-5),
        found,
        run(*one),
      )


@both_codes
def test_tangents_second_derivatives_and_results_that_nothing_uses(dtype):
  places = [blocks.Place(0, 1, 1, 2), blocks.Place(1, 0, 2, 3)]
  with jax.enable_x64(dtype == np.float64):
    first, second, other = fill([(2,), (6,), (2,)], dtype)

    def cube(x):
      matrix = blocks.assemble([x, second], places, (3, 3))
      return jnp.sum(blocks.cut(matrix**3, places, [(2,), (6,)])[0])

    _, tangent = jax.jvp(cube, (first,), (other,))
    np.testing.assert_allclose(tangent, 3 * first**2 @ other, rtol=1e-5)
    np.testing.assert_allclose(jax.grad(cube)(first), 3 * first**2, rtol=1e-5)
    np.testing.assert_allclose(
      jax.hessian(cube)(first), np.diag(6 * first), rtol=1e-5
    )


@kernels.needs_kernels
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.uint8])
def test_other_types_of_numbers(dtype):
  array = jnp.arange(6).astype(dtype)
  place = blocks.Place(1, 0, 2, 3)

  @jax.jit
  def run(array):
    matrix = blocks.assemble([array], [place], (3, 3))
    return matrix, blocks.cut(matrix, [place], [(6,)])[0]

  matrix, back = run(array)
  assert matrix.dtype == back.dtype == dtype
  np.testing.assert_array_equal(back, array)
  np.testing.assert_array_equal(matrix[0], 0)


@kernels.needs_kernels
def test_an_exported_program_has_no_kernels():
  def run(tree):
    flat, restore = blocks.ravel(tree)
    return restore(flat * 2)

  tree = {"a": jnp.ones((2, 3)), "b": jnp.arange(2.0)}
  exported = jax.export.export(jax.jit(run))(tree)
  assert "jnas_" not in exported.mlir_module()
  np.testing.assert_array_equal(exported.call(tree)["b"], [0.0, 2.0])


@kernels.needs_kernels
def test_a_program_has_one_call_for_all_leaves():
  tree = {str(i): jnp.ones((2, i + 1)) for i in range(50)}

  def double(tree):
    flat, restore = blocks.ravel(tree)
    return restore(flat * 2)

  program = jax.jit(double).lower(tree).compile()
  text = program.as_text() or ""
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
  "places, message",
  [
    ([(0, 0, 1, 3)], "array"),
    ([(2, 0, 1, 2)], "in a matrix"),
    ([(0, 2, 1, 2)], "in a matrix"),
    ([(-1, 0, 1, 2)], "in a matrix"),
    ([(0, 0, 2, 1), (0, 0, 2, 1)], "overlap"),
    ([(0, 0, 2, 1), (1, 1, 1, 2)], "share some rows"),
    ([(0, 1, 1, 2), (0, 0, 2, 1)], "share some rows"),
  ],
)
def test_blocks_that_have_no_place_are_refused(places, message):
  places = [blocks.Place(*place) for place in places]
  with pytest.raises(ValueError, match=message):
    blocks.assemble([jnp.ones(2)] * len(places), places, (2, 3))
  with pytest.raises(ValueError, match=message):
    blocks.cut(jnp.ones((2, 3)), places, [(2,)] * len(places))


def test_blocks_of_several_types_are_refused():
  places = [blocks.Place(0, 0, 1, 2), blocks.Place(1, 0, 1, 2)]
  with pytest.raises(ValueError, match="bfloat16.*float32"):
    blocks.assemble([jnp.ones(2), jnp.ones(2, jnp.bfloat16)], places, (2, 2))


def test_blocks_without_numbers_may_lie_anywhere():
  places = [blocks.Place(0, 0, 0, 2), blocks.Place(0, 0, 1, 2)]
  arrays = [jnp.ones((0, 2)), jnp.ones(2)]
  matrix = blocks.assemble(arrays, places, (1, 2))
  np.testing.assert_array_equal(matrix, [[1, 1]])
