"""Finds the images of a folder: which files, of which class, in which split.

Reads names only; `folder` says which layouts are known, and decodes.
"""

import os
import pathlib
from typing import NamedTuple

import numpy as np

EXTENSIONS = (
  ".bmp",
  ".gif",
  ".jpeg",
  ".jpg",
  ".pgm",
  ".png",
  ".ppm",
  ".tif",
  ".tiff",
  ".webp",
)
_VALID_NAMES = ("val", "valid", "validation")
# One image in this many becomes a test image where there is no test folder.
_TEST_EVERY = 5


class Files(NamedTuple):
  """The files of one split.

  Attributes:
    paths: of every image.
    labels: `[N]` int32.
  """

  paths: list[pathlib.Path]
  labels: np.ndarray

  def take(self, index: np.ndarray) -> "Files":
    """Those at an index."""
    return Files([self.paths[i] for i in index], self.labels[index])


class Found(NamedTuple):
  """The files of a dataset.

  Attributes:
    splits: by name; `train` and `test`, and `valid` if there is one.
    class_names: the names of the class folders, sorted.
    note: whether the test split was cut from the training images.
  """

  splits: dict[str, Files]
  class_names: tuple[str, ...]
  note: str


def find(root: pathlib.Path, name: str) -> Found:
  """Finds the images of every split.

  Args:
    root: an existing folder.
    name: of the dataset, for messages.

  Returns:
    The files, in sorted order.

  Raises:
    ValueError: the folder is not laid out as it must be.
  """
  roots = _split_roots(root, name)
  if not roots:
    class_names, files = class_files(root, name)
    note = (
      f"test split: every {_TEST_EVERY}th image of each class, held out by jnas"
    )
    return Found(_cut_test_split(files, name), class_names, note)
  found = {split: class_files(path, name) for split, path in roots.items()}
  class_names, _ = found["train"]
  for split, (names, _) in found.items():
    if names != class_names:
      differ = sorted(set(names) ^ set(class_names))
      raise ValueError(
        f"{name}: {roots['train'].name}/ and {roots[split].name}/ must "
        f"have the same class folders; only one has {', '.join(differ)}"
      )
  splits = {split: files for split, (_, files) in found.items()}
  return Found(splits, class_names, "")


def _split_roots(root: pathlib.Path, name: str) -> dict[str, pathlib.Path]:
  """The folders of the splits; empty if there are only class folders."""
  names = [path.name for path in _folders(root)]
  held_out = [split for split in ("test", *_VALID_NAMES) if split in names]
  if "train" not in names:
    if held_out:
      raise ValueError(
        f"{name} has {held_out[0]}/ but no train/; wanted train/<class>/ "
        "and test/<class>/, or class folders alone"
      )
    return {}
  if not held_out:
    raise ValueError(
      f"{name} has train/ but neither test/ nor val/; add one, or give "
      f"{name}/train to hold out a fifth of it for testing"
    )
  roots = {"train": root / "train", "test": root / held_out[0]}
  if held_out[0] == "test" and len(held_out) > 1:
    roots["valid"] = root / held_out[1]
  return roots


def class_files(root: pathlib.Path, name: str) -> tuple[tuple[str, ...], Files]:
  """The class folders of one split and the images in them.

  Args:
    root: an existing folder.
    name: of the dataset, for messages.

  Returns:
    The names of the classes, sorted, and the files in sorted order.

  Raises:
    ValueError: there are fewer than two classes, or one without an image.
  """
  folders = _folders(root)
  if len(folders) < 2:
    count = "one class folder" if folders else "no class folders"
    raise ValueError(
      f"{name}: {str(root)!r} holds {count}; wanted one "
      "folder of images for each of 2 or more classes"
    )
  paths, labels = [], []
  for label, folder in enumerate(folders):
    images = _images_below(folder)
    if not images:
      raise ValueError(
        f"{name}: class folder {str(folder)!r} holds no image "
        f"({', '.join(EXTENSIONS)})"
      )
    paths += images
    labels += [label] * len(images)
  class_names = tuple(folder.name for folder in folders)
  return class_names, Files(paths, np.array(labels, np.int32))


def _folders(root: pathlib.Path) -> list[pathlib.Path]:
  """The folders directly in a folder, sorted, without hidden ones."""
  return sorted(
    path
    for path in root.iterdir()
    if path.is_dir() and not path.name.startswith(".")
  )


def images_in(folder: pathlib.Path) -> list[pathlib.Path]:
  """The images directly in a folder, sorted."""
  return sorted(
    path
    for path in folder.iterdir()
    if path.name.lower().endswith(EXTENSIONS)
    and not path.name.startswith(".")
    and path.is_file()
  )


def _images_below(folder: pathlib.Path) -> list[pathlib.Path]:
  """The images in a folder and in folders inside it, sorted."""
  images = []
  for parent, folders, files in os.walk(folder, followlinks=True):
    folders[:] = [name for name in folders if not name.startswith(".")]
    images += [
      pathlib.Path(parent, name)
      for name in files
      if name.lower().endswith(EXTENSIONS) and not name.startswith(".")
    ]
  return sorted(images)


def _cut_test_split(files: Files, name: str) -> dict[str, Files]:
  """Holds out every fifth image of each class, and at least one, the last."""
  test = np.zeros(len(files.paths), bool)
  for label in np.unique(files.labels):
    index = np.flatnonzero(files.labels == label)
    if len(index) < 2:
      raise ValueError(
        f"{name}: {str(files.paths[index[0]].parent)!r} holds one image; "
        "wanted 2 or more a class, to hold out one for testing"
      )
    test[index[_TEST_EVERY - 1 :: _TEST_EVERY]] = True
    test[index[-1]] |= len(index) < _TEST_EVERY
  return {
    "train": files.take(np.flatnonzero(~test)),
    "test": files.take(np.flatnonzero(test)),
  }
