"""SPEC 4.3, E2 to E4, E9, E12: the estimate's terms at given noise."""

import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas.functional import conditional, control_variate
from tests.functional import chain2x3


@pytest.fixture
def oracle(shared, x64):
  return chain2x3.load(shared)


def noise_of(oracle, *, coupled):
  """The oracle's 64 draws as Gumbel noise."""
  gumbel, independent = (
    jnp.asarray(-np.log(-np.log(oracle[name]))) for name in ("u", "v_ind")
  )
  return control_variate.Noise(gumbel, None if coupled else independent)


def per_sample(oracle, discrete_fn, relaxed_fn, *, coupled):
  """Aux and the gradients of the estimate and of its terms, per sample."""

  def scalars(phi, noise):
    scalar, aux = control_variate.surrogate(
      phi, noise, discrete_fn, relaxed_fn, temperature=oracle["tau"]
    )
    return (scalar, *aux.terms), aux

  run = jax.vmap(jax.jacrev(scalars, has_aux=True), in_axes=(None, 0))
  gradients, aux = jax.jit(run)(
    jnp.asarray(oracle["phi"]), noise_of(oracle, coupled=coupled)
  )
  return aux, dict(zip(("rebar", "i", "ii", "iii"), gradients, strict=True))


def test_coupled_terms_equal_the_oracle_sample_by_sample(oracle):
  loss = chain2x3.loss
  aux, found = per_sample(oracle, loss, loss, coupled=True)
  np.testing.assert_array_equal(aux.one_hot, oracle["ps_b"])
  for value, name in (
    (aux.relaxed, "ps_zeta"),
    (aux.conditional, "ps_zeta_cond"),
    (aux.loss_one_hot, "ps_f_b"),
    (aux.loss_relaxed, "ps_c_unc"),
    (aux.loss_conditional, "ps_c_cond"),
    (found["i"], "ps_term_i"),
    (found["ii"], "ps_term_ii"),
    (found["iii"], "ps_term_iii"),
    (found["rebar"], "ps_rebar"),
  ):
    np.testing.assert_allclose(value, oracle[name], atol=1e-8, err_msg=name)
  noise = noise_of(oracle, coupled=True).gumbel
  log_p = conditional.log_probabilities(jnp.asarray(oracle["phi"]))
  log_p = jnp.broadcast_to(log_p, noise.shape)
  uniform = np.exp(-np.exp(-conditional.coupled_gumbel(log_p, noise)))
  np.testing.assert_allclose(uniform, oracle["ps_v"], atol=1e-8)


def test_uncoupled_terms_equal_the_oracle_sample_by_sample(oracle):
  loss = chain2x3.loss
  aux, found = per_sample(oracle, loss, loss, coupled=False)
  for value, name in (
    (aux.conditional, "ind_zeta_cond"),
    (found["i"], "ind_term_i"),
    (found["ii"], "ind_term_ii"),
    (found["iii"], "ps_term_iii"),
    (found["rebar"], "ind_rebar"),
  ):
    np.testing.assert_allclose(value, oracle[name], atol=1e-8, err_msg=name)


def test_relax_terms_equal_the_oracle_sample_by_sample(oracle):
  aux, found = per_sample(
    oracle, chain2x3.latency, chain2x3.linear(oracle), coupled=True
  )
  for value, name in (
    (aux.loss_one_hot, "lat_f_b"),
    (aux.loss_relaxed, "lat_c_unc"),
    (found["i"], "lat_term_i"),
    (found["ii"], "lat_term_ii"),
    (found["iii"], "lat_term_iii"),
    (found["rebar"], "lat_rebar"),
  ):
    np.testing.assert_allclose(value, oracle[name], atol=1e-8, err_msg=name)


def test_coupled_samples_agree_in_value_and_not_in_derivative(oracle):
  loss = chain2x3.loss
  aux, found = per_sample(oracle, loss, loss, coupled=True)
  np.testing.assert_allclose(aux.conditional, aux.relaxed, rtol=0, atol=1e-12)
  difference = np.abs(found["ii"] - found["iii"]).reshape(64, -1).max(-1)
  assert np.all(difference > 1e-6)


