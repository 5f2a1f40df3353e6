"""The estimators outside architecture search: the README's example, run."""

import jax.numpy as jnp
import numpy as np

from jnas.functional import enumeration

EXAMPLE = """\
import jax
import jax.numpy as jnp
import optax
from jnas.functional import estimators

# Split six nodes into two groups so that as little weight as possible stays
# inside a group (maximum cut). The choices are discrete, the gradient unbiased.
start = jnp.array([0, 0, 0, 1, 1, 2, 2, 3, 4])
end = jnp.array([1, 2, 5, 3, 4, 3, 5, 4, 5])
weight = jnp.array([3.0, 1.0, 2.0, 2.0, 1.0, 3.0, 2.0, 1.0, 3.0])

def loss(group):  # [S, 6, 2] one-hot or relaxed -> [S]
  return jnp.sum(group[:, start] * group[:, end], axis=-1) @ weight

@jax.jit
def step(phi, state, key):
  gradient, aux = jax.grad(estimators.rebar_surrogate, has_aux=True)(
    phi, key, loss, temperature=0.5, coupled=True, num_samples=8
  )
  update, state = optimizer.update(gradient, state)
  return optax.apply_updates(phi, update), state, aux.loss_one_hot.mean()

optimizer = optax.adam(0.1)
phi = jnp.zeros((6, 2))  # six independent choices of two
state = optimizer.init(phi)
for key in jax.random.split(jax.random.key(0), 200):
  phi, state, mean_loss = step(phi, state, key)
print(phi.argmax(axis=-1), mean_loss)
"""


def test_example_finds_the_best_of_all_64_splits(capsys):
  namespace = {}
  exec(compile(EXAMPLE, "example", "exec"), namespace)
  assert capsys.readouterr().out
  choices = enumeration.one_hot_choices(jnp.zeros((6, 2)))
  losses = np.asarray(namespace["loss"](choices))
  found = jnp.argmax(namespace["phi"], axis=-1)
  split = np.asarray(jnp.eye(2)[found])[None]
  assert namespace["loss"](split)[0] == losses.min()
  # The draws are the best split as well by now, most of the time.
  assert namespace["mean_loss"] < losses.min() + 0.5
  assert losses.min() + 5 < losses.mean()
