"""What a command runs on: options, and JAX started accordingly.

None of it is part of a run's identity: a run continues on another number of
devices and processes.
"""

import argparse


def add_devices(parser: argparse.ArgumentParser) -> None:
  """Adds --devices."""
  parser.add_argument(
    "--devices",
    type=int,
    metavar="N",
    help="devices to share each batch; default: all. A CPU is divided into N, "
    "for trying out",
  )


def start(options: argparse.Namespace) -> None:
  """Settings of JAX that the options ask for; nothing is run yet.

  Raises:
    ValueError: naming the value found and the values allowed.
  """
  from jnas.training import sharding

  sharding.use_devices(options.devices)
