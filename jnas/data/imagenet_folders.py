"""The images of ImageNet 2012 as its archives unpack: their files and classes.

`train/<wnid>/*.JPEG`, and `val/<wnid>/*.JPEG` or `val/*.JPEG` with the labels
in a file of their own. A wnid is WordNet's number of a class, such as
n01440764.
"""

import pathlib
import re
from collections.abc import Sequence
from typing import NamedTuple

from jnas.data import class_folders

_VAL_NAME = re.compile(r"ILSVRC2012_val_(\d{8})\.JPEG", re.IGNORECASE)


class Labelled(NamedTuple):
  """An image and its class.

  Attributes:
    path: of the file.
    wnid: of the class.
  """

  path: pathlib.Path
  wnid: str


def find(
  root: pathlib.Path,
  wnids: Sequence[str],
  *,
  val_labels: pathlib.Path | None,
  val_wnids: Sequence[str],
) -> dict[str, list[Labelled]]:
  """The images of both splits, in sorted order.

  Args:
    root: the folder with `train/` and `val/`.
    wnids: of all classes.
    val_labels: file with the class of each image of a flat `val/`; None where
      the official file names say it.
    val_wnids: classes of the official validation images, by their number less
      1.

  Returns:
    The splits "train" and "validation".

  Raises:
    FileNotFoundError: a folder or the file of labels is not there.
    ValueError: they are not as they must be.
  """
  if not root.is_dir():
    what = "is a file, not a folder" if root.exists() else "does not exist"
    raise FileNotFoundError(f"--from is {str(root)!r}, which {what}")
  for name in ("train", "val"):
    if not (root / name).is_dir():
      names = sorted(path.name for path in root.iterdir())
      found = ", ".join(names[:5]) or "nothing"
      raise FileNotFoundError(
        f"--from is {str(root)!r}, which has no folder {name}/; wanted "
        f"train/<wnid>/*.JPEG and val/, found {found}"
      )
  val = root / "val"
  flat = class_folders.images_in(val)
  if flat:
    labelled = _flat(val, flat, val_labels, val_wnids)
  elif val_labels is not None:
    raise ValueError(
      f"--val-labels is {str(val_labels)!r}, but {str(val)!r} holds no images, "
      "only folders, which say their classes"
    )
  else:
    labelled = _in_folders(val)
  splits = {"train": _in_folders(root / "train"), "validation": labelled}
  known = set(wnids)
  for images in splits.values():
    for image in images:
      if image.wnid not in known:
        raise ValueError(
          f"{str(image.path)!r} is of class {image.wnid!r}, which is none of "
          f"the {len(wnids):,} of ImageNet 2012, {wnids[0]} to {wnids[-1]}"
        )
  return splits


def _in_folders(root: pathlib.Path) -> list[Labelled]:
  names, files = class_folders.class_files(root, "--from")
  return [
    Labelled(path, names[label])
    for path, label in zip(files.paths, files.labels, strict=True)
  ]


def _flat(
  root: pathlib.Path,
  paths: list[pathlib.Path],
  val_labels: pathlib.Path | None,
  val_wnids: Sequence[str],
) -> list[Labelled]:
  if val_labels is None:
    return [_official(path, val_wnids) for path in paths]
  if not val_labels.is_file():
    raise FileNotFoundError(f"--val-labels: no file {str(val_labels)!r}")
  lines = val_labels.read_text(encoding="utf-8", errors="replace").split("\n")
  rows = [line.split() for line in lines if line.strip()]
  if len(rows) != len(paths):
    raise ValueError(
      f"--val-labels: {str(val_labels)!r} has {len(rows):,} labels; "
      f"{str(root)!r} has {len(paths):,} images"
    )
  if all(len(row) == 1 for row in rows):
    rows = [[path.name, *row] for path, row in zip(paths, rows, strict=True)]
  named = {row[0]: row[1] for row in rows if len(row) == 2}
  for number, row in enumerate(rows, start=1):
    if len(row) != 2:
      raise ValueError(
        f"--val-labels: {str(val_labels)!r}, line {number} is "
        f"{' '.join(row)!r}; it must be WNID in each line, or FILE WNID in each"
      )
  for path in paths:
    if path.name not in named:
      raise ValueError(
        f"--val-labels: {str(val_labels)!r} has no line for {path.name}"
      )
  return [Labelled(path, named[path.name]) for path in paths]


def _official(path: pathlib.Path, val_wnids: Sequence[str]) -> Labelled:
  """By the number in the name that the archive gives it."""
  match = _VAL_NAME.fullmatch(path.name)
  number = int(match[1]) if match else 0
  if not 1 <= number <= len(val_wnids):
    raise ValueError(
      f"the class of {str(path)!r} is not known: it must be named "
      "ILSVRC2012_val_00000001.JPEG and so on, be in a folder val/<wnid>/, or "
      "have a line in a file given by --val-labels"
    )
  return Labelled(path, val_wnids[number - 1])
