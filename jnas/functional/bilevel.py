"""DARTS's gradient of the validation loss, first and second order.

Second order looks one optimiser step ahead: how would the validation loss
move if the weights had followed the architecture?

Source: DARTS (arXiv:1806.09055), Eqs. (5)-(8); SPEC 3.1.
"""

import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from jnas.functional import numerics
from jnas.types import Array, PyTree

# (weights, architecture, batch) to the mean loss.
LossFn = Callable[[PyTree, PyTree, Any], Array]


def darts_grad(
  loss_fn: LossFn,
  w: PyTree,
  a: PyTree,
  batch_train: Any,
  batch_val: Any,
  *,
  order: int = 1,
  xi: Array | float = 0.0,
  momentum_buffer: PyTree | None = None,
  mu: float = 0.9,
  wd: float = 3e-4,
  hvp: Literal["exact", "fd"] = "exact",
) -> PyTree:
  """Gradient of the validation loss in the architecture.

  Source: DARTS, Eqs. (6)-(8); the arguments are those of
  `darts_value_and_grad`.
  """
  return darts_value_and_grad(
    loss_fn,
    w,
    a,
    batch_train,
    batch_val,
    order=order,
    xi=xi,
    momentum_buffer=momentum_buffer,
    mu=mu,
    wd=wd,
    hvp=hvp,
  )[1]


def darts_value_and_grad(
  loss_fn: LossFn,
  w: PyTree,
  a: PyTree,
  batch_train: Any,
  batch_val: Any,
  *,
  order: int = 1,
  xi: Array | float = 0.0,
  momentum_buffer: PyTree | None = None,
  mu: float = 0.9,
  wd: float = 3e-4,
  hvp: Literal["exact", "fd"] = "exact",
) -> tuple[Array, PyTree]:
  """Validation loss and its gradient in the architecture.

  Source: DARTS, Eqs. (6)-(8).
  Deviation: the product with the mixed second derivative is exact unless
  `hvp="fd"`, the paper's finite difference. On a smooth loss they differ by
  O(eps^2). At a kink (ReLU, max pool) the derivative says nothing, while the
  difference sees the gradient jump, the more sharply the smaller the batch.

  Args:
    loss_fn: (weights, architecture, batch) to the mean loss.
    w: the network's weights.
    a: architecture parameters.
    batch_train: for the step of the weights; not read at order 1.
    batch_val: for the loss.
    order: 1, or 2 to differentiate through a step of the weights. The
      keywords below belong to that step.
    xi: its size; the weight optimiser's learning rate.
    momentum_buffer: of the weight optimiser, like w; None for zeros.
    mu: its momentum.
    wd: its weight decay.
    hvp: how the mixed second derivative is multiplied.

  Returns:
    `[]` the loss, at the stepped weights if the order is 2, and the gradient,
    like `a`.

  Raises:
    ValueError: for an unknown `order` or `hvp`.
  """
  if order not in (1, 2) or hvp not in ("exact", "fd"):
    raise ValueError(
      f"order {order!r}, hvp {hvp!r}: the order must be 1 or 2, hvp one of "
      "exact, fd"
    )
  if order == 1:
    return jax.value_and_grad(loss_fn, argnums=1)(w, a, batch_val)
  product: Callable[[PyTree], PyTree]
  if hvp == "exact":
    # The pass that gives the gradient is the one to differentiate along v,
    # which is known only later.
    (grad, _), along = jax.linearize(
      lambda weights: jax.grad(loss_fn, argnums=(0, 1))(
        weights, a, batch_train
      ),
      w,
    )
    product = lambda v: along(v)[1]  # noqa: E731
  else:
    grad = jax.grad(loss_fn)(w, a, batch_train)
    product = functools.partial(
      finite_difference_product, loss_fn, w, a, batch_train
    )
  stepped = _step(w, grad, momentum_buffer, xi=xi, mu=mu, wd=wd)
  loss, (v, direct) = jax.value_and_grad(loss_fn, argnums=(0, 1))(
    stepped, a, batch_val
  )
  return loss, jax.tree.map(
    lambda d, p: d - xi * p, direct, product(v)
  )  # Eq. (7)


def unroll(
  loss_fn: LossFn,
  w: PyTree,
  a: PyTree,
  batch: Any,
  *,
  xi: Array | float,
  momentum_buffer: PyTree | None,
  mu: float,
  wd: float,
) -> PyTree:
  """The weights after one step of SGD with momentum.

  Source: DARTS, Eq. (6), with momentum and weight decay; SPEC 3.1.

  Args:
    loss_fn: (weights, architecture, batch) to the mean loss.
    w: the network's weights.
    a: architecture parameters.
    batch: a training batch.
    xi: step size.
    momentum_buffer: like w; None for zeros.
    mu: momentum.
    wd: weight decay.

  Returns:
    Weights like w.
  """
  grad = jax.grad(loss_fn)(w, a, batch)
  return _step(w, grad, momentum_buffer, xi=xi, mu=mu, wd=wd)


def _step(
  w: PyTree,
  grad: PyTree,
  momentum_buffer: PyTree | None,
  *,
  xi: Array | float,
  mu: float,
  wd: float,
) -> PyTree:
  if momentum_buffer is None:
    momentum_buffer = jax.tree.map(jnp.zeros_like, w)
  return jax.tree.map(
    lambda weight, moment, slope: (
      weight - xi * (mu * moment + slope + wd * weight)
    ),
    w,
    momentum_buffer,
    grad,
  )


def mixed_product(
  loss_fn: LossFn, w: PyTree, a: PyTree, batch: Any, v: PyTree
) -> PyTree:
  """The mixed second derivative d2 L / da dw times v, exactly.

  The gradient in `a` is differentiated forwards along v. That needs no
  gradient in the weights, and stores no more than one backward pass does.

  Source: DARTS, Eq. (7).

  Args:
    loss_fn: (weights, architecture, batch) to the mean loss.
    w: the network's weights.
    a: architecture parameters.
    batch: a training batch.
    v: like w.

  Returns:
    The product, like `a`.
  """

  def arch_grad(weights: PyTree) -> PyTree:
    return jax.grad(loss_fn, argnums=1)(weights, a, batch)

  return jax.jvp(arch_grad, (w,), (v,))[1]


def finite_difference_product(
  loss_fn: LossFn,
  w: PyTree,
  a: PyTree,
  batch: Any,
  v: PyTree,
  *,
  radius: float = 0.01,
) -> PyTree:
  """The same product by a central difference along v.

  Source: DARTS, Eq. (8) and its footnote: eps = 0.01 / ||v||.

  Args:
    loss_fn: (weights, architecture, batch) to the mean loss.
    w: the network's weights.
    a: architecture parameters.
    batch: a training batch.
    v: like w; the norm is over all of it.
    radius: distance of the two points from w, above 0.

  Returns:
    The product, like `a`; 0 where v is 0.
  """
  # A zero v gives eps = 0, two equal points and a quotient of 0.
  eps = numerics.safe_divide(jnp.asarray(radius), optax.tree.norm(v))

  def arch_grad(sign: int) -> PyTree:
    moved = jax.tree.map(lambda weight, d: weight + sign * eps * d, w, v)
    return jax.grad(loss_fn, argnums=1)(moved, a, batch)

  return jax.tree.map(
    lambda plus, minus: numerics.safe_divide(plus - minus, 2 * eps),
    arch_grad(1),
    arch_grad(-1),
  )
