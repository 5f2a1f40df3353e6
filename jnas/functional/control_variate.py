"""The control-variate estimator that REBAR and RELAX are cases of.

The score function is applied to what a relaxed loss, given the discrete sample,
leaves of the loss; what that takes away in the mean is given back by two paths
through relaxed samples. The estimate is (i) - (ii) + (iii), each a scalar here.

Source: UNAS, Eqs. (3)-(5); REBAR (arXiv:1703.07370); RELAX
(arXiv:1711.00123); SPEC 3.9.
"""

import operator
from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from jnas.functional import categorical, conditional
from jnas.types import Array, PRNGKey, PyTree

# A pytree of weights like the logits -> a loss `[]`, or `[S]` of S samples.
LossFn = Callable[[PyTree], Array]


class Noise(NamedTuple):
  """What a control-variate estimator draws. Leaves `[..., K]`, `[S, ..., K]`.

  Attributes:
    gumbel: standard Gumbel noise that makes the sample.
    conditional: Gumbel noise of the sample given its one-hot value; None
      couples it to `gumbel`, at one evaluation of the loss less.
  """

  gumbel: PyTree
  conditional: PyTree | None


class Terms(NamedTuple):
  """The estimate's parts, each a scalar whose gradient is that part.

  Source: UNAS, Eqs. (3)-(5): the estimate is (i) - (ii) + (iii).

  Attributes:
    score: (i), REINFORCE of what the control variate leaves.
    correction: (ii), path through the sample given its one-hot value.
    pathwise: (iii), path through the relaxed sample: Gumbel-softmax.
  """

  score: Array
  correction: Array
  pathwise: Array


class Aux(NamedTuple):
  """What an estimator drew and evaluated; None where it has no such thing.

  Attributes:
    one_hot: z, leaves `[..., K]` or `[S, ..., K]`.
    relaxed: zeta, likewise.
    conditional: zeta given z, likewise; equal to `relaxed` if coupled.
    log_prob: `[]` or `[S]`, log-probability of z.
    loss_one_hot: `[]` or `[S]`, the loss at z.
    loss_relaxed: `[]` or `[S]`, the loss (or its surrogate) at zeta.
    loss_conditional: `[]` or `[S]`, the same at zeta given z.
    terms: the estimate's parts.
  """

  one_hot: PyTree
  relaxed: PyTree | None
  conditional: PyTree | None
  log_prob: Array
  loss_one_hot: Array | None
  loss_relaxed: Array | None
  loss_conditional: Array | None
  terms: Terms


def surrogate(
  phi_tree: PyTree,
  noise: Noise,
  discrete_fn: LossFn,
  relaxed_fn: LossFn,
  *,
  temperature: Array | float,
  mask: PyTree | None = None,
) -> tuple[Array, Aux]:
  """Scalar whose gradient is the estimate, with noise from outside.

  The relaxed loss and its slope are computed once, when the scalar is, so that
  the three terms come apart at no further cost. The scalar is therefore to be
  differentiated in phi only: to what else a loss closes over it is constant.

  Source: UNAS, Eqs. (3)-(5); SPEC 3.9.

  Args:
    phi_tree: leaves `[..., K]` of logits.
    noise: leaves `[..., K]`, or `[S, ..., K]` for S samples.
    discrete_fn: one-hot -> loss, evaluated once and never differentiated.
    relaxed_fn: weights -> loss, evaluated once if coupled, else twice.
    temperature: scalar above 0.
    mask: booleans like phi_tree, True where an entry exists; all, if None.

  Returns:
    The scalar and what it was made of.
  """
  sample = categorical.draw(phi_tree, noise.gumbel, mask=mask)
  given = _condition(sample, noise, categorical.full_mask(phi_tree, mask))
  zeta = categorical.relax(sample.perturbed, temperature=temperature, mask=mask)
  zeta_given = categorical.relax(given, temperature=temperature, mask=mask)

  log_prob = sample.log_prob
  loss_one_hot = jax.lax.stop_gradient(
    evaluate(discrete_fn, sample.one_hot, log_prob)
  )
  loss, slope = _value_and_slope(relaxed_fn, zeta, log_prob)
  if noise.conditional is None:
    loss_given, slope_given = loss, slope  # the same point
  else:
    loss_given, slope_given = _value_and_slope(relaxed_fn, zeta_given, log_prob)

  chex.assert_equal_shape([loss_one_hot, loss, loss_given])
  terms = Terms(
    score=score_term(loss_one_hot - loss_given, log_prob),
    correction=_follow(loss_given, slope_given, zeta_given),
    pathwise=_follow(loss, slope, zeta),
  )
  aux = Aux(
    one_hot=sample.one_hot,
    relaxed=zeta,
    conditional=zeta_given,
    log_prob=log_prob,
    loss_one_hot=loss_one_hot,
    loss_relaxed=loss,
    loss_conditional=loss_given,
    terms=terms,
  )
  return terms.score - terms.correction + terms.pathwise, aux


