"""`jnas export`: a trained network as files that run without jnas.

Every file is read back and its logits compared with the network's own.
"""

import argparse
import dataclasses
import pathlib
from collections.abc import Sequence

import jax
import numpy as np

from jnas import options as options_lib
from jnas.export import card, files, source
from jnas.pipeline import display, exportable, folder, stage
from jnas.training import checkpoint, metrics

# Of a file's logits from the network's own, over the largest logit.
TOLERANCE = 1e-5


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
    help="searched (default), random_0 and so on for a baseline, or segmented "
    "for that of `jnas segment`",
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
  given = options.formats or []
  _check_formats(given)
  workdir = pathlib.Path(options.workdir)
  config = folder.read_config(workdir)
  run_folder = folder.open_run(config, workdir)
  network = exportable.find(run_folder, options.network)
  default = workdir / "export"
  if options.network != "searched":
    default = default / options.network
  best = options.weights == "best"
  if best and network.pixels:
    raise ValueError(
      "--weights is 'best'; of a network for pixels it must be 'last', the "
      "only ones that `jnas segment` keeps"
    )
  if best:
    default = default / "best"
  out = pathlib.Path(options.out) if options.out else default
  checkpoint.check_writable(out)
  name = options.network.replace("_", " ")
  if best:
    name += ", best epoch,"
  trained, images, versions = exportable.load(
    run_folder, network, name, best=best
  )
  formats = _formats(given, network, trained)
  out.mkdir(parents=True, exist_ok=True)
  # Where float32 means float32, whatever else there is.
  with jax.default_device(jax.devices("cpu")[0]):
    differences = _write(formats, out, trained, images)
  _write_card(
    out,
    card.Card(
      facts=trained.facts,
      origin=network.origin,
      summary=folder.summary(network.path) or {},
      header=metrics.MetricsFile(network.path / "metrics.jsonl").read()[0],
      config=dataclasses.asdict(config),
      config_hash=run_folder.hash,
      versions=versions,
      genotype=network.genotype,
      files=[(files.FORMATS[f].file, files.FORMATS[f].what) for f in formats],
      differences=differences,
      num_images=len(images),
      best=best,
    ),
  )
  _check(differences, out)
  return out


def _check_formats(given: Sequence[str]) -> None:
  """Refuses a format that is unknown, or whose packages are not there."""
  for name in given:
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


def _formats(
  given: Sequence[str], network: exportable.Network, trained: files.Trained
) -> list[str]:
  """The formats to write, npz among them, in the table's order.

  Raises:
    ValueError: for a format, asked for, that cannot hold the network.
  """
  why_not = _cannot_hold(network, trained)
  for name in given:
    if name in why_not:
      rest = [other for other in given if other != name]
      raise ValueError(
        f"--formats: {files.FORMATS[name].file} cannot be written: "
        f"{why_not[name]}; leave it out"
        + (f": --formats {' '.join(rest)}" if rest else "")
      )
  if given:
    return [name for name in files.FORMATS if name in {"npz", *given}]
  for name, kind in files.FORMATS.items():
    if missing := kind.missing():
      why_not[name] = (
        f"it needs the package {', '.join(missing)} (pip install "
        "'jnas[export]')"
      )
  for name, reason in why_not.items():
    display.say(f"{files.FORMATS[name].file} left out: {reason}")
  return [name for name in files.FORMATS if name not in why_not]


def _cannot_hold(
  network: exportable.Network, trained: files.Trained
) -> dict[str, str]:
  """The formats that cannot hold a network, and why."""
  if any(
    "noise" in cell.op_counts() for cell in network.genotype.cells().values()
  ):
    reason = "the operation 'noise' is random at every call"
    return {"stablehlo": reason, "python": reason}
  if network.pixels:
    return {"python": "it is for classifiers; network.stablehlo has all of it"}
  try:
    source.render(
      network.genotype, trained.plan, trained.settings, trained.facts
    )
  except ValueError as error:
    return {"python": str(error)}
  return {}


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
    own: `[B, classes]`, or `[B, H, W, classes]`.
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