def test_pathwise_less_correction_is_the_closed_form(oracle):
  loss = chain2x3.loss
  _, found = per_sample(oracle, loss, loss, coupled=True)
  phi = jnp.asarray(oracle["phi"])
  gumbel = noise_of(oracle, coupled=True).gumbel

  def closed_form(gumbel):
    log_p, pull = jax.vjp(lambda phi: jax.nn.log_softmax(phi, axis=-1), phi)
    y = log_p + gumbel
    slope = jax.grad(lambda y: loss(jax.nn.softmax(y / oracle["tau"], -1)))(y)
    largest = jnp.max(y, axis=-1, keepdims=True)
    return pull(slope * jnp.exp(y - largest))[0]

  np.testing.assert_allclose(
    found["iii"] - found["ii"],
    jax.jit(jax.vmap(closed_form))(gumbel),
    atol=1e-9,
  )


def test_gradient_is_that_of_the_two_evaluation_recipe(oracle):
  """SPEC 3.9, "autodiff recipe": one relaxed loss of value zeta."""
  loss, temperature = chain2x3.loss, oracle["tau"]
  hold = jax.lax.stop_gradient

  def recipe(phi, gumbel):
    log_p = jax.nn.log_softmax(phi, axis=-1)
    y = log_p + gumbel
    index = jnp.argmax(y, axis=-1)
    given = conditional.conditional_gumbel(
      log_p, index, conditional.coupled_gumbel(log_p, gumbel)
    )
    zeta = jax.nn.softmax(y / temperature, axis=-1)
    zeta_given = jax.nn.softmax(given / temperature, axis=-1)
    one_hot = jax.nn.one_hot(index, 3, dtype=phi.dtype)
    relaxed = loss(zeta - zeta_given + hold(zeta_given))
    log_prob = jnp.sum(one_hot * log_p)
    return hold(loss(one_hot) - relaxed) * log_prob + relaxed

  _, found = per_sample(oracle, loss, loss, coupled=True)
  expected = jax.jit(jax.vmap(jax.grad(recipe), in_axes=(None, 0)))(
    jnp.asarray(oracle["phi"]), noise_of(oracle, coupled=True).gumbel
  )
  np.testing.assert_allclose(found["rebar"], expected, atol=1e-12)


@pytest.mark.parametrize(("coupled", "evaluations"), [(True, 2), (False, 3)])
def test_number_of_evaluations(oracle, coupled, evaluations):
  calls = []

  def loss(weights):
    jax.debug.callback(lambda: calls.append(1))
    return chain2x3.loss(weights)

  def scalar(phi, noise):
    return control_variate.surrogate(phi, noise, loss, loss, temperature=0.4)[0]

  noise = noise_of(oracle, coupled=coupled)
  jax.jit(jax.grad(scalar))(jnp.asarray(oracle["phi"]), noise)
  jax.effects_barrier()
  assert len(calls) == evaluations


@pytest.mark.parametrize("coupled", [True, False])
def test_a_constant_loss_makes_every_term_exactly_zero(oracle, coupled):
  def constant(weights):
    return jnp.full(weights.shape[:-2], 1.7) + 0 * jnp.sum(weights, (-2, -1))

  _, found = per_sample(oracle, constant, constant, coupled=coupled)
  for name, gradient in found.items():
    assert np.all(np.asarray(gradient) == 0), name


def test_a_surrogate_of_zero_leaves_reinforce_sample_by_sample(oracle):
  _, found = per_sample(
    oracle,
    chain2x3.loss,
    lambda weights: 0 * chain2x3.loss(weights),
    coupled=True,
  )
  np.testing.assert_allclose(found["rebar"], oracle["ps_reinforce"], atol=1e-12)
  np.testing.assert_array_equal(found["rebar"], found["i"])


