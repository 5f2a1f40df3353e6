"""UNAS: unbiased gradients of an expected loss over discrete architectures.

Source: UNAS (arXiv:1912.07651), Secs. 3 and 4; SPEC 3.9.
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp

from jnas.functional import (
  categorical,
  control_variate,
  factorized,
  surrogate,
)
from jnas.methods import base, unas_choices, unas_images, unas_latency
from jnas.spaces import Space
from jnas.types import ArchParams, Array, CellWeights, PRNGKey, PyTree


@dataclasses.dataclass(frozen=True)
class Settings:
  """What UNAS leaves open.

  Attributes:
    cell: "factorized", two pairs of an input and an operation in each node, or
      "edges", one operation on each edge.
    estimator: of the gradient: "rebar", "reinforce" with a moving baseline,
      and the biased "gumbel_softmax" and "straight_through".
    coupled: whether REBAR's conditional sample reuses the noise.
    temperature: of the relaxed samples, above 0.
    softening: raises every probability before they are drawn from; 0 for none.
    objective: loss that the architecture minimises: the training loss plus
      the "gap" to the validation loss, the "valid" loss, or the "train" loss.
    gap: between the means of a "batch", or "per_example".
    gap_weight: of the gap.
    absolute_gap: whether only the gap's size counts.
    duplicate_weight: of the penalty on nodes whose two pairs are the same.
    per_example: whether each image has an architecture of its own.
    allow_joint_gap: whether a "batch" gap may be taken over images with
      architectures of their own; its variance grows with the batch.
    weight_sample: whether weights are trained under "discrete" or "relaxed"
      samples.
    baseline_decay: of REINFORCE's moving average of past losses.
    latency_table: file of `jnas latency build`; "" for no latency loss.
    latency_target: milliseconds that cost nothing; 10 in UNAS.
    latency_weight: of each millisecond above; 0.1 in UNAS.
    latency_ramp: steps of the architecture in which that weight grows from 0;
      0 to begin with all of it.
    latency_measure: what the latency of a drawn architecture is: looked up in
      the "table", or timed on the "device" before each step.
    latency_estimator: of its gradient: "relax", or the surrogate's own through
      "gumbel_softmax", which sees no measurement.
  """

  cell: Literal["factorized", "edges"] = "factorized"
  estimator: Literal[
    "rebar", "reinforce", "gumbel_softmax", "straight_through"
  ] = "rebar"
  coupled: bool = True
  temperature: float = 0.4
  softening: float = 0.0
  objective: Literal["gap", "valid", "train"] = "gap"
  gap: Literal["batch", "per_example"] = "batch"
  gap_weight: float = 0.5
  absolute_gap: bool = True
  duplicate_weight: float = 0.2
  per_example: bool = False
  allow_joint_gap: bool = False
  weight_sample: Literal["discrete", "relaxed"] = "discrete"
  baseline_decay: float = 0.9
  latency_table: str = ""
  latency_target: float = 10.0
  latency_weight: float = 0.1
  latency_ramp: int = 30_000
  latency_measure: Literal["table", "device"] = "table"
  latency_estimator: Literal["relax", "gumbel_softmax"] = "relax"

  def __post_init__(self):
    """Refuses settings without meaning."""
    if not self.temperature > 0:
      raise ValueError(f"temperature {self.temperature}: must be above 0")
    for name in (
      "softening",
      "gap_weight",
      "duplicate_weight",
      "latency_target",
      "latency_weight",
      "latency_ramp",
    ):
      if not getattr(self, name) >= 0:
        raise ValueError(f"{name} {getattr(self, name)}: must be 0 or more")
    if not 0 <= self.baseline_decay < 1:
      raise ValueError(
        f"baseline_decay {self.baseline_decay}: must be in 0 <= x < 1"
      )
    has_gap = self.objective == "gap"
    joint = has_gap and self.per_example and self.gap == "batch"
    if joint and not self.allow_joint_gap:
      raise ValueError(
        "gap 'batch' with per_example: the gap is a joint function of all "
        "architectures of the batch, whose estimate varies with its size; set "
        "gap 'per_example', or allow_joint_gap"
      )
    if has_gap and self.gap == "per_example" and not self.per_example:
      raise ValueError(
        "gap 'per_example' without per_example: one architecture serves the "
        "batch, so its gap is that of the batch; set gap 'batch', or "
        "per_example"
      )


def init(settings: Settings, key: PRNGKey, space: Space) -> ArchParams:
  """Zero logits: every choice is equally likely.

  Source: SPEC 2.6.

  Args:
    settings: the method's.
    key: not used.
    space: the search space.

  Returns:
    For each cell type, factorised, "input": a list of `[2, sources]` and "op":
    `[nodes, 2, K]`; on edges `[E, K]`.

  Raises:
    ValueError: for a factorised cell in a space whose edges differ.
  """
  del key
  if settings.cell == "edges":
    return {
      cell_type: jnp.zeros(space.mask(cell_type).shape)
      for cell_type in space.cell_types
    }
  for cell_type in space.cell_types:
    if space.chain or len(set(space.ops[cell_type])) > 1:
      raise ValueError(
        "method.settings: cell 'factorized' chooses operation and input "
        f"apart, but the edges of space {space.name!r} have different "
        "operations; set cell 'edges'"
      )
  return {
    cell_type: factorized.uniform_logits(
      num_inputs=space.num_inputs,
      num_nodes=space.num_nodes,
      num_ops=space.num_ops,
    )
    for cell_type in space.cell_types
  }


def init_memory(settings: Settings, space: Space) -> PyTree:
  """What REINFORCE and the latency loss remember."""
  del space
  memory = unas_images.init_memory(settings)
  if settings.latency_table:
    memory |= unas_latency.init_memory()
  return memory


def mix(
  settings: Settings, arch: ArchParams, key: PRNGKey, context: base.Context
) -> CellWeights:
  """The architecture that the weights are trained under, a constant.

  It is the sample that the architecture's step drew from the same key.

  Source: UNAS, Eq. (7), z ~ p(z).
  Choice: discrete, as the equation; the authors' code reuses the relaxed
  sample, `weight_sample "relaxed"` (SPEC 6, D18).

  Args:
    settings: the method's.
    arch: logits.
    key: consumed.
    context: space and batch size.

  Returns:
    `[E, K]`, or `[B, E, K]` where each image has its own.
  """
  num_samples = unas_images.num_samples(settings, context)
  return _draw(settings, arch, key, context.space, num_samples)


def _draw(
  settings: Settings,
  arch: ArchParams,
  key: PRNGKey,
  space: Space,
  num_samples: int | None,
) -> CellWeights:
  """The mixing weights of samples; see `control_variate.draw_noise`."""
  choices = unas_choices.make(settings, arch, space)
  noise = control_variate.draw_noise(
    key, choices.phi, coupled=settings.coupled, num_samples=num_samples
  )
  drawn = categorical.draw(choices.phi, noise.gumbel, mask=choices.mask)
  if settings.weight_sample == "relaxed":
    chosen = categorical.relax(
      drawn.perturbed, temperature=settings.temperature, mask=choices.mask
    )
  else:
    chosen = drawn.one_hot
  return jax.lax.stop_gradient(choices.weights(chosen))


def arch_objective(
  settings: Settings,
  arch: ArchParams,
  key: PRNGKey,
  context: base.Context,
  losses: base.Losses,
) -> tuple[Array, PyTree]:
  """Scalar whose gradient estimates that of the expected loss.

  Source: UNAS, Eqs. (3) to (5) and (8); Sec. 4.1 for the penalty.

  Args:
    settings: the method's.
    arch: logits.
    key: consumed.
    context: space, memory, latency and batch size.
    losses: of the network on a training and a validation batch.

  Returns:
    `[]` the surrogate, and what is remembered.
  """
  choices = unas_choices.make(settings, arch, context.space)
  value, memory = unas_images.loss(settings, key, choices, context, losses)
  if not settings.latency_table:
    return value, memory
  latency, memory = unas_latency.loss(
    settings, key, choices, context._replace(memory=memory)
  )
  return value + latency, memory


def latency_sample(
  settings: Settings, arch: ArchParams, key: PRNGKey, space: Space
) -> CellWeights:
  """The architecture whose latency `arch_objective` wants with this key."""
  return unas_latency.sample(key, unas_choices.make(settings, arch, space))


def probs(
  settings: Settings, arch: ArchParams, context: base.Context
) -> CellWeights:
  """Expected mixing weights; of a factorised node they sum to 2.

  Source: UNAS, Sec. 4.1.
  """
  choices = unas_choices.make(settings, arch, context.space)
  return choices.weights(unas_choices.expected(arch, choices.mask))


def sample(
  settings: Settings, arch: ArchParams, key: PRNGKey, context: base.Context
) -> CellWeights:
  """An architecture like those that the weights are trained under.

  Source: UNAS, Figure 4: the losses in search are expectations over z ~ p(z).
  The network that `probs` gives, of all operations in part, is never trained.
  """
  return _draw(settings, arch, key, context.space, None)


def decide(
  settings: Settings, arch: ArchParams, context: base.Context
) -> CellWeights:
  """The likeliest architecture: how often each connection is used.

  Source: UNAS, Sec. 4: the configuration of highest probability.
  """
  choices = unas_choices.make(settings, arch, context.space)
  return choices.weights(unas_choices.strongest(arch, choices.mask))


def transit(
  settings: Settings, arch: ArchParams, context: base.Context
) -> CellWeights:
  """The connections of the likeliest architecture, each once."""
  return {
    cell_type: jnp.minimum(weights_ek, 1.0)
    for cell_type, weights_ek in decide(settings, arch, context).items()
  }


def report(
  settings: Settings, arch: ArchParams, context: base.Context
) -> dict[str, Array]:
  """Nodes whose two pairs are the same, and the probability of the best cell.

  With a latency loss also the latency that is predicted for that cell. The
  probability is that of its likeliest choices, the mean over the factors.
  """
  mask = unas_choices.make(settings, arch, context.space).mask
  largest = [
    jnp.mean(jnp.max(leaf, axis=-1))
    for leaf in jax.tree.leaves(unas_choices.expected(arch, mask))
  ]
  found = {"largest_probability": jnp.mean(jnp.stack(largest))}
  if settings.cell == "factorized":
    chosen = unas_choices.strongest(arch, mask)
    found["duplicates"] = sum(
      (factorized.duplicates(cell) for cell in chosen.values()), jnp.zeros(())
    )
  if context.latency is not None:
    found["latency_ms"] = surrogate.predict(
      context.latency.surrogate, decide(settings, arch, context)
    )
  return found


def _is_joint(settings: Settings) -> bool:
  """One backward pass serves no score function: weights step apart."""
  del settings
  return False


UNAS = base.Method(
  settings=Settings,
  init=init,
  mix=mix,
  probs=probs,
  selector="threshold",
  schemes=("bilevel", "single_level", "frozen"),
  arch_objective=arch_objective,
  joint=_is_joint,
  init_memory=init_memory,
  sample=sample,
  decide=decide,
  transit=transit,
  report=report,
  same_sample=True,
  timing=base.Timing(
    table=lambda settings: settings.latency_table,
    measures=lambda settings: settings.latency_measure == "device",
    every_edge=lambda settings: settings.cell == "edges",
    sample=latency_sample,
    remember=unas_latency.remember,
  ),
  authors={
    "method.settings.gap": "per_example",
    "method.settings.per_example": True,
    "method.settings.weight_sample": "relaxed",
    "method.settings.baseline_decay": 0.1,
  },
)
