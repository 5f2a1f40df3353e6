"""`jnas export`: a trained network as files that run without jnas.

Every file is read back and its logits compared with the network's own.
"""

import argparse
import dataclasses
import pathlib
import re
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jnas import genotype as genotypes
from jnas import options as options_lib
from jnas.data import augment
from jnas.data.base import Dataset
from jnas.export import card, files, source
from jnas.genotype import Genotype
from jnas.pipeline import display, epochs, folder, problem, stage, training
from jnas.training import checkpoint, keys, metrics
from jnas.training.keys import Stage
from jnas.training.state import TrainState

# Of a file's logits from the network's own, over the largest logit.
TOLERANCE = 1e-5
_NUM_IMAGES = 8


class MismatchError(RuntimeError):
  """An exported file computes something else than the network."""


def parse(arguments: list[str]) -> argparse.Namespace:
  """The options of `jnas export`.

  Raises:
    ValueError: for an option that is unknown or has no meaning.
  """
  parser = options_lib.Parser(
    prog="jnas export",
    description="Writes a trained network as StableHLO, weights and a "
    "stand-alone Python file, reads each back and compares its logits.",
    allow_abbrev=False,
  )
  parser.add_argument("workdir", help="run folder with a finished evaluation")
  parser.add_argument("--out", help="folder to write; default RUN/export")
  parser.add_argument(
    "--network",
    default="searched",
    help="searched (default), or random_0 and so on for a baseline",
  )
  parser.add_argument(
    "--weights",
    choices=("last", "best"),
    default="last",
    help="of the last epoch (default), or of the one with the best test "
    "accuracy, which is then no longer a fair measure",
  )
  parser.add_argument(
    "--formats",
    nargs="+",
    metavar="FORMAT",
    help=f"of {', '.join(files.FORMATS)}; default: all whose packages are "
    "installed (pip install 'jnas[export]'); npz is always written",
  )
  return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> pathlib.Path:
  """Runs `jnas export`.

  Returns:
    The folder written.

  Raises:
    ValueError: for bad input, before anything compiles.
    FileNotFoundError: without a run, or a trained network in it.
    MismatchError: if a file computes something else.
  """
  formats = _formats(options.formats)
  workdir = pathlib.Path(options.workdir)
  config = folder.read_config(workdir)
  run_folder = folder.open_run(config, workdir)
  path, genotype = _find_network(run_folder, options.network)
  if "python" in formats or "stablehlo" in formats:
    _refuse_noise(genotype)
  default = workdir / "export"
  if options.network != "searched":
    default = default / options.network
  best = options.weights == "best"
  if best:
    default = default / "best"
  out = pathlib.Path(options.out) if options.out else default
  checkpoint.check_writable(out)
  found = problem.prepare(config)
  dataset = problem.load_data(found)
  name = options.network.replace("_", " ")
  if best:
    name += ", best epoch,"
  trained, versions = _restore(
    found,
    dataset,
    run_folder,
    path,
    genotype,
    name,
    best=best,
  )
  if "python" in formats:  # refuses what it cannot write
    source.render(genotype, trained.plan, trained.settings, trained.facts)
  out.mkdir(parents=True, exist_ok=True)
  images = np.asarray(
    augment.normalize(
      jnp.asarray(dataset.test.head(_NUM_IMAGES)),
      dataset.mean,
      dataset.std,
    )
  )
  # Where float32 means float32, whatever else there is.
  with jax.default_device(jax.devices("cpu")[0]):
    differences = _write(formats, out, trained, images)
  _write_card(
    out,
    card.Card(
      facts=trained.facts,
      name=name,
      summary=folder.summary(path) or {},
      header=metrics.MetricsFile(path / "metrics.jsonl").read()[0],
      config=dataclasses.asdict(config),
      config_hash=run_folder.hash,
      versions=versions,
      genotype=genotype,
      files=[(files.FORMATS[f].file, files.FORMATS[f].what) for f in formats],
      differences=differences,
      num_images=len(images),
      best=best,
    ),
  )
  _check(differences, out)
  return out


def _formats(given: Sequence[str] | None) -> list[str]:
  """The formats to write, npz among them, in the table's order."""
  for name in given or ():
    if name not in files.FORMATS:
      raise ValueError(
        f"--formats: unknown format {name!r}; known are "
        f"{', '.join(files.FORMATS)}"
      )
    missing = files.FORMATS[name].missing()
    if missing:
      raise ValueError(
        f"--formats: {name} needs the package {', '.join(missing)}: pip "
        "install 'jnas[export]'"
      )
  if given:
    return [name for name in files.FORMATS if name in {"npz", *given}]
  chosen = []
  for name, kind in files.FORMATS.items():
    if missing := kind.missing():
      display.say(
        f"{kind.file} left out: it needs the package {', '.join(missing)} "
        "(pip install 'jnas[export]')"
      )
    else:
      chosen.append(name)
  return chosen


