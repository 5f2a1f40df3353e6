"""Commands that run the stages of a run, and write what came out."""

import json
from typing import Any

from jnas import options as options_lib
from jnas.commands import start


def run_command(arguments: list[str]) -> None:
  """All stages: search, select, evaluate, report."""
  parser = options_lib.config_parser("run", run_command.__doc__)
  options_lib.add_seeds(parser)
  options, config = options_lib.read_config(parser, arguments)
  runs = _per_seed(options, config, arguments)
  start.prepare_jax(options)
  from jnas.pipeline import display, folder, stage, together
  from jnas.pipeline import run as pipeline

  for seeded, workdir in runs:  # the last one too, before the first takes hours
    folder.open_run(seeded, workdir)
  with start.stoppable(stage.Stopped, display):
    if options.vmap:
      pipeline.check(config)
      together.run(*zip(*runs, strict=True))
    for seeded, workdir in runs:
      if len(runs) > 1:
        display.say(f"seed {seeded.seed}, in {workdir}")
      pipeline.run(seeded, workdir)
    if len(runs) > 1:
      folders = " ".join(str(workdir) for _, workdir in runs)
      display.say(f"compared by: jnas report {folders}")


def search_command(arguments: list[str]) -> None:
  """Searches for a genotype."""
  parser = options_lib.config_parser("search", search_command.__doc__)
  options_lib.add_seeds(parser)
  options, config = options_lib.read_config(parser, arguments)
  runs = _per_seed(options, config, arguments)
  start.prepare_jax(options)
  from jnas.pipeline import display, folder, search, stage, together

  for seeded, workdir in runs:
    folder.open_run(seeded, workdir)
  with start.stoppable(stage.Stopped, display):
    if options.vmap:
      together.run(*zip(*runs, strict=True))
    for seeded, workdir in runs:
      if len(runs) > 1:
        display.say(f"seed {seeded.seed}, in {workdir}")
      _print_genotype(search.run(seeded, workdir).genotype)
      display.say(_where("genotype.json, the searched supernet", workdir))


def select_command(arguments: list[str]) -> None:
  """Selects the genotype from the searched supernet, edge by edge."""
  parser = options_lib.config_parser("select", select_command.__doc__)
  parser.add_argument(
    "--from",
    dest="giver",
    metavar="RUN",
    help="run folder with a finished search, which becomes that of this run: "
    "several selections from one supernet. The configs may differ in name, "
    "selection and benchmark",
  )
  options, config = options_lib.read_config(parser, arguments)
  workdir = start.workdir(options.workdir, config)
  start.prepare_jax(options)
  from jnas.pipeline import display, reuse, select, stage

  with start.stoppable(stage.Stopped, display):
    if options.giver == "":
      raise ValueError("--from is empty; give the path of a run folder")
    if options.giver is not None:
      reuse.take(config, workdir, options.giver)
    result = select.run(config, workdir)
    _print_genotype(result.genotype)
    display.say(_where("genotype.json, that of the selection", workdir))


def evaluate_command(arguments: list[str]) -> None:
  """Trains the network of a genotype and random baselines."""
  parser = options_lib.config_parser("evaluate", evaluate_command.__doc__)
  parser.add_argument(
    "--genotype",
    help="file, text or published name; default: what the search found",
  )
  options, config = options_lib.read_config(parser, arguments)
  workdir = start.workdir(options.workdir, config)
  start.prepare_jax(options)
  from jnas.pipeline import display, evaluate, stage

  given = _genotype(options.genotype)
  with start.stoppable(stage.Stopped, display):
    result = evaluate.run(config, workdir, genotype=given)
    _print_results(result)
    display.say(_where("the trained networks", workdir))


def transfer_command(arguments: list[str]) -> None:
  """Trains a genotype's network, as large as a target allows."""
  from jnas.pipeline import display, stage, transfer

  options, config = transfer.parse(arguments)
  start.prepare_jax()
  with start.stoppable(stage.Stopped, display):
    transfer.run(options, config)


def segment_command(arguments: list[str]) -> None:
  """Trains a genotype's network to name the class of every pixel."""
  parser = options_lib.config_parser(
    "segment",
    "Trains a genotype's network with the head of DeepLabV3 on images with "
    "masks: data.source is voc:PATH, a folder laid out as VOC 2012, npz:PATH "
    "with train_masks and test_masks, or tfds:NAME of a set with "
    "segmentation_mask. The backbone is the network of "
    "evaluate, with the ImageNet stem; segment.backbone is a run whose trained "
    "weights it begins with.",
  )
  parser.add_argument(
    "--genotype",
    help="file, text or published name; default: the run's, or that of "
    "segment.backbone",
  )
  options_lib.add_json(parser)
  options, config = options_lib.read_config(parser, arguments)
  workdir = start.workdir(options.workdir, config)
  start.prepare_jax(options)
  from jnas.pipeline import display, segment, stage

  given = _genotype(options.genotype)
  with start.stoppable(stage.Stopped, display):
    result = segment.run(config, workdir, genotype=given)
    _print_segments(result, workdir, as_json=options.json)


def export_command(arguments: list[str]) -> None:
  """Writes a trained network as StableHLO, weights and a Python file."""
  from jnas.pipeline import export

  options = export.parse(arguments)
  start.prepare_jax()
  print(export.run(options))


def report_command(arguments: list[str]) -> None:
  """Writes the page of a run, or one that compares several."""
  from jnas.pipeline import report

  report.run(report.parse(arguments))


def _per_seed(options: Any, config: Any, arguments: list[str]) -> list[Any]:
  """The config and the folder of each run."""
  return [
    (seeded, start.workdir(workdir, seeded))
    for seeded, workdir in options_lib.per_seed(options, config, arguments)
  ]


def _where(what: str, workdir: Any) -> str:
  return f"in {workdir}: {what}; the page of all: jnas report {workdir}"


def _print_genotype(genotype: Any) -> None:
  """The DARTS form where it can say it, JSON elsewhere."""
  from jnas import genotype as genotypes

  try:
    print(genotypes.to_darts(genotype))
  except ValueError:
    print(genotypes.to_json(genotype))


def _print_segments(result: Any, workdir: Any, *, as_json: bool) -> None:
  """The final mean over the classes, and each class."""
  summary = result.summary
  if as_json:
    names = [name for name in summary if name.startswith(("test_", "best_"))]
    fields = {name: summary[name] for name in (*names, "params")}
    iou = dict(zip(result.class_names, summary["test_iou"], strict=True))
    print(json.dumps({"workdir": str(workdir), **fields, "test_iou": iou}))
    return
  print(
    f"test mIoU {summary['test_miou']:.2%} (best epoch "
    f"{summary['best_test_miou']:.2%}), pixels "
    f"{summary['test_pixel_accuracy']:.2%}"
  )


def _print_results(result: Any) -> None:
  print(f"test accuracy {result.summary['test_accuracy']:.2%}")
  for index, baseline in enumerate(result.baselines):
    print(f"random {index} test accuracy {baseline['test_accuracy']:.2%}")


def _genotype(text: str | None) -> Any:
  """The genotype that --genotype stands for, None where it is not given."""
  from jnas import genotype as genotypes

  return None if text is None else genotypes.parse(text)
