"""Gradients of an expected loss over discrete choices, as scalars.

For independent categoricals with logits phi, each function here returns a
scalar whose gradient in phi estimates the gradient of E[loss(z)], z ~ p_phi:
REINFORCE, Gumbel-softmax (biased), straight-through (biased), REBAR and RELAX.

`phi_tree` is any pytree of logits `[..., K]`, one categorical over the last
axis for each position of the others. A loss function takes a pytree of the
same structure, one-hot or on the simplex, and returns a scalar. With
`num_samples=S` its leaves gain a leading axis S and it returns

* `[S]`, one loss for each sample: the estimate is the mean of S estimates;
* or a scalar, a joint loss of all S samples: its reward multiplies the sum of
  their log-probabilities, and the estimate is that of the joint expectation.

The same key draws the same samples in every function.

Source: UNAS (arXiv:1912.07651), Sec. 2 and 3.1; REBAR (arXiv:1703.07370);
RELAX (arXiv:1711.00123); SPEC 3.9.
"""

import jax
import jax.numpy as jnp

from jnas.functional import categorical, control_variate
from jnas.functional.control_variate import Aux, LossFn, Terms
from jnas.types import Array, PRNGKey, PyTree


def rebar_surrogate(
  phi_tree: PyTree,
  key: PRNGKey,
  loss_fn: LossFn,
  *,
  temperature: Array | float,
  coupled: bool,
  num_samples: int | None = None,
  mask: PyTree | None = None,
) -> tuple[Array, Aux]:
  """Scalar whose gradient is the REBAR estimate: unbiased, of low variance.

  Source: UNAS, Eqs. (3) and (4); SPEC 3.9.

  Args:
    phi_tree: leaves `[..., K]` of logits.
    key: consumed.
    loss_fn: weights -> loss, differentiable on the simplex; see the module.
    temperature: scalar above 0 of the relaxed samples; 0.4 in UNAS. The
      estimate is unbiased at any.
    coupled: whether the sample given z reuses the noise that made z. Then the
      loss is evaluated twice, without it three times.
    num_samples: S; None draws one sample without an axis for it.
    mask: booleans like phi_tree, True where an entry exists; all, if None.

  Returns:
    The scalar and what it was made of.
  """
  noise = control_variate.draw_noise(
    key, phi_tree, coupled=coupled, num_samples=num_samples
  )
  return control_variate.surrogate(
    phi_tree, noise, loss_fn, loss_fn, temperature=temperature, mask=mask
  )


def relax_surrogate(
  phi_tree: PyTree,
  key: PRNGKey,
  nondiff_fn: LossFn,
  surrogate_fn: LossFn,
  *,
  temperature: Array | float,
  num_samples: int | None = None,
  mask: PyTree | None = None,
) -> tuple[Array, Aux]:
  """Scalar whose gradient is the RELAX estimate of E[nondiff_fn(z)].

  Unbiased whatever the surrogate; the closer it is, the lower the variance.

  Source: UNAS, Eq. (5), where the prose after it must read L_n(z) - c_n(z);
  SPEC 3.9.

  Args:
    phi_tree: leaves `[..., K]` of logits.
    key: consumed.
    nondiff_fn: one-hot -> loss, evaluated at z alone and never differentiated;
      may be a `jax.pure_callback` that measures.
    surrogate_fn: weights -> a prediction of that loss, differentiable on the
      simplex.
    temperature: scalar above 0 of the relaxed samples; 0.4 in UNAS.
    num_samples: S; None draws one sample without an axis for it.
    mask: booleans like phi_tree, True where an entry exists; all, if None.

  Returns:
    The scalar and what it was made of.
  """
  noise = control_variate.draw_noise(
    key, phi_tree, coupled=True, num_samples=num_samples
  )
  return control_variate.surrogate(
    phi_tree,
    noise,
    nondiff_fn,
    surrogate_fn,
    temperature=temperature,
    mask=mask,
  )


def reinforce_surrogate(
  phi_tree: PyTree,
  key: PRNGKey,
  fn: LossFn,
  baseline: Array | float,
  *,
  num_samples: int | None = None,
  mask: PyTree | None = None,
) -> tuple[Array, Aux]:
  """Scalar whose gradient is the score-function estimate of E[fn(z)].

  Source: UNAS, Eq. (1), and Eq. (2) with a constant c; SPEC 3.9 (1).

  Args:
    phi_tree: leaves `[..., K]` of logits.
    key: consumed.
    fn: one-hot -> loss, never differentiated; may be a `jax.pure_callback`.
    baseline: `[]` subtracted from the loss. It keeps the estimate unbiased if
      it does not depend on this sample: see `update_baseline`.
    num_samples: S; None draws one sample without an axis for it.
    mask: booleans like phi_tree, True where an entry exists; all, if None.

  Returns:
    The scalar and what it was made of.
  """
  sample = _draw(phi_tree, key, num_samples, mask)
  loss = jax.lax.stop_gradient(
    control_variate.evaluate(fn, sample.one_hot, sample.log_prob)
  )
  score = control_variate.score_term(loss - baseline, sample.log_prob)
  zero = jnp.zeros_like(score)
  return score, Aux(
    one_hot=sample.one_hot,
    relaxed=None,
    conditional=None,
    log_prob=sample.log_prob,
    loss_one_hot=loss,
    loss_relaxed=None,
    loss_conditional=None,
    terms=Terms(score=score, correction=zero, pathwise=zero),
  )


