"""Small scenes with masks: pieces of clothing on textured grounds.

The clothing is Fashion-MNIST's, real images; each lies somewhere on a pattern,
and the mask says of every pixel which it is. Class 0 is the ground.
"""

import pathlib

import numpy as np
from PIL import Image

from jnas import data

# Kinds of clothing, by their number in Fashion-MNIST, that look unlike.
KINDS = {"trouser": 1, "bag": 8, "boot": 9}
CLASSES = ("ground", *KINDS)
# Fainter pixels of an image are ground.
_VISIBLE = 40
# Pixels around a piece of clothing that belong to neither, as in VOC.
_BORDER = 255


def make(
  number: int, *, size: int = 64, seed: int = 0, split: str = "train"
) -> tuple[np.ndarray, np.ndarray]:
  """Scenes and masks, `[N, size, size, 3]` and `[N, size, size]` uint8."""
  random = np.random.default_rng([seed, split == "test"])
  source = getattr(data.load("fashion_mnist_mini"), split)
  images = np.empty((number, size, size, 3), np.uint8)
  masks = np.zeros((number, size, size), np.uint8)
  for at in range(number):
    images[at] = _ground(random, size)
    label = 1 + at % len(KINDS)
    kind = list(KINDS.values())[label - 1]
    chosen = random.choice(np.flatnonzero(source.labels == kind))
    piece = source.images[chosen, 2:-2, 2:-2, 0].repeat(2, 0).repeat(2, 1)
    side = len(piece)
    top, left = random.integers(0, size - side + 1, 2)
    window = np.s_[top : top + side, left : left + side]
    seen = piece > _VISIBLE
    tint = random.uniform(0.7, 1.0, 3)
    images[at][window][seen] = (piece[seen][:, None] * tint).astype(np.uint8)
    masks[at][window][seen] = label
    masks[at][_rim(masks[at])] = _BORDER
  return images, masks


def write_voc(
  folder: pathlib.Path, *, train: int, test: int, size: int = 64
) -> str:
  """Writes scenes in the folder layout of VOC; returns their source."""
  lists = folder / "ImageSets" / "Segmentation"
  for path in (folder / "JPEGImages", folder / "SegmentationClass", lists):
    path.mkdir(parents=True)
  palette = np.random.default_rng(0).integers(0, 256, 768, np.uint8)
  for name, number in (("train", train), ("test", test)):
    images, masks = make(number, size=size, split=name)
    names = [f"{name}_{at:04d}" for at in range(number)]
    for stem, image, mask in zip(names, images, masks, strict=True):
      Image.fromarray(image).save(
        folder / "JPEGImages" / f"{stem}.jpg", quality=95
      )
      coloured = Image.fromarray(mask)
      coloured.putpalette(palette.tobytes())
      coloured.save(folder / "SegmentationClass" / f"{stem}.png")
    listed = "val" if name == "test" else name
    (lists / f"{listed}.txt").write_text("\n".join(names) + "\n")
  (folder / "classes.txt").write_text("\n".join(CLASSES) + "\n")
  return f"voc:{folder}"


def write_npz(
  path: pathlib.Path, *, train: int, test: int, size: int = 64, **changes
) -> str:
  """Writes scenes as an archive, with changes; returns their source."""
  arrays = {"class_names": np.array(CLASSES)}
  for name, number in (("train", train), ("test", test)):
    images, masks = make(number, size=size, split=name)
    arrays |= {f"{name}_images": images, f"{name}_masks": masks}
  arrays |= changes
  kept = {name: value for name, value in arrays.items() if value is not None}
  np.savez(path, **kept)
  return f"npz:{path}"


def _ground(random: np.random.Generator, size: int) -> np.ndarray:
  """A dark pattern of stripes with noise, `[size, size, 3]` uint8."""
  y, x = np.mgrid[:size, :size]
  angle, period = random.uniform(0, np.pi), random.uniform(6, 20)
  wave = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period)
  colour = random.uniform(20, 90, 3)
  image = colour * (1 + 0.4 * wave[..., None])
  return (image + random.uniform(0, 20, (size, size, 3))).astype(np.uint8)


def _rim(mask: np.ndarray) -> np.ndarray:
  """Pixels of the ground beside the thing."""
  thing = mask > 0
  padded = np.pad(thing, 1)
  near = np.zeros_like(thing)
  for down in (0, 1, 2):
    for right in (0, 1, 2):
      near |= padded[down:, right:][: len(mask), : len(mask)]
  return near & ~thing
