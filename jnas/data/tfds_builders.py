"""Prepared sets of TFDS: found, their splits checked, their examples read.

TFDS is imported when a set is asked for: only these sets need it.
"""

import importlib
from types import ModuleType
from typing import Any

from jnas.data import tfds_shards


def import_tfds(name: str) -> ModuleType:
  """TFDS and what it reads with, or one line that says how to get them."""
  for module in ("array_record", "tensorflow_datasets"):
    try:
      importlib.import_module(module)
    except ImportError as error:
      raise ValueError(
        f"{name} needs {module} ({error}): pip install 'jnas[prepare]', or "
        "use images of your own: npz:PATH or folder:PATH"
      ) from error
  return importlib.import_module("tensorflow_datasets")


def find(tfds_name: str, name: str) -> Any:
  """The builder of a prepared set.

  Args:
    tfds_name: its name in TFDS.
    name: of the source, for messages.

  Raises:
    FileNotFoundError: the set is not prepared.
    ValueError: TFDS is not installed, or does not know the name.
  """
  tfds = import_tfds(name)
  try:
    builder = tfds.builder(tfds_name)
  except (ValueError, AssertionError) as error:
    # TFDS lists all that it knows; the first line says what is wrong.
    reason = str(error).strip().splitlines()[0]
    raise ValueError(f"TFDS cannot open {tfds_name!r}: {reason}") from error
  if not builder.is_prepared():
    command = f"tfds build {tfds_name} --file_format=array_record"
    if tfds_name == "imagenet2012":
      command = f"jnas prepare {tfds_name} --from DIR --to DIR"
    raise FileNotFoundError(
      f"{tfds_name} is not prepared in {builder.data_dir}: pip install "
      f"'jnas[prepare]' and run: {command}; or use npz:PATH or folder:PATH"
    )
  return builder


def splits(builder: Any, name: str) -> dict[str, str]:
  """Ours to TFDS's names; without a test split, validation stands for it.

  Raises:
    FileNotFoundError: one of their files is lost.
    ValueError: there is none to train on, or none to test on.
  """
  stored = tuple(builder.info.splits)
  held_out = [split for split in ("test", "validation") if split in stored]
  if "train" not in stored or not held_out:
    raise ValueError(
      f"{name} has the splits {', '.join(stored)}; wanted train and test, or "
      "train and validation"
    )
  ours = {"train": "train", "test": held_out[0]}
  if len(held_out) > 1:
    ours["valid"] = held_out[1]
  tfds_shards.check(
    (
      path
      for split in ours.values()
      for path in builder.info.splits[split].filepaths
    ),
    name,
  )
  return ours


def read(builder: Any, name: str, stored: str, *image_keys: str) -> Any:
  """A split's examples by their position, some features not decoded.

  Args:
    builder: from `find`.
    name: of the source, for messages.
    stored: TFDS's name of the split.
    *image_keys: features that are given as the bytes of a file.

  Raises:
    ValueError: the set is not prepared for random access.
  """
  tfds = import_tfds(name)
  skip = {key: tfds.decode.SkipDecoding() for key in image_keys}
  try:
    source = builder.as_data_source(stored, decoders=skip)
    return tfds_shards.Examples(source, f"{name}: {stored}")
  except NotImplementedError as error:
    raise ValueError(
      f"{name} is prepared in {builder.data_dir}, but not for "
      "random access; prepare it anew with --file_format=array_record"
    ) from error