def update_baseline(
  baseline: Array | float, losses: Array, *, decay: Array | float
) -> Array:
  """Exponential moving average of past losses, for the next step's baseline.

  Source: SPEC 3.9 (1) and D22. The authors' code of UNAS keeps 0.1 of the old
  value; that is decay 0.1.

  Args:
    baseline: `[]` the average so far.
    losses: `[]` or `[S]` losses of this step.
    decay: weight of the old value, 0..1; 0.9 by SPEC 3.9.

  Returns:
    `[]` the average, constant in the sense of differentiation.
  """
  new = jax.lax.stop_gradient(jnp.mean(losses))
  return decay * baseline + (1 - decay) * new


def gs_surrogate(
  phi_tree: PyTree,
  key: PRNGKey,
  loss_fn: LossFn,
  temperature: Array | float,
  *,
  num_samples: int | None = None,
  mask: PyTree | None = None,
) -> tuple[Array, Aux]:
  """The loss at a Gumbel-softmax sample: its gradient is biased.

  Differentiable also in what `loss_fn` closes over.

  Source: UNAS, Sec. 3.1, Gumbel-Softmax; SNAS, Eq. (5); SPEC 3.9 (2).

  Args:
    phi_tree: leaves `[..., K]` of logits.
    key: consumed.
    loss_fn: weights -> loss, differentiable on the simplex; see the module.
    temperature: scalar above 0; 0.4 in UNAS.
    num_samples: S; None draws one sample without an axis for it.
    mask: booleans like phi_tree, True where an entry exists; all, if None.

  Returns:
    The scalar and what it was made of.
  """
  sample = _draw(phi_tree, key, num_samples, mask)
  zeta = categorical.relax(sample.perturbed, temperature=temperature, mask=mask)
  loss = control_variate.evaluate(loss_fn, zeta, sample.log_prob)
  scalar, aux = _pathwise_only(loss, zeta, sample)
  return scalar, aux._replace(loss_relaxed=loss)


def straight_through_surrogate(
  phi_tree: PyTree,
  key: PRNGKey,
  loss_fn: LossFn,
  temperature: Array | float,
  *,
  num_samples: int | None = None,
  mask: PyTree | None = None,
) -> tuple[Array, Aux]:
  """The loss at the one-hot sample, differentiated as if it were relaxed.

  Biased; the loss is only evaluated at discrete choices. Differentiable also in
  what `loss_fn` closes over.

  Source: Gumbel-softmax (arXiv:1611.01144), Sec. 2.2, straight-through.

  Args:
    phi_tree: leaves `[..., K]` of logits.
    key: consumed.
    loss_fn: weights -> loss, differentiable; see the module.
    temperature: scalar above 0 of the relaxed sample that carries the gradient.
    num_samples: S; None draws one sample without an axis for it.
    mask: booleans like phi_tree, True where an entry exists; all, if None.

  Returns:
    The scalar and what it was made of.
  """
  sample = _draw(phi_tree, key, num_samples, mask)
  zeta = categorical.relax(sample.perturbed, temperature=temperature, mask=mask)
  # Exactly one-hot in value: the relaxed sample minus itself is zero.
  straight = jax.tree.map(
    lambda z, soft: z + (soft - jax.lax.stop_gradient(soft)),
    sample.one_hot,
    zeta,
  )
  loss = control_variate.evaluate(loss_fn, straight, sample.log_prob)
  scalar, aux = _pathwise_only(loss, zeta, sample)
  return scalar, aux._replace(loss_one_hot=loss)


def _draw(
  phi_tree: PyTree, key: PRNGKey, num_samples: int | None, mask: PyTree | None
) -> categorical.Draw:
  """The sample that REBAR would draw from this key."""
  noise = control_variate.draw_noise(
    key, phi_tree, coupled=True, num_samples=num_samples
  )
  return categorical.draw(phi_tree, noise.gumbel, mask=mask)


def _pathwise_only(
  loss: Array, zeta: PyTree, sample: categorical.Draw
) -> tuple[Array, Aux]:
  """The mean loss as the only term; the losses are left to the caller."""
  scalar = jnp.mean(loss)
  zero = jnp.zeros_like(scalar)
  return scalar, Aux(
    one_hot=sample.one_hot,
    relaxed=zeta,
    conditional=None,
    log_prob=sample.log_prob,
    loss_one_hot=None,
    loss_relaxed=None,
    loss_conditional=None,
    terms=Terms(score=zero, correction=zero, pathwise=scalar),
  )
