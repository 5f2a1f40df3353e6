"""SGAS's schedule: which edges are decided when."""

import jax
import jax.numpy as jnp
import numpy as np

from jnas.methods import sgas
from jnas.selection import magnitude
from jnas.spaces import SPACES
from tests.methods import contexts

SPACE = SPACES["darts"]


def run(settings, arch, num_epochs):
  memory = sgas.init_memory(settings, SPACE)
  after = jax.jit(
    lambda memory, epoch: sgas.after_epoch(
      settings,
      arch,
      contexts.make(SPACE, memory=memory)._replace(
        progress=contexts.make(SPACE).progress._replace(epoch=epoch)
      ),
    )
  )
  decided = []
  for epoch in range(num_epochs):
    memory = after(memory, jnp.asarray(epoch))
    decided.append(int(memory["normal"]["decisions"].decided_e.sum()))
  return memory, decided


def test_an_edge_is_decided_at_epochs_9_14_and_so_on_until_8_are():
  settings = sgas.Settings()
  arch = sgas.init(settings, jax.random.key(0), SPACE)
  memory, decided = run(settings, arch, 50)
  steps = [e for e in range(1, 50) if decided[e] > decided[e - 1]]
  assert steps == [9, 14, 19, 24, 29, 34, 39, 44]
  assert decided[-1] == 8
  context = contexts.make(SPACE, memory=memory)
  weights = sgas.probs(settings, arch, context)
  genotype = magnitude.derive(weights, SPACE)
  for name, value in weights.items():
    value = np.asarray(value)
    assert set(np.unique(value)) == {0.0, 1.0}
    assert value.sum() == 8
    chosen = magnitude.chosen_weights(genotype, SPACE)[name]
    np.testing.assert_array_equal(value, chosen)


def test_no_gradient_reaches_what_is_settled():
  settings = sgas.Settings(first_decision=0, decide_every=1)
  arch = sgas.init(settings, jax.random.key(0), SPACE)
  memory, _ = run(settings, arch, 2)
  context = contexts.make(SPACE, memory=memory)

  def loss(arch):
    weights = sgas.probs(settings, arch, context)["normal"]
    return jnp.sum(weights**2)

  grad = np.asarray(jax.grad(loss)(arch)["normal"])
  decisions = memory["normal"]["decisions"]
  settled = np.asarray(decisions.decided_e | decisions.pruned_e)
  assert settled.any() and not settled.all()
  assert (grad[settled] == 0).all()
  assert (np.abs(grad[~settled]).max(-1) > 0).all()
