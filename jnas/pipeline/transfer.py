"""`jnas transfer`: a genotype's network, as large as a target allows, trained.

Source: DARTS, Sec. 3.3: cells found on CIFAR-10, on ImageNet with less than
600 M multiply-adds; SPEC 2.3.
"""

import argparse
import dataclasses
import json
import operator
import pathlib
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from jnas import config as configs
from jnas import genotype as genotypes
from jnas import options as options_lib
from jnas.genotype import Genotype
from jnas.nets import count
from jnas.pipeline import display, evaluate, folder, networks, problem
from jnas.pipeline.genotype import IMAGENET_SIZE

_UNITS = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9}
_MEASURES = tuple(field.name for field in dataclasses.fields(count.Count))
# More channels than any network has.
_MOST = 2**20


class Target(NamedTuple):
  """What a network may cost.

  Attributes:
    text: as it was given.
    measure: a field of `count.Count`.
    is_met: whether a value of the measure is allowed.
  """

  text: str
  measure: str
  is_met: Callable[[int], bool]


class Sized(NamedTuple):
  """The network that meets a target.

  Attributes:
    channels: C of its first cell.
    counted: what it costs.
    next_channels: the next larger number that makes a network.
    next_counted: what that costs, more than the target allows.
  """

  channels: int
  counted: count.Count
  next_channels: int
  next_counted: count.Count


def parse(arguments: list[str]) -> tuple[argparse.Namespace, configs.Config]:
  """The options of `jnas transfer`, and the config with its overrides.

  Raises:
    ValueError: for an option or a value that is not known.
    FileNotFoundError: for a config that is not there.
  """
  parser = options_lib.config_parser(
    "transfer",
    "Finds the number of channels with which a genotype's network is as large "
    "as the target allows, and trains it as `jnas evaluate` does. Cells, stem "
    "and images are the config's; random cells are of the space of the run, if "
    "one is given.",
  )
  parser.add_argument(
    "genotype", help="run folder; or file, text or published name"
  )
  parser.add_argument(
    "--target",
    required=True,
    help=f"one of {', '.join(_MEASURES)} with a limit, such as 'madds<600M'",
  )
  parser.add_argument(
    "--count", action="store_true", help="print the numbers and train nothing"
  )
  options_lib.add_json(parser)
  return options_lib.read_config(parser, arguments)


def run(options: argparse.Namespace, config: configs.Config) -> None:
  """Runs `jnas transfer`.

  Raises:
    ValueError: for bad input, or a target that no network meets.
    FileNotFoundError: for a genotype that is not there.
    stage.Stopped: if a signal asked to stop; the state is saved.
  """
  target = parse_target(options.target)
  genotype, space = _read_genotype(options.genotype)
  if space not in (None, config.space):
    display.say(f"space {space!r}, that of {options.genotype}")
    config = dataclasses.replace(config, space=space)
  sized = fit(config, genotype, target)
  if not options.json:
    print(_describe(sized, target))
  result: dict[str, Any] = {
    "channels": sized.channels,
    "target": target.text,
    **dataclasses.asdict(sized.counted),
  }
  if not options.count:
    config = _with_channels(config, sized.channels)
    workdir = options.workdir
    if workdir is None:
      workdir = f"runs/{config.name}-transfer-s{config.seed}"
    trained = evaluate.run(config, pathlib.Path(workdir), genotype=genotype)
    accuracy = trained.summary["test_accuracy"]
    baselines = [line["test_accuracy"] for line in trained.baselines]
    result |= {
      "workdir": str(workdir),
      "test_accuracy": accuracy,
      "random_test_accuracies": baselines,
    }
    if not options.json:
      print(f"test accuracy {accuracy:.2%}")
      for index, value in enumerate(baselines):
        print(f"random {index} test accuracy {value:.2%}")
  if options.json:
    print(json.dumps(result))


