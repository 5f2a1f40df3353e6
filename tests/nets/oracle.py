"""The tiny DARTS supernet of ../shared/oracles, as variables of ours."""

import numpy as np

from jnas.nets import graph, macro, supernet
from jnas.spaces import SPACES

SPACE = SPACES["darts"]
PLAN = macro.plan(num_cells=3, features=4, num_classes=10, stem="cifar")
NET = supernet.build(SPACE, PLAN)
# Our submodule names, and the oracle's, in each operation.
KERNELS = {
  "depthwise_1": "dw1",
  "pointwise_1": "pw1",
  "depthwise_2": "dw2",
  "pointwise_2": "pw2",
  "depthwise": "dw",
  "pointwise": "pw",
}


def params_from(oracle, dtype):
  """Parameters in our layout from the oracle's `param:` entries."""

  def take(name):
    return np.asarray(oracle[f"param:{name}"], dtype)

  def reduction(prefix):
    return {
      "conv_1": {"kernel": take(f"{prefix}/conv_1")[0, 0]},
      "conv_2": {"kernel": take(f"{prefix}/conv_2")[0, 0]},
    }

  params = {
    "stem": {
      "conv": {"kernel": take("stem/conv")[None]},
      "norm": {
        "scale": np.ones((1, 12), dtype),
        "bias": np.zeros((1, 12), dtype),
      },
    },
    "classifier": {
      "kernel": take("classifier/w"),
      "bias": take("classifier/b"),
    },
  }
  for index, plan in enumerate(PLAN.cells):
    name = f"cell{index}"
    tree = {"input_1": {"conv": {"kernel": take(f"{name}/pre1/conv")[0]}}}
    if plan.halve_first:
      halves = reduction(f"{name}/pre0")
      tree["input_0"] = {
        "reduce": {
          key: {"kernel": leaf["kernel"][None]} for key, leaf in halves.items()
        }
      }
    else:
      tree["input_0"] = {"conv": {"kernel": take(f"{name}/pre0/conv")[0]}}
    for group in NET.graphs[plan.cell_type].groups:
      stacked = {}
      for member in group.members:
        prefix = f"{name}/edge{member.edge}/{group.op}"
        if f"param:{prefix}/conv_1" in oracle:
          halves = {"reduce": reduction(prefix)}
        else:
          halves = {
            ours: {"kernel": _kernel(take(f"{prefix}/{theirs}"))}
            for ours, theirs in KERNELS.items()
            if f"param:{prefix}/{theirs}" in oracle
          }
        _append(stacked, halves)
      if stacked:
        node = tree.setdefault(f"node_{group.source}", {})
        node[graph.module_name(group.op)] = _stack(stacked)
    params[f"cell_{index}"] = tree
  return params


def _kernel(kernel):
  """(kh, kw, 1, C) to (kh, kw, C), and (1, 1, Cin, Cout) to (Cin, Cout)."""
  return kernel[0, 0] if kernel.shape[:2] == (1, 1) else kernel[:, :, 0]


def _append(stacked, tree):
  for key, value in tree.items():
    if isinstance(value, dict):
      _append(stacked.setdefault(key, {}), value)
    else:
      stacked.setdefault(key, []).append(value)


def _stack(tree):
  if isinstance(tree, dict):
    return {key: _stack(value) for key, value in tree.items()}
  return np.stack(tree)
