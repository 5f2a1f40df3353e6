"""The network that takes its connections by index is the derived network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas.nets import derived, graph, indexed, macro
from jnas.ops import Settings
from jnas.selection import connections
from jnas.spaces import Space

OPS = ("none", "skip_connect", "sep_conv_3x3", "max_pool_3x3")
SPACE = Space(
  name="two_nodes",
  num_inputs=2,
  num_nodes=2,
  ops={"normal": (OPS,) * 5, "reduce": (OPS,) * 5},
  concat=(2, 3),
)
PLAN = macro.plan(num_cells=3, features=2, num_classes=3, stem="cifar")
SETTINGS = Settings(affine=True, pool_norm=False)
SKIP, SEP, POOL = 1, 2, 3


def counts(*used):
  """`[E, K]` with one more for each (edge, operation) used."""
  weights_ek = np.zeros((5, len(OPS)), np.float32)
  for edge, column in used:
    weights_ek[edge, column] += 1
  return weights_ek


# Edges 0 and 1 enter node 2, edges 2 to 4 node 3.
PAIRS = {
  "normal": counts((0, SEP), (1, SKIP), (2, POOL), (4, SEP)),
  "reduce": counts((0, SKIP), (1, SEP), (3, SEP), (4, SKIP)),
}
SAME_EDGE = {
  "normal": counts((0, SEP), (0, SKIP), (3, SEP), (3, SEP)),
  "reduce": counts((1, POOL), (1, POOL), (4, SEP), (4, POOL)),
}
EVERY_EDGE = {
  "normal": counts((0, SEP), (1, 0), (2, POOL), (3, SKIP), (4, SEP)),
  "reduce": counts((0, 0), (1, POOL), (2, SEP), (3, SEP), (4, SEP)),
}


def stacked(tree, times):
  return jax.tree.map(lambda leaf: jnp.repeat(leaf, times, axis=0), tree)


def derived_variables(genotype, variables):
  """The derived network's variables, each edge with the parameters that all
  edges share in the other network."""
  found = {"params": {}, "batch_stats": {}}
  for kind in found:
    for name in ("stem", "classifier"):
      if kind in variables[name]:
        found[kind][name] = variables[name][kind]
    for position, plan in enumerate(PLAN.cells):
      parts = variables[f"cell_{position}"]
      cell = dict(parts["entry"][kind])
      groups = graph.derived_graph(genotype.cells()[plan.cell_type]).groups
      for source, op, members in groups:
        node = cell.setdefault(graph.node_name(source), {})
        shared = parts[f"{graph.node_name(source)}/{op}"].get(kind, {})
        if shared:
          node[op] = stacked(shared, len(members))
      found[kind][f"cell_{position}"] = cell
  return found


@pytest.mark.parametrize(
  ("weights", "every_edge"),
  [(PAIRS, False), (SAME_EDGE, False), (EVERY_EDGE, True)],
)
def test_it_gives_what_the_derived_network_gives(weights, every_edge):
  program = indexed.build(SPACE, PLAN, SETTINGS, every_edge=every_edge)
  images = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
  variables = program.init(images)
  logits = jax.jit(program.apply)(variables, images, program.index(weights))
  genotype = connections.from_counts(weights, SPACE)
  net = derived.build(genotype, PLAN, auxiliary=False, settings=SETTINGS)
  wanted = jax.jit(lambda v, x: net.apply(v, x, train=False).logits)(
    derived_variables(genotype, variables), images
  )
  np.testing.assert_allclose(logits, wanted, rtol=1e-4, atol=1e-5)
  assert np.std(logits) > 1e-3


def test_a_slot_takes_nothing_where_a_node_has_fewer_connections():
  slots = indexed.free_slots(SPACE, "normal")
  index_s = indexed.indices(counts((1, SEP)), SPACE, "normal", slots)
  # Of node 2: (0, skip), (0, sep), (0, pool), (1, skip), (1, sep), (1, pool).
  assert index_s.tolist() == [4, 6, 9, 9]


def test_more_connections_than_slots_are_refused():
  slots = indexed.free_slots(SPACE, "normal")
  three = counts((2, SEP), (3, SEP), (4, SEP))
  with pytest.raises(ValueError, match="node 3: no slot"):
    indexed.indices(three, SPACE, "normal", slots)