def _find_network(
  run_folder: folder.RunFolder, name: str
) -> tuple[pathlib.Path, Genotype]:
  """Folder and genotype of a network whose training has ended."""
  path = run_folder.evaluate
  trained = [p.name for p in sorted(path.glob("random_*")) if folder.summary(p)]
  if name != "searched" and not re.fullmatch(r"random_\d+", name):
    known = ", ".join(["searched", *trained])
    raise ValueError(f"--network is {name!r}; it must be one of {known}")
  if name != "searched":
    path = path / name
  if folder.summary(path) is None:
    raise FileNotFoundError(
      f"no trained network in {str(path)!r}: run `jnas evaluate` to its end "
      "first" + (f"; trained are {', '.join(trained)}" if trained else "")
    )
  file = run_folder.genotype if name == "searched" else path / "genotype.json"
  return path, genotypes.load(file)


def _refuse_noise(genotype: Genotype) -> None:
  """What is random at every call computes nothing that can be compared."""
  for cell in genotype.cells().values():
    if "noise" in cell.op_counts():
      raise ValueError(
        "the genotype has the operation 'noise', which is random at every "
        "call: only --formats npz safetensors can hold its network"
      )


def _restore(
  found: problem.Problem,
  dataset: Dataset,
  run_folder: folder.RunFolder,
  path: pathlib.Path,
  genotype: Genotype,
  name: str,
  *,
  best: bool,
) -> tuple[files.Trained, dict[str, str]]:
  """The network with the weights of a checkpoint, and its versions."""
  net = problem.derived_net(found, genotype)
  steps = training.make(found, dataset, net)
  base_key = keys.base(found.config.seed, Stage.EVALUATE, 1)

  def init() -> TrainState:
    state = training.init_state(steps, base_key, dataset.image_shape)
    return training.with_average(found.config.evaluate, state)

  cpu = jax.sharding.SingleDeviceSharding(jax.devices("cpu")[0])
  target = jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=cpu),
    jax.eval_shape(init),
  )
  with epochs.open_checkpoints(path, run_folder.hash) as checkpoints:
    restored = checkpoints.restore(target, best=best)
  if restored is None:
    raise FileNotFoundError(
      f"no checkpoint in {str(path / 'checkpoints')!r}: it holds the weights "
      "to export"
    )
  state = restored.state
  trained = files.Trained(
    net=net,
    variables=state.variables,
    genotype=genotype,
    plan=problem.evaluate_plan(found),
    settings=problem.derived_settings(found),
    facts=source.Facts(
      title=f"{found.config.name}, seed {found.config.seed}: {name} network",
      image_shape=dataset.image_shape,
      mean=dataset.mean,
      std=dataset.std,
      class_names=dataset.class_names,
    ),
  )
  return trained, restored.versions


def _write(
  formats: Sequence[str],
  out: pathlib.Path,
  trained: files.Trained,
  images: np.ndarray,
) -> dict[str, float]:
  """Writes the files; the difference of each from the network, by name."""
  stages = {name: files.FORMATS[name] for name in formats}
  for kind in stages.values():
    with display.waiting(f"writing {kind.file}"):
      kind.write(out / kind.file, trained)
  own = np.asarray(stage.jit(trained.logits)(images))
  differences = {}
  for kind in stages.values():
    with display.waiting(f"comparing {kind.file}"):
      logits = kind.run(out / kind.file, trained, images)
    differences[kind.file] = difference(own, logits)
    display.say(
      f"{out / kind.file}: largest difference {differences[kind.file]:.1e}"
    )
  return differences


def difference(own: np.ndarray, other: np.ndarray) -> float:
  """The largest difference of logits over the largest of `own`.

  Args:
    own: `[B, classes]`.
    other: the same; infinitely far if it is of another shape or not finite.
  """
  if own.shape != other.shape or not np.isfinite(other).all():
    return float("inf")
  scale = float(np.abs(own).max()) or 1.0
  return float(np.abs(own - other).max()) / scale


def _check(differences: dict[str, float], out: pathlib.Path) -> None:
  worst = max(differences, key=lambda name: differences[name])
  if not differences[worst] <= TOLERANCE:
    raise MismatchError(
      f"{out / worst} differs from the network by {differences[worst]:.1e} of "
      f"its largest logit; at most {TOLERANCE:.0e} is allowed"
    )


def _write_card(out: pathlib.Path, content: card.Card) -> None:
  (out / "MODEL_CARD.md").write_text(card.render(content), encoding="utf-8")
