"""Search steps on a tiny problem: jit changes nothing, nor does order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas.pipeline import problem, programs, stage
from jnas.training import keys, steps
from jnas.training.keys import Stage
from tests.pipeline import tiny

BASE_KEY = keys.base(0, Stage.SEARCH)


@pytest.fixture(scope="module")
def parts(compile_cache):
  found = problem.prepare(tiny.get_config())
  dataset = problem.load_data(found)
  made = programs.make(found, dataset)
  state = programs.init_state(made, BASE_KEY, dataset.image_shape)
  state, train = stage.place(state, dataset.train, batch_size=8)
  return made, state, train.first()


def assert_close(first, second, *, rtol):
  for left, right in zip(
    jax.tree.leaves(first), jax.tree.leaves(second), strict=True
  ):
    np.testing.assert_allclose(left, right, rtol=rtol, atol=1e-6)


def test_weight_step_is_the_same_without_jit(parts):
  """SPEC 4.8, J1."""
  made, state, batch = parts
  step = steps.make_weight_step(made)
  eager, eager_loss = step(BASE_KEY, state, batch)
  jitted, jitted_loss = jax.jit(step)(BASE_KEY, state, batch)
  assert_close(eager, jitted, rtol=1e-4)
  np.testing.assert_allclose(eager_loss, jitted_loss, rtol=1e-5)
  assert int(jitted.step) == 1
  assert float(jitted.sums.count) == 8
  assert float(jitted.sums.loss) == pytest.approx(8 * float(jitted_loss))
  assert_close(jitted.arch, state.arch, rtol=0)


def test_arch_step_is_the_same_without_jit(parts):
  """SPEC 4.8, J1; and it moves nothing but the architecture."""
  made, state, batch = parts
  step = steps.make_arch_step(made)
  both = (batch, batch)
  eager, jitted = (
    step(BASE_KEY, state, both),
    jax.jit(step)(BASE_KEY, state, both),
  )
  assert_close(eager, jitted, rtol=1e-4)
  for name in ("params", "params_opt", "batch_stats", "step", "sums"):
    assert_close(getattr(jitted, name), getattr(state, name), rtol=0)
  moved = [
    float(jnp.abs(after - before).max())
    for after, before in zip(
      jax.tree.leaves(jitted.arch), jax.tree.leaves(state.arch), strict=True
    )
  ]
  # Adam's first step has the size of the learning rate, whatever the gradient.
  assert all(2.9e-4 < size < 3.1e-4 for size in moved)


def test_arch_step_moves_the_statistics_on_request(parts):
  """SPEC 6, D1: as the authors' code."""
  made, state, batch = parts
  made = made._replace(arch_moves_statistics=True)
  after = jax.jit(steps.make_arch_step(made))(BASE_KEY, state, (batch, batch))
  changed = [
    not np.array_equal(new, old)
    for new, old in zip(
      jax.tree.leaves(after.batch_stats),
      jax.tree.leaves(state.batch_stats),
      strict=True,
    )
  ]
  assert all(changed)


def test_step_draws_by_its_number(parts):
  """The same state gives the same step; another number, other images."""
  made, state, batch = parts
  step = jax.jit(steps.make_weight_step(made))
  _, loss = step(BASE_KEY, state, batch)
  _, again = step(BASE_KEY, state, batch)
  _, later = step(
    BASE_KEY, state._replace(step=jnp.asarray(1, jnp.int32)), batch
  )
  assert float(loss) == float(again)
  assert float(loss) != float(later)
