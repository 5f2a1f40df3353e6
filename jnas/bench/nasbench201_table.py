"""The user's table of NAS-Bench-201: one archive, read and checked.

A NumPy archive with a row for each of the 15,625 cells; its keys are in
docs/nasbench201.md, with a script that writes it from the official benchmark.

Source: NAS-Bench-201 (arXiv:2001.00326), Sec. 2.
"""

import dataclasses
import functools
import itertools
import os
import pathlib
import reprlib
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from jnas import mistakes
from jnas.genotype import NASBENCH201_OPS

NUM_CELLS = 15_625
# Accuracies in percent after 200 epochs, mean over the benchmark's seeds, by
# data set, and their keys in the archive. Without `_valid`: on test images.
ACCURACY_KEYS = {
  "cifar10": "cifar10_test_200",
  "cifar100": "cifar100_test_200",
  "imagenet16": "imagenet16_test_200",
  "cifar10_valid": "cifar10valid_valid_acc_200",
  "cifar100_valid": "cifar100_valid_200",
  "imagenet16_valid": "imagenet16_valid_200",
}
COST_KEYS = ("params", "macs")
_STRING_KEY = "arch_str"
_REQUIRED = (_STRING_KEY, ACCURACY_KEYS["cifar10"])
_STRING_FORM = "|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|"


class Score(NamedTuple):
  """How good a cell is on one data set.

  Attributes:
    accuracy: percent.
    rank: 1 plus the number of cells that are strictly better, 1 to 15,625;
      cells of the same accuracy share a rank.
    regret: the best cell's accuracy minus this one's, percentage points.
  """

  accuracy: float
  rank: int
  regret: float


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
  """A table, checked, its rows in the order of the file.

  Attributes:
    path: the file.
    strings: the 15,625 cells.
    accuracies: by data set, `[15625]` float64 percent.
    costs: `params` and `macs`, those that the file has, `[15625]` int64.
    rows: `[15625]` the row of each cell, by `to_nasbench201_index`.
  """

  path: pathlib.Path
  strings: tuple[str, ...]
  accuracies: Mapping[str, np.ndarray]
  costs: Mapping[str, np.ndarray]
  rows: np.ndarray

  def best(self, data_set: str) -> float:
    """The accuracy of the best cell on a data set, in percent.

    Raises:
      ValueError: for a data set that the table does not have.
    """
    return float(self._accuracies_of(data_set).max())

  def score(self, row: int, data_set: str) -> Score:
    """How good the cell of a row is on a data set.

    Raises:
      ValueError: for a data set that the table does not have.
    """
    accuracies = self._accuracies_of(data_set)
    accuracy = accuracies[row]
    return Score(
      accuracy=float(accuracy),
      rank=1 + int(np.sum(accuracies > accuracy)),
      regret=float(accuracies.max() - accuracy),
    )

  def _accuracies_of(self, data_set: str) -> np.ndarray:
    if data_set not in self.accuracies:
      raise ValueError(
        f"{self.path}: no accuracies of {data_set!r}"
        f"{mistakes.suggest(data_set, self.accuracies)}; it has those of "
        f"{', '.join(self.accuracies)}"
      )
    return self.accuracies[data_set]


def load(path: str | os.PathLike[str]) -> Table:
  """Reads a table.

  Args:
    path: an archive with the keys of docs/nasbench201.md; others are left
      alone.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: the file is damaged or does not hold what it must.
  """
  path = pathlib.Path(path).expanduser()
  arrays = _read_arrays(path)
  strings = tuple(map(str, arrays.pop(_STRING_KEY)))
  return Table(
    path=path,
    strings=strings,
    accuracies={
      data_set: _check_accuracies(path, key, arrays[key])
      for data_set, key in ACCURACY_KEYS.items()
      if key in arrays
    },
    costs={
      key: _check_costs(path, key, arrays[key])
      for key in COST_KEYS
      if key in arrays
    },
    rows=_rows_of(path, strings),
  )


def _read_arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
  """The arrays that a table may have, of the right length."""
  if not path.exists():
    raise FileNotFoundError(
      f"no NAS-Bench-201 table at {path}; docs/nasbench201.md says how to make "
      "one"
    )
  known = (_STRING_KEY, *ACCURACY_KEYS.values(), *COST_KEYS)
  try:
    with np.load(path, allow_pickle=False) as archive:
      arrays = {key: archive[key] for key in known if key in archive}
  except (
    EOFError,
    OSError,
    TypeError,  # one bare array
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
    tokenize.TokenError,
  ) as error:
    reason = " ".join(str(error).split()) or type(error).__name__
    raise ValueError(
      f"{path}: not a NumPy archive (.npz) that can be read without pickling: "
      f"{reason}"
    ) from None
  missing = [key for key in _REQUIRED if key not in arrays]
  if missing:
    raise ValueError(
      f"{path} lacks {', '.join(missing)}; wanted {', '.join(_REQUIRED)}, "
      f"optionally {', '.join(key for key in known if key not in _REQUIRED)}"
    )
  for key, values in arrays.items():
    if values.shape != (NUM_CELLS,):
      raise ValueError(
        f"{path}: {key} has the shape {values.shape}; it must be "
        f"({NUM_CELLS},), a number for each cell"
      )
  if arrays[_STRING_KEY].dtype.kind != "U":
    raise ValueError(
      f"{path}: {_STRING_KEY} is of dtype {arrays[_STRING_KEY].dtype}; it must "
      "be text"
    )
  return arrays


def _check_accuracies(
  path: pathlib.Path, key: str, values: np.ndarray
) -> np.ndarray:
  if values.dtype.kind not in "fiu":
    raise ValueError(f"{path}: {key} is of dtype {values.dtype}, not numbers")
  values = values.astype(np.float64)
  # No best cell of a data set is right less than twice in a hundred images.
  if not (np.all((values >= 0) & (values <= 100)) and values.max() > 2):
    raise ValueError(
      f"{path}: {key} has values from {values.min()} to {values.max()}; they "
      "must be accuracies in percent, 0 to 100"
    )
  return values


def _check_costs(
  path: pathlib.Path, key: str, values: np.ndarray
) -> np.ndarray:
  if values.dtype.kind not in "iu" or values.min() < 1:
    raise ValueError(f"{path}: {key} must be whole numbers above 0")
  return values.astype(np.int64)


def _rows_of(path: pathlib.Path, strings: tuple[str, ...]) -> np.ndarray:
  """The row of each cell, by `to_nasbench201_index`."""
  rows = np.full(NUM_CELLS, -1)
  positions = _positions()
  for row, text in enumerate(strings):
    if text not in positions:
      raise ValueError(
        f"{path}: {_STRING_KEY}[{row}] is {reprlib.repr(text)}, which is no "
        f"cell of NAS-Bench-201; one reads {next(iter(positions))}"
      )
    if rows[positions[text]] >= 0:
      raise ValueError(
        f"{path}: rows {rows[positions[text]]} and {row} of {_STRING_KEY} are "
        f"the same cell, {text}"
      )
    rows[positions[text]] = row
  return rows


@functools.cache
def _positions() -> dict[str, int]:
  """`to_nasbench201_index` of every string."""
  every = itertools.product(NASBENCH201_OPS, repeat=6)
  return {_STRING_FORM.format(*ops): i for i, ops in enumerate(every)}
