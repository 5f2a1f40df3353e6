"""Any method with some edges decided: how PT tunes a supernet.

The method goes on as it was at the end of its search; what it says about
decided edges is overruled on its way to the network, and no gradient comes
back from there.

Source: PT (arXiv:2108.04392), Algorithm 1; SPEC 3.6 and 6, D30.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jnas.functional import decisions as rules
from jnas.methods import base
from jnas.spaces import Space
from jnas.types import ArchParams, Array, CellWeights, PRNGKey, Progress, PyTree


class Memory(NamedTuple):
  """What a held method remembers.

  Attributes:
    inner: the memory of the method itself.
    decisions: of each cell type.
  """

  inner: PyTree
  decisions: dict[str, rules.Decisions]


def undecided(space: Space) -> dict[str, rules.Decisions]:
  """Nothing decided in any cell type."""
  return {
    cell_type: rules.undecided(
      num_edges=len(space.edges), num_nodes=space.num_nodes
    )
    for cell_type in space.cell_types
  }


def hold(method: base.Method) -> base.Method:
  """The method whose decided edges are held at their operations.

  Its memory is a `Memory`; its schedules stay where the search's last epoch
  left them, so that tuning mixes as the supernet was trained to.
  """

  def mix(
    settings: Any, arch: ArchParams, key: PRNGKey, context: base.Context
  ) -> CellWeights:
    held = _hold_arch(arch, context)
    return _held(method.mix(settings, held, key, _inner(context)), context)

  def believed(
    function: Callable[[Any, ArchParams, base.Context], CellWeights],
  ) -> Callable[[Any, ArchParams, base.Context], CellWeights]:
    def of_held(
      settings: Any, arch: ArchParams, context: base.Context
    ) -> CellWeights:
      return _held(function(settings, arch, _inner(context)), context)

    return of_held

  def penalty(
    settings: Any,
    arch: ArchParams,
    key: PRNGKey,
    context: base.Context,
    weights: CellWeights,
  ) -> Array:
    held = _hold_arch(arch, context)
    return method.penalty(settings, held, key, _inner(context), weights)

  def arch_objective(
    settings: Any,
    arch: ArchParams,
    key: PRNGKey,
    context: base.Context,
    losses: base.Losses,
  ) -> tuple[Array, PyTree]:
    held = base.Losses(
      train=lambda weights: losses.train(_held(weights, context)),
      valid=lambda weights: losses.valid(_held(weights, context)),
    )
    value, memory = base.objective(
      method, settings, _hold_arch(arch, context), key, _inner(context), held
    )
    return value, _remember(memory, context)

  def init_memory(settings: Any, space: Space) -> Memory:
    return Memory(method.init_memory(settings, space), undecided(space))

  def remembering(
    function: Callable[[Any, ArchParams, base.Context], PyTree],
  ) -> Callable[[Any, ArchParams, base.Context], Memory]:
    def of_held(
      settings: Any, arch: ArchParams, context: base.Context
    ) -> Memory:
      return _remember(function(settings, arch, _inner(context)), context)

    return of_held

  return method._replace(
    mix=mix,
    probs=believed(method.probs),
    sample=None,
    decide=None,
    transit=None,
    penalty=penalty,
    arch_objective=arch_objective,
    init_memory=init_memory,
    after_step=remembering(method.after_step),
    after_epoch=remembering(method.after_epoch),
    report=lambda settings, arch, context: method.report(
      settings, arch, _inner(context)
    ),
  )


def _held(weights: CellWeights, context: base.Context) -> CellWeights:
  """Weights with the decisions in force."""
  return {
    cell_type: rules.hold(weights_ek, context.memory.decisions[cell_type])
    for cell_type, weights_ek in weights.items()
  }


def _hold_arch(arch: ArchParams, context: base.Context) -> ArchParams:
  """The parameters, without a gradient in the rows of decided edges.

  The masks above stop what comes through the network; a penalty on the
  parameters themselves, such as an expected cost, is stopped here.
  """

  def hold_leaf(path: tuple[Any, ...], leaf: Array) -> Array:
    for part in path:
      decisions = context.memory.decisions.get(getattr(part, "key", None))
      if decisions is not None and leaf.shape[0] == len(context.space.edges):
        decided_e = jnp.logical_or(decisions.projected_e, decisions.discarded_e)
        decided = decided_e.reshape(-1, *[1] * (leaf.ndim - 1))
        return jnp.where(decided, jax.lax.stop_gradient(leaf), leaf)
    return leaf

  return jax.tree_util.tree_map_with_path(hold_leaf, arch)


def _inner(context: base.Context) -> base.Context:
  """The context as the method itself would see it after its last epoch."""
  progress = context.progress
  last = Progress(
    epoch=progress.num_epochs - 1,
    num_epochs=progress.num_epochs,
    step=progress.step,
  )
  return context._replace(memory=context.memory.inner, progress=last)


def _remember(memory: PyTree, context: base.Context) -> Memory:
  return Memory(memory, context.memory.decisions)
