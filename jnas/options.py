"""Arguments of the commands: options, and a config with overrides.

Every field of the config is an option, `--search.epochs 10`.
"""

import argparse
import contextlib
import dataclasses
import difflib
import io
import itertools
import re
import sys
from typing import Any

import tyro

from jnas import config as configs
from jnas import machines, presets


class Parser(argparse.ArgumentParser):
  """Reports a wrong argument in one line."""

  def error(self, message: str) -> Any:
    """Raises instead of printing the usage and exiting."""
    raise ValueError(message)


def config_parser(
  command: str,
  description: str | None,
  *,
  workdir: bool = True,
  devices: bool = True,
) -> Parser:
  """The parser of a command that works on a config.

  Args:
    command: its name.
    description: what it does.
    workdir: whether it has a run folder.
    devices: whether it can use several devices.
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
    machines.add_processes(parser)
  if devices:
    machines.add_devices(parser)
  return parser


def add_seeds(parser: argparse.ArgumentParser) -> None:
  """Adds --seeds and --vmap."""
  parser.add_argument(
    "--seeds",
    type=int,
    nargs="+",
    metavar="SEED",
    help="runs one after another, each as with --seed and in a folder of its "
    "own: runs/NAME-sSEED, or with --workdir W: W-sSEED",
  )
  parser.add_argument(
    "--vmap",
    action="store_true",
    help="with --seeds: searches all of them at once, in one compiled program "
    "mapped over the seeds, which the devices share; for small searches",
  )


def per_seed(
  options: argparse.Namespace, config: configs.Config, arguments: list[str]
) -> list[tuple[configs.Config, str | None]]:
  """The runs that --seeds asks for, or the one without it.

  Args:
    options: of the command.
    config: with its overrides.
    arguments: that both were read from.

  Returns:
    The config and the --workdir of each run, in the order given.

  Raises:
    ValueError: naming the value found and the values allowed.
  """
  if options.seeds is None:
    if options.vmap:
      raise ValueError("--vmap without --seeds: give the seeds to search")
    return [(config, options.workdir)]
  names = {argument.partition("=")[0] for argument in arguments}
  if "--seed" in names:
    raise ValueError(
      f"--seed is {config.seed} and --seeds is "
      f"{' '.join(map(str, options.seeds))}; give one of the two"
    )
  for seed in options.seeds:
    if options.seeds.count(seed) > 1:
      raise ValueError(
        f"--seeds has {seed} more than once; each seed must be there once"
      )
  return [
    (
      configs.check(dataclasses.replace(config, seed=seed)),
      options.workdir and f"{options.workdir}-s{seed}",
    )
    for seed in options.seeds
  ]


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
      "--config is missing: give a path ending in .py, or one of `jnas list "
      "configs`, such as quickstart"
    )
  config = configs.load(options.config)
  preset, rest = _take_preset(rest, config.preset)
  # What the authors set depends on the method and the selection asked for.
  chosen = config if preset == "paper" else _override(config, rest)
  config = presets.apply(config, preset, chosen=chosen)
  return options, configs.check(_override(config, rest))


def _take_preset(arguments: list[str], default: str) -> tuple[str, list[str]]:
  """The preset asked for, and the other arguments, which come after it."""
  parser = Parser(add_help=False, allow_abbrev=False)
  parser.add_argument("--preset", default=default)
  options, rest = parser.parse_known_args(arguments)
  return options.preset, rest


def _override(config: configs.Config, arguments: list[str]) -> configs.Config:
  """The config with fields replaced by `--field value`."""
  fields = configs.flatten(config)
  known = [name for name in fields if not name.startswith("method.settings.")]
  known.append("method.settings")
  for argument, following in itertools.zip_longest(arguments, arguments[1:]):
    name, equals, value = argument.partition("=")
    if not name.startswith("--"):
      continue
    plain = name.removeprefix("--").replace("-", "_")
    plain = re.sub(r"(^|\.)no_", r"\1", plain)
    if plain not in known:
      near = difflib.get_close_matches(plain, known, n=1, cutoff=0.5)
      hint = f"; did you mean --{near[0]}?" if near else ""
      raise ValueError(f"unknown option {name!r}{hint}")
    if isinstance(fields.get(plain), bool):
      value = value if equals else following
      if equals or (value is not None and not value.startswith("--")):
        section, _, field = plain.rpartition(".")
        raise ValueError(
          f"{name} takes no value; found {value!r}: give --{plain} or "
          f"--{section}.no-{field.replace('_', '-')}"
        )
  output = io.StringIO()
  try:
    with (
      contextlib.redirect_stderr(output),
      contextlib.redirect_stdout(output),
    ):
      # Names and values are read only into a dictionary that is empty.
      given = tyro.cli(
        configs.Config, default=_set_settings(config, {}), args=arguments
      )
  except SystemExit as error:
    raise ValueError(_one_line(output.getvalue())) from error
  return _set_settings(
    given, {**config.method.settings, **given.method.settings}
  )


def _set_settings(
  config: configs.Config, settings: dict[str, configs.Scalar]
) -> configs.Config:
  method = dataclasses.replace(config.method, settings=settings)
  return dataclasses.replace(config, method=method)


def _one_line(message: str) -> str:
  """What a boxed message of several lines says, without title and help."""
  parts = re.split(r"-{5,}|[\u2500-\u257f]+", message)
  said = [" ".join(part.split()) for part in parts if part.strip()]
  line = said[1] if len(said) > 1 else "the arguments cannot be parsed"
  for of_python, wanted in (
    ("invalid literal for int() with base 10", "an int"),
    ("could not convert string to float", "a float"),
  ):
    wrong = re.fullmatch(
      rf"Error parsing (\S+): {re.escape(of_python)}: (.*)", line
    )
    if wrong:
      return f"{wrong[1]} is {wrong[2]}; it must be {wanted}"
  return line
