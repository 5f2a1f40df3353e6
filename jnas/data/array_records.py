"""Writes labelled images as a set that TFDS, and so jnas, reads by position.

Shard by shard: each is written under another name, checked, and given its own
name at one stroke, so what has its name is whole and need not be written again
after a kill. The folder has another name, too, until all of it is there.

No image is changed, but those that are no JPEG, or one neither in RGB nor grey:
they are encoded anew as JPEG of the highest quality, in RGB, as TFDS does.
"""

import concurrent.futures
import contextlib
import errno
import hashlib
import importlib
import io
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from jnas.data import imagenet_folders, streamed, views

# 1,025 shards of ImageNet's training images, of 150 MB each.
PER_SHARD = 1250
_NOTE = "source.json"


class Target(NamedTuple):
  """Where a set is written.

  Attributes:
    builder: of TFDS, for the features and the names of files.
    final: its folder once all of it is there.
    partial: until then.
  """

  builder: Any
  final: pathlib.Path
  partial: pathlib.Path


class Written(NamedTuple):
  """What there is after writing.

  Attributes:
    examples: of each split.
    shards: files, of all splits.
    num_bytes: of them.
    unreadable: images left out.
  """

  examples: dict[str, int]
  shards: int
  num_bytes: int
  unreadable: int


def target(builder: Any) -> Target:
  """Where the set of a builder is written.

  Raises:
    ValueError: there is something already, other than what a run of the same
      command has begun.
  """
  final = pathlib.Path(builder.data_path)
  partial = final.with_name(f"incomplete.{final.name}")
  if final.parent.exists() and not final.parent.is_dir():
    raise ValueError(f"{str(final.parent)!r} is a file; wanted no such file")
  there = sorted(final.parent.iterdir()) if final.parent.exists() else []
  other = [path.name for path in there if path != partial]
  if other:
    raise ValueError(
      f"{str(final.parent)!r} is not empty: it holds {', '.join(other[:5])}; "
      "remove it, or give another --to"
    )
  return Target(builder, final, partial)


def write(
  where: Target,
  splits: dict[str, list[imagenet_folders.Labelled]],
  *,
  faults: streamed.Faults,
  max_unreadable: int,
  advance: Callable[[int], None],
) -> Written:
  """Writes a set, or what is missing of it.

  Choice: the training images are shuffled once, by a fixed seed, so that a
  shard has images of all classes.

  Args:
    where: of `target`.
    splits: TFDS's names to images.
    faults: where unreadable images are counted.
    max_unreadable: those that there may be, the ones left out by an earlier
      run included.
    advance: called with the number of images that are done, after each shard.

  Raises:
    ValueError: the folder was begun with other images.
    streamed.UnreadableError: more images than allowed cannot be read.
    OSError: a file cannot be written.
  """
  _begin(where.partial, splits)
  infos, examples, shards, done, lost = [], {}, 0, 0, 0
  with concurrent.futures.ThreadPoolExecutor() as pool:
    for split, images in splits.items():
      parts = _parts(split, images)
      files, lengths = _files(where, split, len(parts)), []
      for path, part in zip(files, parts, strict=True):
        if not path.exists():
          _write_shard(path, part, where.builder, faults, pool)
        lengths.append(_count(path))
        lost += len(part) - lengths[-1]
        if lost > max_unreadable:
          raise streamed.UnreadableError(
            f"{lost} images cannot be read, and --max-unreadable is "
            f"{max_unreadable}"
          )
        done += len(part)
        advance(done)
      infos.append(_split_info(where, split, files, lengths))
      examples[split] = sum(lengths)
      shards += len(files)
  num_bytes = sum(info.num_bytes for info in infos)
  _finish(where, infos)
  return Written(examples, shards, num_bytes, lost)


def _begin(
  folder: pathlib.Path, splits: dict[str, list[imagenet_folders.Labelled]]
) -> None:
  """Notes which images the folder is of, or compares it with the note."""
  digest = hashlib.sha256(str(PER_SHARD).encode())
  for split, images in splits.items():
    for image in images:
      line = f"{split}/{image.wnid}/{image.path.name}\n"
      digest.update(line.encode("utf-8", "surrogateescape"))
  note = {"images": digest.hexdigest()}
  path = folder / _NOTE
  if path.exists():
    found = None
    with contextlib.suppress(ValueError):
      found = json.loads(path.read_text())
    if found != note:
      raise ValueError(
        f"{str(folder)!r} was begun with other images than --from has; remove "
        "it, or give the same images to go on"
      )
    for partial in folder.glob("*.partial"):
      partial.unlink()
    return
  folder.mkdir(parents=True, exist_ok=True)
  partial = path.with_suffix(".partial")
  partial.write_text(json.dumps(note))
  os.replace(partial, path)


