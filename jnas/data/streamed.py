"""A split whose images stay where they are stored, and are read one by one.

Which image an example is, and how it is cut out for training, are functions of
its index and of the numbers it is drawn with, so the same batch comes again
after a restart, and in any number of processes, with nothing to remember.

An image that cannot be read is replaced by the next one of the split that can,
image and label: as deterministic as the rest. Each is told of once, and too
many end the run.
"""

import concurrent.futures
import dataclasses
import threading
from collections.abc import Callable, Sequence

import numpy as np

from jnas.data import views

# What a crop is drawn from: any number of non-negative integers.
Draw = Sequence[int]


class UnreadableError(RuntimeError):
  """More images cannot be read than the user allows."""


class Faults:
  """The images of a dataset that could not be read, told of once each.

  In several processes each counts those of its own share of the batches.
  """

  def __init__(
    self,
    limit: int,
    tell: Callable[[str], None],
    setting: str = "data.max_unreadable",
  ) -> None:
    """How many there may be, by which setting, and whom to tell of each."""
    self._setting = setting
    self._limit = limit
    self._tell = tell
    self._names: set[str] = set()
    self._too_many = ""
    self._lock = threading.Lock()

  @property
  def count(self) -> int:
    """Images so far."""
    return len(self._names)

  def add(self, name: str, error: BaseException) -> None:
    """Counts an image.

    Raises:
      UnreadableError: if there are too many now.
    """
    with self._lock:
      if self._too_many:
        raise UnreadableError(self._too_many)
      if name in self._names:
        return
      self._names.add(name)
      reason = " ".join(str(error).split()) or type(error).__name__
      line = f"image {name!r} is damaged or unreadable: {reason}"
      if self.count > self._limit:
        self._too_many = (
          f"{self.count} images cannot be read, and {self._setting} is "
          f"{self._limit}; the last one: {line}"
        )
        raise UnreadableError(self._too_many)
    self._tell(f"{line}; skipped ({self.count} of {self._limit} allowed)")


@dataclasses.dataclass(frozen=True, eq=False)
class StreamedSplit:
  """Labelled images that are not in memory.

  Attributes:
    labels: `[N]` int32.
    index: `[N]` positions in what is stored.
    read: the bytes of a file, by its position in what is stored.
    name: of an image, for messages, likewise.
    view: how the images are seen.
    faults: where unreadable images are counted.
  """

  labels: np.ndarray
  index: np.ndarray
  read: Callable[[int], bytes]
  name: Callable[[int], str]
  view: views.View
  faults: Faults

  def __len__(self) -> int:
    return len(self.labels)

  @property
  def image_shape(self) -> tuple[int, int, int]:
    """Height, width and channels of every image."""
    return self.view.size, self.view.size, 3

  def take(self, index: np.ndarray) -> "StreamedSplit":
    """The examples at an index, `[M]`, in its order."""
    return dataclasses.replace(
      self, labels=self.labels[index], index=self.index[index]
    )

  def empty(self, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Room for so many images and labels."""
    shape = (number, *self.image_shape)
    return np.empty(shape, np.uint8), np.empty(number, np.int32)

  def example(
    self, position: int, draw: Draw | None
  ) -> tuple[np.ndarray, np.int32]:
    """One example, or the next one that can be read.

    Args:
      position: 0 to N-1.
      draw: what its crop is drawn from; None to see it as in measuring.

    Returns:
      The image, `[H, W, 3]` uint8, and its label.

    Raises:
      UnreadableError: if too many images cannot be read, or all of them.
    """
    for offset in range(len(self)):
      at = (position + offset) % len(self)
      stored = int(self.index[at])
      random = None
      if draw is not None and self.view.crop_scale:
        random = np.random.Generator(
          np.random.Philox(np.random.SeedSequence(list(draw)))
        )
      try:
        image = views.decode(self.read(stored), self.view, random)
      except views.DAMAGED as error:
        self.faults.add(self.name(stored), error)
        continue
      return image, self.labels[at]
    raise UnreadableError(f"none of {len(self)} images can be read")

  def head(self, count: int) -> np.ndarray:
    """The first images, as in measuring, `[min(count, N), H, W, 3]` uint8."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
      examples = pool.map(
        lambda at: self.example(at, None), range(min(count, len(self)))
      )
      return np.stack([image for image, _ in examples])
