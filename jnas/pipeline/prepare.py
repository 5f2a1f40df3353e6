"""`jnas prepare`: images as they were published, made ready for streaming."""

import argparse
import os
import pathlib
import time
from typing import Any

from jnas import config as configs
from jnas import options as options_lib
from jnas.data import array_records, imagenet_folders, streamed, tfds_builders
from jnas.pipeline import display
from jnas.training import checkpoint

SETS = ("imagenet2012",)


def parse(arguments: list[str]) -> argparse.Namespace:
  """The options of `jnas prepare`.

  Raises:
    ValueError: for an option that is unknown or has no meaning.
  """
  parser = options_lib.Parser(
    prog="jnas prepare",
    description="Makes TFDS's array_record files of ImageNet's folders.",
    allow_abbrev=False,
  )
  parser.add_argument("name", choices=SETS)
  parser.add_argument(
    "--from",
    dest="source",
    required=True,
    metavar="DIR",
    help="holds train/<wnid>/*.JPEG, and val/<wnid>/*.JPEG or val/*.JPEG",
  )
  parser.add_argument(
    "--to",
    dest="target",
    required=True,
    metavar="DIR",
    help="where to write; TFDS_DATA_DIR for the commands that use it",
  )
  parser.add_argument(
    "--val-labels",
    metavar="FILE",
    help="for val/*.JPEG that are not named as in the archive: WNID in each "
    "line, in the order of the files, or FILE WNID in each",
  )
  parser.add_argument(
    "--max-unreadable",
    type=int,
    default=configs.DataConfig().max_unreadable,
    metavar="N",
    help="damaged images that may be left out (default %(default)s)",
  )
  options_lib.add_json(parser)
  options = parser.parse_args(arguments)
  if options.max_unreadable < 0:
    raise ValueError(
      f"--max-unreadable is {options.max_unreadable}; it must be 0 or more"
    )
  return options


def run(options: argparse.Namespace) -> dict[str, Any]:
  """Runs `jnas prepare`, or goes on with it.

  Returns:
    What there is: the examples of each split, classes, files, bytes, images
    that were left out, seconds, and the folder.

  Raises:
    ValueError: for bad input, or packages that are missing.
    FileNotFoundError: for what is not there.
    streamed.UnreadableError: more images than allowed cannot be read.
    OSError: a file cannot be written.
  """
  began = time.monotonic()
  library = tfds_builders.import_tfds("jnas prepare")
  source, folder = pathlib.Path(options.source), pathlib.Path(options.target)
  builder = library.builder(
    options.name, data_dir=folder, file_format="array_record"
  )
  where = array_records.target(builder)
  labels = options.val_labels
  splits = imagenet_folders.find(
    source,
    builder.info.features["label"].names,
    val_labels=None if labels is None else pathlib.Path(labels),
    val_wnids=_val_wnids(library, options.name),
  )
  checkpoint.check_writable(folder)
  classes = {image.wnid for image in splits["train"]}
  _warn_of_gaps(builder, splits, classes)
  total = sum(len(images) for images in splits.values())
  # The limit is that of all runs of the command together: see `write`.
  faults = streamed.Faults(
    options.max_unreadable, display.warn, "--max-unreadable"
  )
  with display.progress(f"prepare {options.name}", total) as bar:
    written = array_records.write(
      where,
      splits,
      faults=faults,
      max_unreadable=options.max_unreadable,
      advance=bar.update,
    )
  return {
    **written.examples,
    "classes": len(classes),
    "files": written.shards,
    "bytes": written.num_bytes,
    "unreadable": written.unreadable,
    "seconds": time.monotonic() - began,
    "folder": str(where.final),
  }


def describe(result: dict[str, Any], options: argparse.Namespace) -> str:
  """The last line of the command."""
  left_out = result["unreadable"]
  return (
    f"{result['folder']}: {result['train']:,} training and "
    f"{result['validation']:,} validation images of {result['classes']:,} "
    f"classes in {result['files']:,} files of {result['bytes'] / 1e6:,.1f} MB, "
    f"{left_out} left out, in {result['seconds']:.1f} s; use it by "
    f"TFDS_DATA_DIR={options.target} and --data.source {options.name}"
  )


def _val_wnids(library: Any, name: str) -> list[str]:
  """The classes of the official validation images, as TFDS ships them."""
  path = pathlib.Path(os.path.dirname(library.__file__)) / "datasets" / name
  file = path / "validation_labels.txt"
  return file.read_text().split() if file.is_file() else []


def _warn_of_gaps(
  builder: Any,
  splits: dict[str, list[imagenet_folders.Labelled]],
  classes: set[str],
) -> None:
  known = builder.info.features["label"].num_classes
  if len(classes) < known:
    display.warn(
      f"images of {len(classes):,} of the {known:,} classes; labels stay those "
      "of all of them"
    )
  only = sorted({image.wnid for image in splits["validation"]} - classes)
  if only:
    raise ValueError(
      f"val/ has images of {len(only)} classes without training images, such "
      f"as {only[0]}"
    )
