"""The trained networks of a run folder, as `jnas export` takes them."""

import pathlib
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jnas import genotype as genotypes
from jnas.data import augment
from jnas.export import files, source
from jnas.genotype import Genotype
from jnas.pipeline import (
  epochs,
  folder,
  networks,
  problem,
  segment,
  segmenting,
  training,
)
from jnas.training import keys
from jnas.training.keys import Stage
from jnas.training.state import TrainState

# The network of `jnas segment`, which gives logits of every pixel.
SEGMENTED = "segmented"
# Images that exported files are compared on: of those, as they are large.
_NUM_IMAGES, _NUM_SCENES = 8, 2


class Network(NamedTuple):
  """A network whose training has ended.

  Attributes:
    path: folder of its training.
    genotype: its cells.
    origin: "search", "random", or "given" by hand.
    pixels: whether its logits are of every pixel.
  """

  path: pathlib.Path
  genotype: Genotype
  origin: str
  pixels: bool


class Loaded(NamedTuple):
  """A network with its weights, and what to compare files on.

  Attributes:
    trained: the network, the weights, and facts.
    images: `[N, H, W, channels]` normalised test images.
    versions: of the packages that it was trained with.
  """

  trained: files.Trained
  images: np.ndarray
  versions: dict[str, str]


class _Made(NamedTuple):
  """What a kind of network is made of.

  Attributes:
    found: the problem.
    net: the module.
    init: gives the state that its training began with.
    statistics: mean and standard deviation of the channels.
    class_names: by label.
    images: `[N, H, W, channels]` uint8 test images.
  """

  found: problem.Problem
  net: nn.Module
  init: Callable[[], TrainState]
  statistics: tuple[Sequence[float], Sequence[float]]
  class_names: tuple[str, ...]
  images: np.ndarray


def find(run_folder: folder.RunFolder, name: str) -> Network:
  """The network of a name: "searched", "random_0" and so on, "segmented".

  Raises:
    ValueError: for a name that there is not.
    FileNotFoundError: for a network that is not trained to its end.
  """
  path, genotype = run_folder.evaluate, run_folder.genotype
  trained = [p.name for p in sorted(path.glob("random_*")) if folder.summary(p)]
  command = "evaluate"
  if name == SEGMENTED:
    path, command = run_folder.segment, "segment"
  elif re.fullmatch(r"random_\d+", name):
    path = path / name
    genotype = path / "genotype.json"
  elif name != "searched":
    known = ", ".join(["searched", *trained, SEGMENTED])
    raise ValueError(f"--network is {name!r}; it must be one of {known}")
  if folder.summary(path) is None:
    if folder.summary(run_folder.segment) is not None:
      trained.append(SEGMENTED)
    raise FileNotFoundError(
      f"no trained network in {str(path)!r}: run `jnas {command}` to its end "
      "first" + (f"; trained are {', '.join(trained)}" if trained else "")
    )
  origin = "search"
  if name.startswith("random"):
    origin = "random"
  elif genotypes.read_provenance(genotype).get("step") == 0:
    origin = "given"
  return Network(path, genotypes.load(genotype), origin, name == SEGMENTED)


def load(
  run_folder: folder.RunFolder, network: Network, name: str, *, best: bool
) -> Loaded:
  """Reads the weights of a network.

  Args:
    run_folder: the run.
    network: from `find`.
    name: for people.
    best: whether to take the weights of the best epoch, not of the last.

  Raises:
    ValueError: for bad input, before anything compiles.
    FileNotFoundError: if there are no weights.
  """
  make = _make_segmenter if network.pixels else _make_classifier
  made = make(run_folder, network.genotype)
  cpu = jax.sharding.SingleDeviceSharding(jax.devices("cpu")[0])
  target = jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=cpu),
    jax.eval_shape(made.init),
  )
  with epochs.open_checkpoints(network.path, run_folder.hash) as checkpoints:
    restored = checkpoints.restore(target, best=best)
  if restored is None:
    raise FileNotFoundError(
      f"no checkpoint in {str(network.path / 'checkpoints')!r}: it holds the "
      "weights to export"
    )
  config = run_folder.config
  mean, std = made.statistics
  height, width, channels = made.images.shape[1:]
  trained = files.Trained(
    net=made.net,
    variables=restored.state.variables,
    genotype=network.genotype,
    plan=networks.evaluate_plan(made.found),
    settings=networks.derived_settings(made.found),
    facts=source.Facts(
      title=f"{config.name}, seed {config.seed}: {name} network",
      image_shape=(height, width, channels),
      mean=mean,
      std=std,
      class_names=made.class_names,
    ),
  )
  images = augment.normalize(jnp.asarray(made.images), mean, std)
  return Loaded(trained, np.asarray(images), restored.versions)


def _make_classifier(run_folder: folder.RunFolder, genotype: Genotype) -> _Made:
  config = run_folder.config
  found = problem.prepare(config)
  dataset = problem.load_data(found)
  net = networks.derived_net(found, genotype)
  steps = training.make(found, dataset, net)

  def init() -> TrainState:
    key = keys.base(config.seed, Stage.EVALUATE, 1)
    state = training.init_state(steps, key, dataset.image_shape)
    return training.with_average(config.evaluate, state)

  return _Made(
    found,
    net,
    init,
    (dataset.mean, dataset.std),
    dataset.class_names,
    dataset.test.head(_NUM_IMAGES),
  )


def _make_segmenter(run_folder: folder.RunFolder, genotype: Genotype) -> _Made:
  config = run_folder.config
  found = segment.prepare(config)
  dataset = segment.load_data(found)
  net = segment.build(found, genotype)
  steps = segmenting.make(found, dataset, net)

  def init() -> Any:
    key = keys.base(config.seed, Stage.SEGMENT)
    return training.init_state(steps, key, found.info.image_shape)

  number = min(_NUM_SCENES, len(dataset.test))
  images = [dataset.test.example(index, None)[0] for index in range(number)]
  return _Made(
    found,
    net,
    init,
    (dataset.mean, dataset.std),
    tuple(dataset.class_names),
    np.stack(images),
  )
