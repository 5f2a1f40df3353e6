"""What the papers report, to be set beside what was measured here."""

from collections.abc import Iterable
from typing import NamedTuple

from jnas.report import folder


class Published(NamedTuple):
  """A row of a paper's table.

  Attributes:
    method: as `method_of` names it.
    label: as the paper does.
    data: the data set, as `data.source` names it.
    error: test error in percent.
    deviation: of the error; None where it is not told.
    params: parameters in millions; None where they are not told.
    days: GPU-days of the search; None where they are not told.
    source: the paper's table.
  """

  method: str
  label: str
  data: str
  error: float
  deviation: float | None
  params: float | None
  days: float | None
  source: str


TABLE = (
  Published(
    "darts",
    "DARTS, first order",
    "cifar10",
    3.00,
    0.14,
    3.3,
    1.5,
    "DARTS Table 1",
  ),
  Published(
    "darts second order",
    "DARTS, second order",
    "cifar10",
    2.76,
    0.09,
    3.3,
    4.0,
    "DARTS Table 1",
  ),
  Published(
    "darts single level",
    "DARTS, single level",
    "cifar10",
    3.56,
    0.10,
    3.0,
    None,
    "DARTS Sec. 3.3",
  ),
  Published(
    "snas", "SNAS, mild", "cifar10", 2.98, None, 2.9, 1.5, "SNAS Table 2"
  ),
  Published(
    "snas", "SNAS, moderate", "cifar10", 2.85, 0.02, 2.8, 1.5, "SNAS Table 2"
  ),
  Published(
    "snas", "SNAS, aggressive", "cifar10", 3.10, 0.04, 2.3, 1.5, "SNAS Table 2"
  ),
  Published(
    "entrannas",
    "EnTranNAS",
    "cifar10",
    2.53,
    0.06,
    3.45,
    0.06,
    "EnTranNAS Table 6",
  ),
  Published(
    "entrannas_dst",
    "EnTranNAS-DST",
    "cifar10",
    2.48,
    0.08,
    3.20,
    0.10,
    "EnTranNAS Table 6",
  ),
  Published(
    "darts + perturbation",
    "DARTS + PT",
    "cifar10",
    2.61,
    0.08,
    3.0,
    0.8,
    "PT Table 2",
  ),
  Published(
    "sdarts_rs + perturbation",
    "SDARTS-RS + PT",
    "cifar10",
    2.54,
    0.10,
    3.2,
    None,
    "PT Table 2",
  ),
  Published(
    "sgas + perturbation",
    "SGAS + PT",
    "cifar10",
    2.56,
    0.10,
    3.9,
    0.29,
    "PT Table 2",
  ),
  Published(
    "sdarts_rs", "SDARTS-RS", "cifar10", 2.67, 0.03, None, None, "PT Table 2"
  ),
  Published(
    "sgas", "SGAS, criterion 1", "cifar10", 2.66, 0.24, None, None, "PT Table 2"
  ),
  Published("unas", "UNAS", "cifar10", 2.65, 0.07, 3.3, 4.3, "UNAS Table 2"),
  Published("unas", "UNAS", "cifar100", 16.72, 0.76, 4.1, None, "UNAS Table 2"),
  Published(
    "pc_darts", "PC-DARTS", "cifar10", 2.57, 0.07, 3.6, 0.1, "PC-DARTS Table 1"
  ),
  Published(
    "p_darts", "P-DARTS", "cifar10", 2.50, None, 3.4, 0.3, "P-DARTS Table 1"
  ),
  Published("gdas", "GDAS", "cifar10", 2.93, None, 3.4, 0.21, "GDAS Table 1"),
  Published(
    "random_sharing",
    "Random search, shared weights",
    "cifar10",
    2.85,
    0.08,
    None,
    None,
    "Li and Talwalkar Table 4",
  ),
)


def method_of(run: folder.Run) -> str:
  """The method of a run with what changes it, "darts + perturbation".

  That of a run whose genotype was given is "given".
  """
  if run.is_given:
    return "given"
  if run.setting("progressive", "cells"):
    return "p_darts"
  name = str(run.setting("method", "name"))
  scheme = run.setting("search", "scheme")
  if scheme in ("second_order", "single_level", "frozen"):
    name += f" {scheme.replace('_', ' ')}"
  selection = run.setting("selection", "name")
  if selection not in (None, "none") and name != "random_sharing":
    name += f" + {selection}"
  return name


def rows(methods: Iterable[str]) -> list[Published]:
  """The rows of these methods, in the order of the table."""
  wanted = set(methods)
  return [row for row in TABLE if row.method in wanted]
