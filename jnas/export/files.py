"""The files of an export: how each is written, read back and run.

Source: jax.export, whose files hold portable StableHLO.
"""

import importlib.util
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.export
import numpy as np

from jnas.export import source, weights
from jnas.genotype import Genotype
from jnas.ops import Settings
from jnas.types import PyTree

PLATFORMS = ("cpu", "cuda", "tpu")


class Trained(NamedTuple):
  """A derived network and what it learned.

  Attributes:
    net: the network.
    variables: its `params` and `batch_stats`.
    genotype: its cells.
    plan: its layout.
    settings: of its operations.
    facts: what network.py says besides.
  """

  net: nn.Module
  variables: Mapping[str, PyTree]
  genotype: Genotype
  plan: Any
  settings: Settings
  facts: source.Facts

  def logits(self, images: jax.Array, variables: Any = None) -> jax.Array:
    """Logits of normalised images `[B, H, W, channels]`.

    Args:
      images: normalised.
      variables: in place of its own.

    Returns:
      `[B, classes]`, or `[B, H, W, classes]` of a network for pixels.
    """
    outputs: Any = self.net.apply(
      self.variables if variables is None else variables,
      images,
      train=False,
      # The operation 'noise' needs one; the same noise at every comparison.
      rngs={"noise": jax.random.key(0)},
    )
    return outputs if isinstance(outputs, jax.Array) else outputs.logits


class Format(NamedTuple):
  """A kind of file.

  Attributes:
    file: its name.
    what: what is in it.
    write: `(path, trained)`.
    run: `(path, trained, images) -> logits`, from what is in the file.
    needs: packages that jnas does not depend on.
  """

  file: str
  what: str
  write: Callable[[pathlib.Path, Trained], None]
  run: Callable[[pathlib.Path, Trained, np.ndarray], np.ndarray]
  needs: tuple[str, ...] = ()

  def missing(self) -> list[str]:
    """The packages it needs that are not installed."""
    return [
      name for name in self.needs if importlib.util.find_spec(name) is None
    ]


def _write_stablehlo(path: pathlib.Path, trained: Trained) -> None:
  """The network with its weights, for any number of images."""
  batch = jax.export.symbolic_shape("b")
  images = jax.ShapeDtypeStruct(
    (*batch, *trained.facts.image_shape), np.float32
  )
  exported = jax.export.export(jax.jit(trained.logits), platforms=PLATFORMS)(
    images
  )
  path.write_bytes(exported.serialize())


def _run_stablehlo(
  path: pathlib.Path, trained: Trained, images: np.ndarray
) -> np.ndarray:
  del trained
  exported = jax.export.deserialize(bytearray(path.read_bytes()))
  # Several batches of other sizes: the number of images is free.
  first = np.asarray(exported.call(images[:1]))
  return np.concatenate([first, exported.call(images[1:])])


def _flatten(trained: Trained) -> dict[str, np.ndarray]:
  return weights.flatten(trained.variables, trained.genotype, trained.plan)


def _run_arrays(
  flat: Mapping[str, np.ndarray], trained: Trained, images: np.ndarray
) -> np.ndarray:
  variables = weights.restore(
    flat, trained.variables, trained.genotype, trained.plan
  )
  return np.asarray(jax.jit(trained.logits)(images, variables))


def _write_source(path: pathlib.Path, trained: Trained) -> None:
  text = source.render(
    trained.genotype, trained.plan, trained.settings, trained.facts
  )
  path.write_text(text, encoding="utf-8")


def _run_source(
  path: pathlib.Path, trained: Trained, images: np.ndarray
) -> np.ndarray:
  del trained
  spec = importlib.util.spec_from_file_location("jnas_exported", path)
  assert spec is not None and spec.loader is not None
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return np.asarray(jax.jit(module.Network().apply)(module.load(), images))


FORMATS = {
  "stablehlo": Format(
    "network.stablehlo",
    f"network and weights, jax.export for {', '.join(PLATFORMS)}",
    _write_stablehlo,
    _run_stablehlo,
    needs=("flatbuffers",),
  ),
  "npz": Format(
    "network.npz",
    "weights by name, NumPy",
    lambda path, trained: weights.write_npz(path, _flatten(trained)),
    lambda path, trained, images: _run_arrays(
      weights.read_npz(path), trained, images
    ),
  ),
  "safetensors": Format(
    "network.safetensors",
    "the same weights as safetensors",
    lambda path, trained: weights.write_safetensors(path, _flatten(trained)),
    lambda path, trained, images: _run_arrays(
      weights.read_safetensors(path), trained, images
    ),
    needs=("safetensors",),
  ),
  "python": Format(
    "network.py",
    "the network in plain Flax, loads network.npz",
    _write_source,
    _run_source,
  ),
}