def _parts(
  split: str, images: list[imagenet_folders.Labelled]
) -> list[list[imagenet_folders.Labelled]]:
  if split == "train":
    order = np.random.default_rng(0).permutation(len(images))
    images = [images[index] for index in order]
  return [
    images[start : start + PER_SHARD]
    for start in range(0, len(images), PER_SHARD)
  ]


def _tfds() -> Any:
  return importlib.import_module("tensorflow_datasets")


def _records() -> Any:
  return importlib.import_module("array_record.python.array_record_module")


def _template(where: Target, split: str) -> Any:
  return _tfds().core.ShardedFileTemplate(
    data_dir=where.partial,
    dataset_name=where.builder.name,
    split=split,
    filetype_suffix="array_record",
  )


def _files(where: Target, split: str, number: int) -> list[pathlib.Path]:
  paths = _template(where, split).sharded_filepaths(number)
  return [pathlib.Path(path) for path in paths]


def _write_shard(
  path: pathlib.Path,
  part: Sequence[imagenet_folders.Labelled],
  builder: Any,
  faults: streamed.Faults,
  pool: concurrent.futures.Executor,
) -> None:
  partial = path.with_name(f"{path.name}.partial")
  serialize, wanted = builder.info.features.serialize_example, 0
  try:
    writer = _records().ArrayRecordWriter(str(partial), "group_size:1")
    for image, content in zip(part, pool.map(read, part), strict=True):
      if isinstance(content, BaseException):
        faults.add(str(image.path), content)
        continue
      example = {
        "image": io.BytesIO(content),
        "label": image.wnid,
        "file_name": image.path.name,
      }
      writer.write(serialize(example))
      wanted += 1
    writer.close()
    with partial.open("rb+") as file:
      os.fsync(file.fileno())
    if (found := _count(partial)) != wanted:
      raise RuntimeError(f"it holds {found} of {wanted} images")
  except (OSError, RuntimeError) as error:
    if isinstance(error, streamed.UnreadableError):
      raise
    raise _failure(partial, error) from error
  os.replace(partial, path)


def read(image: imagenet_folders.Labelled) -> bytes | BaseException:
  """The bytes of an image as they are stored, or why it cannot be read."""
  try:
    content = image.path.read_bytes()
    with Image.open(io.BytesIO(content)) as opened:
      if opened.format == "JPEG" and opened.mode in ("RGB", "L"):
        views.read_to_end(opened)
        return content
      stored = io.BytesIO()
      opened.convert("RGB").save(stored, "JPEG", quality=100, subsampling=0)
      return stored.getvalue()
  except views.DAMAGED as error:
    return error


def _count(path: pathlib.Path) -> int:
  """Examples of a shard."""
  reader = _records().ArrayRecordReader(str(path))
  try:
    return reader.num_records()
  finally:
    reader.close()


def _failure(path: pathlib.Path, error: Exception) -> OSError:
  """One line; gives back the room that the file took."""
  path.unlink(missing_ok=True)
  code = getattr(error, "errno", None)
  reason = os.strerror(code) if code else " ".join(str(error).split())
  free = shutil.disk_usage(path.parent).free
  if code == errno.ENOSPC or "No space left" in reason:
    reason = f"{os.strerror(errno.ENOSPC)}, {free:,} bytes free"
  failure = OSError(
    f"cannot write {path.with_suffix('')}: {reason}; the same command goes on "
    "from there"
  )
  failure.errno = code
  return failure


def _split_info(
  where: Target, split: str, files: list[pathlib.Path], lengths: list[int]
) -> Any:
  return _tfds().core.SplitInfo(
    name=split,
    shard_lengths=lengths,
    num_bytes=sum(path.stat().st_size for path in files),
    filename_template=_template(where, split),
  )


def _finish(where: Target, infos: list[Any]) -> None:
  """Writes what TFDS knows of the set, and gives its folder its name."""
  where.builder.info.set_splits(_tfds().core.SplitDict(infos))
  where.builder.info.write_to_directory(where.partial)
  (where.partial / _NOTE).unlink()
  os.replace(where.partial, where.final)