@pytest.mark.parametrize("coupled", [True, False])
def test_samples_along_an_axis_give_the_mean_of_single_ones(oracle, coupled):
  phi = jnp.asarray(oracle["phi"])
  loss = chain2x3.loss

  def scalar(phi):
    return control_variate.surrogate(
      phi, noise_of(oracle, coupled=coupled), loss, loss, temperature=0.4
    )[0]

  _, found = per_sample(oracle, loss, loss, coupled=coupled)
  np.testing.assert_allclose(
    jax.jit(jax.grad(scalar))(phi), found["rebar"].mean(0), atol=1e-12
  )


@pytest.mark.parametrize("coupled", [True, False])
def test_a_tree_of_ragged_leaves_is_the_masked_array(oracle, coupled):
  """Three choices beside two, apart or padded: the same estimate."""
  noise = control_variate.draw_noise(
    jax.random.key(0),
    {"a": jnp.zeros((1, 3)), "b": jnp.zeros(2)},
    coupled=coupled,
  )
  apart = {"a": jnp.asarray([[0.3, -0.2, 0.1]]), "b": jnp.asarray([0.5, -0.4])}
  padded = jnp.asarray([[0.3, -0.2, 0.1], [0.5, 77.0, -0.4]])
  mask = jnp.asarray([[True, True, True], [True, False, True]])

  def pad(tree):
    if tree is None:
      return None
    second = jnp.asarray([tree["b"][0], 99.0, tree["b"][1]])
    return jnp.concatenate([tree["a"], second[None]])

  def loss(weights):
    return jnp.sin(3 * weights[0, 1] - weights[1, 2]) + weights[1, 0] ** 2

  def loss_apart(tree):
    zero = jnp.zeros((), tree["b"].dtype)
    second = jnp.stack([tree["b"][0], zero, tree["b"][1]])
    return loss(jnp.concatenate([tree["a"], second[None]]))

  def estimate(phi, noise, loss, mask):
    return jax.jit(
      jax.grad(
        lambda phi: control_variate.surrogate(
          phi, noise, loss, loss, temperature=0.4, mask=mask
        )[0]
      )
    )(phi)

  found = estimate(apart, noise, loss_apart, None)
  expected = estimate(
    padded,
    control_variate.Noise(pad(noise.gumbel), pad(noise.conditional)),
    loss,
    mask,
  )
  np.testing.assert_allclose(found["a"][0], expected[0], atol=1e-12)
  np.testing.assert_allclose(
    found["b"], expected[1, jnp.asarray([0, 2])], atol=1e-12
  )
  assert expected[1, 1] == 0
  assert jax.tree.reduce(operator.add, jax.tree.map(jnp.count_nonzero, found))


def test_a_loss_of_another_shape_is_refused():
  phi = jnp.zeros((2, 3))
  noise = control_variate.draw_noise(
    jax.random.key(0), phi, coupled=True, num_samples=4
  )
  with pytest.raises(
    ValueError, match=r"shape \(4, 2\).*each of the 4 samples"
  ):
    control_variate.surrogate(
      phi,
      noise,
      lambda weights: weights[..., 0],
      lambda weights: weights[..., 0],
      temperature=0.4,
    )


@pytest.mark.parametrize("coupled", [True, False])
def test_estimates_are_finite_where_probabilities_vanish(coupled):
  phi = jnp.asarray([[200.0, -200.0, 0.0], [-1e4, 0.0, 1e4], [0.0, 0.0, 0.0]])
  noise = control_variate.draw_noise(
    jax.random.key(0), phi, coupled=coupled, num_samples=500
  )

  def loss(weights):
    return chain2x3.loss(weights[:, :2]) + weights[:, 2, 1]

  def scalar(phi, temperature):
    return control_variate.surrogate(
      phi, noise, loss, loss, temperature=temperature
    )[0]

  for temperature in (1e-4, 0.4):
    gradient = jax.jit(jax.grad(scalar))(phi, temperature)
    assert np.all(np.isfinite(gradient))
    # A certain choice leaves nothing to estimate, the open one does.
    np.testing.assert_allclose(gradient[1], np.zeros(3), atol=1e-6)
    assert np.any(gradient[2] != 0)