def draw_noise(
  key: PRNGKey,
  phi_tree: PyTree,
  *,
  coupled: bool,
  num_samples: int | None = None,
) -> Noise:
  """The noise of `surrogate`.

  Args:
    key: consumed.
    phi_tree: leaves `[..., K]` of logits.
    coupled: whether the sample given z reuses the noise that made z.
    num_samples: S; None draws one sample without an axis for it.

  Returns:
    Leaves `[..., K]`, or `[S, ..., K]`.
  """
  gumbel_key, conditional_key = jax.random.split(key)
  draw = categorical.draw_gumbels
  return Noise(
    gumbel=draw(gumbel_key, phi_tree, num_samples=num_samples),
    conditional=None
    if coupled
    else draw(conditional_key, phi_tree, num_samples=num_samples),
  )


def evaluate(fn: LossFn, weights: PyTree, log_prob: Array) -> Array:
  """The loss of samples, after a check of its shape.

  Args:
    fn: weights -> loss.
    weights: leaves `[..., K]` or `[S, ..., K]`.
    log_prob: `[]` or `[S]`, for its shape.

  Returns:
    `[]` or `[S]`.

  Raises:
    ValueError: if the loss has another shape.
  """
  loss = jnp.asarray(fn(weights))
  if loss.shape not in {(), log_prob.shape}:
    wanted = "a scalar"
    if log_prob.ndim:
      wanted += f", or one for each of the {log_prob.shape[0]} samples"
    raise ValueError(f"a loss of shape {loss.shape}; it must be {wanted}")
  return loss


def score_term(advantage: Array, log_prob: Array) -> Array:
  """REINFORCE: a scalar whose gradient is the advantage times the score.

  Source: UNAS, Eq. (1); SPEC 8 and E17 for the joint loss: its reward belongs
  to every sample, so the scores are added and not averaged.

  Args:
    advantage: `[]` or `[S]` loss less its baseline; held constant.
    log_prob: `[]` or `[S]` log-probabilities of the samples.

  Returns:
    `[]`: the mean over samples, or the joint loss times the sum of scores.
  """
  if advantage.shape != log_prob.shape:
    log_prob = jnp.sum(log_prob)
  return jnp.mean(jax.lax.stop_gradient(advantage) * log_prob)


def _condition(sample: categorical.Draw, noise: Noise, mask: PyTree) -> PyTree:
  """The perturbed log-probabilities given the one-hot sample."""
  mask = jax.tree.map(
    lambda exists, y: jnp.broadcast_to(exists, y.shape), mask, sample.perturbed
  )
  independent = noise.conditional
  if independent is None:
    independent = jax.tree.map(
      lambda log_p, gumbel, exists: conditional.coupled_gumbel(
        log_p, gumbel, mask=exists
      ),
      sample.log_p,
      noise.gumbel,
      mask,
    )
  return jax.tree.map(
    lambda log_p, y, gumbel, exists: conditional.conditional_gumbel(
      log_p, jnp.argmax(y, axis=-1), gumbel, mask=exists
    ),
    sample.log_p,
    sample.perturbed,
    independent,
    mask,
  )


def _value_and_slope(
  fn: LossFn, weights: PyTree, log_prob: Array
) -> tuple[Array, PyTree]:
  """The loss at fixed weights, and the gradient of its mean over samples."""
  loss, pull = jax.vjp(
    lambda weights: evaluate(fn, weights, log_prob),
    jax.lax.stop_gradient(weights),
  )
  (slope,) = pull(jnp.full_like(loss, 1 / loss.size))
  return jax.lax.stop_gradient((loss, slope))


def _follow(loss: Array, slope: PyTree, weights: PyTree) -> Array:
  """The mean loss in value, which changes with the weights as it would."""
  moves = jax.tree.map(
    lambda s, w: jnp.sum(s * (w - jax.lax.stop_gradient(w))), slope, weights
  )
  return jnp.mean(loss) + jax.tree.reduce(operator.add, moves)
