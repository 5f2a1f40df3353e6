"""A small space, cells and networks that compile quickly."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jnas.nets import graph, macro, supernet, transit
from jnas.ops import Settings
from jnas.spaces import Space, dense_edges

OPS = ("max_pool_3x3", "skip_connect", "sep_conv_3x3")
SPACE = Space(
  name="small",
  num_inputs=2,
  num_nodes=2,
  ops={kind: (OPS,) * 5 for kind in ("normal", "reduce")},
  concat=(2, 3),
)
SHAPE = (len(dense_edges(2, 2)), len(OPS))
PLAN = macro.plan(num_cells=3, features=8, num_classes=4, stem="cifar")
SETTINGS = Settings(affine=False, pool_norm=True)
# Rows: edges 0-2, 1-2, 0-3, 1-3, 2-3. One operation serves two nodes, two
# serve one edge; the second node has three inputs.
STRUCTURE = np.array(
  [[0, 0, 1], [0, 1, 0], [0, 0, 1], [0, 0, 0], [1, 0, 1]], np.float32
)


def build_cell(kind, options, module=transit.TransitCell):
  """A cell of 8 channels."""
  stride = 2 if kind == "reduce" else 1
  plan = macro.CellPlan(kind, 8, stride, halve_first=False)
  return module(graph.supernet_graph(SPACE, kind), plan, SETTINGS, options)


def inputs(seed=0):
  """The two inputs of a cell."""
  random = np.random.default_rng(seed)
  return [
    jnp.asarray(random.normal(size=(3, 8, 8, 8)), jnp.float32) for _ in range(2)
  ]


def fill(module, *args, seed=0, **kwargs):
  """Variables of a module, drawn from NumPy; statistics are positive."""
  shapes = jax.eval_shape(
    lambda: module.init(jax.random.key(0), *args, train=True, **kwargs)
  )
  random = np.random.default_rng(seed)

  def draw(leaf, is_param):
    values = random.normal(size=leaf.shape)
    if not is_param:
      values = 0.5 + 0.1 * np.abs(values)
    return jnp.asarray(values, leaf.dtype)

  return {
    name: jax.tree.map(functools.partial(draw, is_param=name == "params"), tree)
    for name, tree in shapes.items()
  }


def cell_numbers(module, variables, structure, *, train=True, **kwargs):
  """Output, moved statistics, and gradients of a Transit cell.

  The gradients are those of the inputs and the parameters.
  """
  first, last = inputs()

  def objective(params, first, last):
    y, moved = module.apply(
      {"params": params, "batch_stats": variables["batch_stats"]},
      first,
      last,
      structure,
      train=train,
      mutable=["batch_stats"],
      **kwargs,
    )
    return jnp.sum(jnp.sin(y)), (y, moved)

  grads, (y, moved) = jax.grad(objective, (0, 1, 2), has_aux=True)(
    variables["params"], first, last
  )
  return {"y": y, "moved": moved["batch_stats"], "grads": grads}


def assert_close(got, wanted, tolerance=2e-5):
  """Compares two trees of arrays, each leaf by its own size."""
  flat, form = jax.tree.flatten(got)
  expected, other = jax.tree.flatten(wanted)
  assert form == other
  for a, b in zip(flat, expected, strict=True):
    scale = max(1.0, float(np.abs(b).max()))
    np.testing.assert_allclose(a, b, atol=tolerance * scale, rtol=0)


def random_structure(seed):
  """Zeros and ones with any number of connections."""
  random = np.random.default_rng(seed)
  return jnp.asarray(random.random(SHAPE) < 0.4, jnp.float32)


build = functools.partial(supernet.build, SPACE, PLAN)