def parse_target(text: str) -> Target:
  """Reads a limit such as "madds<600M" or "params<=5.5M".

  Raises:
    ValueError: for what is none.
  """
  found = re.fullmatch(r"\s*(\w+)\s*(<=|<)\s*([\d_.]+)\s*([kKMG]?)\s*", text)
  try:
    limit = float(found[3]) * _UNITS[found[4]] if found else 0.0
  except ValueError:
    limit = 0.0
  if not found or limit <= 0 or found[1] not in _MEASURES:
    raise ValueError(
      f"--target is {text!r}; it must be one of {', '.join(_MEASURES)}, < or "
      "<=, and a number above 0 with k, M, G or nothing, such as 'madds<600M'"
    )
  compare = operator.le if found[2] == "<=" else operator.lt
  return Target(text, found[1], lambda value: compare(value, limit))


def fit(config: configs.Config, genotype: Genotype, target: Target) -> Sized:
  """The largest network of a genotype that meets a target.

  Args:
    config: of the data, and of cells and stem; its number of channels does not
      count.
    genotype: of the network.
    target: what it may cost.

  Raises:
    ValueError: if the smallest network is too large, or none can be built.
  """
  found = problem.prepare(config)
  height = found.info.image_shape[0]
  if height >= IMAGENET_SIZE and config.evaluate.stem != "imagenet":
    raise ValueError(
      f"evaluate.stem is {config.evaluate.stem!r} with images of {height} "
      f"pixels a side; it must be 'imagenet' from {IMAGENET_SIZE} on"
    )
  # Refuses what is wrong for any number of channels.
  networks.derived_net(_resize(found, _MOST), genotype)

  def measure(channels: int) -> count.Count | None:
    return _measure(_resize(found, channels), genotype)

  def is_met(counted: count.Count | None) -> bool:
    return counted is None or target.is_met(getattr(counted, target.measure))

  if is_met(measure(_MOST)):
    raise ValueError(
      f"--target is {target.text!r}: a network of {_MOST:,} channels meets it; "
      "give a smaller limit"
    )
  # Costs grow with the channels, of which every even number makes a network
  # unless it is too small for any.
  low, high = 0, _MOST
  while high - low > 2:
    middle = (low + high) // 4 * 2
    low, high = (middle, high) if is_met(measure(middle)) else (low, middle)
  between = measure(low + 1)
  if between is not None:
    low, high = (low + 1, high) if is_met(between) else (low, low + 1)
  counted, next_counted = measure(low) if low else None, measure(high)
  assert next_counted is not None
  if counted is None:
    value = getattr(next_counted, target.measure)
    raise ValueError(
      f"--target is {target.text!r}: the smallest network, of {high} channels, "
      f"has {value:,} {target.measure}; allow more, or take fewer "
      f"evaluate.cells than {config.evaluate.cells}"
    )
  return Sized(low, counted, high, next_counted)


def _measure(found: problem.Problem, genotype: Genotype) -> count.Count | None:
  """What a network costs; None where so few channels make none."""
  try:
    plan = networks.evaluate_plan(found)
  except ValueError:
    return None
  height, _, channels = found.info.image_shape
  settings = networks.derived_settings(found)
  return found.family.count_derived(genotype, plan, height, channels, settings)


def _resize(found: problem.Problem, channels: int) -> problem.Problem:
  config = _with_channels(found.config, channels)
  return dataclasses.replace(found, config=config)


def _with_channels(config: configs.Config, channels: int) -> configs.Config:
  changed = dataclasses.replace(config.evaluate, channels=channels)
  return dataclasses.replace(config, evaluate=changed)


def _read_genotype(text: str) -> tuple[Genotype, str | None]:
  """The genotype that a run folder holds, or that a text stands for.

  Returns:
    The genotype, and the space of the run, from which random cells are then
    drawn too; None where there is no run.
  """
  path = pathlib.Path(text)
  if not (len(text) < 1000 and path.is_dir()):
    return genotypes.parse(text), None
  run = folder.open_made(path)
  return folder.load_genotype(run), run.config.space


def _describe(sized: Sized, target: Target) -> str:
  name = target.measure
  counted = sized.counted
  return (
    f"evaluate.channels {sized.channels}: {counted.params:,} parameters, "
    f"{counted.madds:,} multiply-adds ({target.text}; with "
    f"{sized.next_channels}: {name} {getattr(sized.next_counted, name):,})"
  )
