"""`jnas report`: the page of one run, or a comparison of several."""

import argparse
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from jnas import options as options_lib
from jnas.pipeline import display, folder
from jnas.report import comparison, page
from jnas.training import checkpoint

# Of a comparison, what its page shows, beside the page.
_NUMBERS = "comparison.json"


def parse(arguments: list[str]) -> argparse.Namespace:
  """The options of `jnas report`.

  Raises:
    ValueError: for an option that is unknown or has no meaning.
  """
  parser = options_lib.Parser(
    prog="jnas report",
    description="Writes report/index.html of a run folder, or a page that "
    "compares several.",
    allow_abbrev=False,
  )
  parser.add_argument("workdir", nargs="+", help="run folder")
  parser.add_argument(
    "--out",
    help="folder of the comparison; default `comparison` beside the first run",
  )
  options_lib.add_json(parser)
  options = parser.parse_args(arguments)
  if options.out is not None and len(options.workdir) == 1:
    raise ValueError(
      f"--out is {options.out!r} with one run, whose page is in its folder; "
      "give it with two runs or more"
    )
  return options


def run(options: argparse.Namespace) -> None:
  """Runs `jnas report`: prints the page's path, or one JSON object.

  Raises:
    ValueError: for what is no run folder, or one given twice.
    FileNotFoundError: for a folder that is not there.
  """
  paths = [pathlib.Path(path) for path in options.workdir]
  found: dict[str, Any] = {}
  if len(paths) == 1:
    folder.read_config(paths[0])
    written = page.write(paths[0])
  else:
    found = comparison.to_dict(paths)
    out = pathlib.Path(options.out or paths[0].parent / "comparison")
    checkpoint.check_writable(out)
    _say_what_goes(out / _NUMBERS, found)
    written = comparison.write(paths, out)
    folder.write_json(out / _NUMBERS, found)
  if options.json:
    found = found or comparison.to_dict(paths)
    print(json.dumps({"page": str(written), **found}))
  else:
    print(written)


def _say_what_goes(path: pathlib.Path, found: Mapping[str, Any]) -> None:
  """Says so where the comparison of other runs is about to be replaced."""
  try:
    before = _run_paths(json.loads(path.read_text(encoding="utf-8")))
  except (OSError, ValueError, KeyError, TypeError):
    return  # none was there, or nothing that can be read
  if before != _run_paths(found):
    display.say(
      f"{path.parent}: this replaces the comparison of "
      f"{', '.join(sorted(before))}; --out DIR keeps both"
    )


def _run_paths(found: Mapping[str, Any]) -> set[str]:
  return {str(pathlib.Path(run["path"]).resolve()) for run in found["runs"]}
