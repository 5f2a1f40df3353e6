"""Four devices give what one gives, and move no images to do it."""

import json
import os
import subprocess
import sys

from jnas.native import library

PROGRAM = """
import functools, json, re
import jax, jax.numpy as jnp, numpy as np
jax.config.update("jax_num_cpu_devices", 4)
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
from jnas.native import lowering

def gradients(x, kernel):
  def loss(x, kernel):
    x = lowering.depthwise_conv(
        x, kernel, stride=1, dilation=2, relu=True)
    statistics = jnp.zeros((1, 9)), jnp.ones((1, 9))
    x = lowering.dense_conv(  # 9 x 7 pairs: few enough for short rows
        x, kernel[..., None] * matrix[..., :7], strides=(1, 1), dilation=1)
    x = jnp.concatenate([x, x[..., :2]], axis=-1)
    x, mean, var = lowering.normalize(x, *statistics, eps=1e-5, momentum=0.9)
    x, mean, var = lowering.separable_norm(
        x, kernel, matrix, mean, var, stride=1, dilation=1, eps=1e-5,
        momentum=0.9)
    weights = jnp.stack([kernel[0, 0, 0, :2], kernel[0, 1, 1, :2]])
    x = sum(lowering.mix(weights, [x, 2 * x[:1]], [x[0], x[0]]))
    x = lowering.max_pool(x, stride=2)
    return jnp.sin(x).sum(), (mean, var)
  return jax.value_and_grad(loss, (0, 1), has_aux=True)(x, kernel)

def flatten(tree):
  return [np.asarray(a) for a in jax.tree.leaves(tree)]

mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
random = np.random.default_rng(0)
kernel = jnp.asarray(random.normal(size=(1, 3, 3, 9)), jnp.float32)
matrix = jnp.asarray(random.normal(size=(1, 9, 9)), jnp.float32)
report = {}
for batch in (8, 6):
  x = jnp.asarray(random.normal(3, 1, (1, batch, 5, 4, 9)), jnp.float32)
  one = flatten(jax.jit(gradients)(x, kernel))
  split = P(None, "data") if batch % 4 == 0 else P()
  xs = jax.device_put(x, NamedSharding(mesh, split))
  ks = jax.device_put(kernel, NamedSharding(mesh, P()))
  compiled = jax.jit(gradients).lower(xs, ks).compile()
  four = flatten(compiled(xs, ks))
  report[f"worst_{batch}"] = max(
      float(np.abs(a - b).max() / max(1, np.abs(a).max()))
      for a, b in zip(one, four))
  text = compiled.as_text()
  report[f"moves_{batch}"] = re.findall(
      r"= [^=]*(all-gather|all-to-all|collective-permute)\\(", text)
  report[f"kernels_{batch}"] = len(re.findall(r"custom-call\\(", text))
  report[f"dense_{batch}"] = text.count("jnas_dense_convolve")

x = jnp.asarray(random.normal(size=(8, 5, 5, 3)), jnp.float32)
pool = functools.partial(lowering.avg_pool, stride=1)
with jax.set_mesh(mesh):
  xs = jax.device_put(x, NamedSharding(mesh, P("data")))
  report["mesh"] = float(jnp.abs(jax.jit(pool)(xs) - pool(x)).max())
manual = jax.jit(jax.shard_map(
    pool, mesh=mesh, in_specs=P("data"), out_specs=P("data"),
    check_vma=False))
report["manual"] = float(jnp.abs(manual(x) - pool(x)).max())
print(json.dumps(report))
"""


def test_four_devices_give_what_one_gives():
  done = subprocess.run(
    [sys.executable, "-c", PROGRAM],
    env=os.environ | {"JAX_PLATFORMS": "cpu"},
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  report = json.loads(done.stdout)
  for name in ("worst_8", "worst_6", "mesh", "manual"):
    assert report[name] < 2e-5, (name, report)
  assert report["moves_8"] == []
  # Six images cannot be shared out to four devices: XLA takes over.
  assert (report["kernels_8"] > 0) == library.load().is_loaded
  assert report["kernels_6"] == 0
  assert (report["dense_8"] > 0) == library.load().is_loaded
