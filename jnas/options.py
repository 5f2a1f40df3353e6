"""Arguments of the commands: options, and a config with overrides.

Every field of the config is an option, `--search.epochs 10`.
"""

import argparse
import contextlib
import dataclasses
import difflib
import io
import re
import sys
from typing import Any

import tyro

from jnas import config as configs


class Parser(argparse.ArgumentParser):
  """Reports a wrong argument in one line."""

  def error(self, message: str) -> Any:
    """Raises instead of printing the usage and exiting."""
    raise ValueError(message)


def config_parser(
  command: str, description: str | None, *, workdir: bool = True
) -> Parser:
  """The parser of a command that works on a config.

  Args:
    command: its name.
    description: what it does.
    workdir: whether it has a run folder.
  """
  parser = Parser(
    prog=f"jnas {command}",
    description=description,
    add_help=False,
    allow_abbrev=False,
  )
  parser.add_argument(
    "--config", help="path ending in .py, or a name of `jnas list configs`"
  )
  if workdir:
    parser.add_argument("--workdir", help="run folder; default runs/NAME-sSEED")
  return parser


def add_json(parser: argparse.ArgumentParser) -> None:
  """Adds --json."""
  parser.add_argument(
    "--json", action="store_true", help="one JSON object on stdout"
  )


def read_config(
  parser: Parser, arguments: list[str]
) -> tuple[argparse.Namespace, configs.Config]:
  """Options of the command, and the config with its overrides.

  Raises:
    ValueError: for an option or a value that is not known, in one line.
    FileNotFoundError: for a config that is not there.
  """
  if "-h" in arguments or "--help" in arguments:
    parser.print_help()
    print("\nEvery field of the config can be overridden:\n")
    default = configs.Config(name="NAME")
    with contextlib.suppress(SystemExit):
      tyro.cli(configs.Config, prog=parser.prog, default=default, args=["-h"])
    sys.exit(0)
  options, rest = parser.parse_known_args(arguments)
  if options.config is None:
    raise ValueError(
      "--config is missing: give a path ending in .py, or one of "
      f"{', '.join(configs.shipped())}"
    )
  config = configs.load(options.config)
  return options, configs.check(_override(config, rest))


def _override(config: configs.Config, arguments: list[str]) -> configs.Config:
  """The config with fields replaced by `--field value`."""
  fields = _field_names(config)
  for argument in arguments:
    name = argument.split("=")[0]
    if not name.startswith("--"):
      continue
    plain = name.removeprefix("--").replace("-", "_")
    plain = re.sub(r"(^|\.)no_", r"\1", plain)
    if plain not in fields:
      near = difflib.get_close_matches(plain, fields, n=1, cutoff=0.5)
      hint = f"; did you mean --{near[0]}?" if near else ""
      raise ValueError(f"unknown option {name!r}{hint}")
  output = io.StringIO()
  try:
    with (
      contextlib.redirect_stderr(output),
      contextlib.redirect_stdout(output),
    ):
      return tyro.cli(configs.Config, default=config, args=arguments)
  except SystemExit as error:
    raise ValueError(_one_line(output.getvalue())) from error


def _field_names(config: configs.Config) -> list[str]:
  names = []
  for field in dataclasses.fields(config):
    value = getattr(config, field.name)
    if dataclasses.is_dataclass(value):
      names += [
        f"{field.name}.{inner.name}" for inner in dataclasses.fields(value)
      ]
    else:
      names.append(field.name)
  return names


def _one_line(message: str) -> str:
  """What a boxed message of several lines says."""
  text = re.sub(r"[\u2500-\u257f]", " ", message)
  text = re.sub(r"\s+", " ", text).strip()
  text = re.sub(r"For full helptext.*$", "", text).strip()
  return re.sub(r"^Parsing error ", "", text) or "arguments cannot be parsed"
