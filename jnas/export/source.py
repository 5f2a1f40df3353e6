"""`network.py`: an exported network written out in plain Flax.

The file has the layers that the network uses, its cells node by node, and what
loads the weights; it imports jax, flax and numpy alone.
"""

import inspect
import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from jnas.export import layers, networks
from jnas.genotype import Genotype
from jnas.ops import Settings

# In the order of the file; a layer may use those before it.
_LAYERS = (
  "conv",
  "norm",
  "pool_windows",
  "CifarStem",
  "ImageNetStem",
  "ReLUConvNorm",
  "FactorizedReduce",
  "SeparableConv",
  "DilatedConv",
  "DenseConv",
  "ConvPair",
  "MaxPool",
  "AvgPool",
  "ResidualBlock",
  "BenchHead",
  "MBConv",
  "MBConvStem",
  "MBConvHead",
)

_HEAD = '''"""{title}

Written by jnas. Needs jax, flax and numpy, and network.npz beside it.

  python network.py IMAGES.npy     or     python network.py PICTURE.png

prints the classes of images of pixels 0 to 255, an array
`[N, {height}, {width}, {channels}]`, or of pictures of {height}x{width} pixels
(with Pillow). From Python: `predict(images)`, or
`Network().apply(load(), normalize(images))`. To go on training, pass
`train=True` and `mutable=["batch_stats"]`; path dropout and the auxiliary head
are left out.
"""

import pathlib
import sys

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

MEAN = {mean}
STD = {std}
CLASSES = (
{classes}
)
SHAPE = ({height}, {width}, {channels})
'''

_TAIL = '''
def load(path=None):
  """The trained variables, by default from network.npz beside this file."""
  variables = {}
  path = path or pathlib.Path(__file__).with_name("network.npz")
  with np.load(path, allow_pickle=False) as file:
    for name in file.files:
      *folders, leaf = name.split("/")
      inner = variables
      for folder in folders:
        inner = inner.setdefault(folder, {})
      inner[leaf] = jnp.asarray(file[name])
  return variables


def normalize(images):
  """Pixels 0 to 255, `[B, H, W, channels]`, as the network reads them."""
  scaled = jnp.asarray(images, jnp.float32) / 255
  mean, std = jnp.asarray(MEAN), jnp.asarray(STD)
  return (scaled - mean[None, None, None]) / std[None, None, None]


def predict(images, variables=None):
  """Logits `[B, classes]` of images of pixels 0 to 255."""
  variables = load() if variables is None else variables
  return Network().apply(variables, normalize(images))


def read(path):
  """The images of an array, or the one of a picture."""
  if path.endswith(".npy"):
    images = np.load(path, allow_pickle=False)
  else:
    from PIL import Image

    with Image.open(path) as picture:
      pixels = np.asarray(picture.convert("L" if SHAPE[-1] == 1 else "RGB"))
    images = pixels.reshape(1, *pixels.shape[:2], -1)
  if images.ndim != 4 or images.shape[1:] != SHAPE:
    raise ValueError(f"images are {images.shape}, wanted (N, *{SHAPE})")
  return images


if __name__ == "__main__":
  if len(sys.argv) < 2:
    sys.exit("usage: python network.py IMAGES.npy, or PICTURE.png ...")
  try:
    for name in sys.argv[1:]:
      for index in predict(read(name)).argmax(-1):
        print(CLASSES[int(index)])
  except (ImportError, OSError, ValueError) as error:
    sys.exit(f"{name}: {error}")
'''


class Facts(NamedTuple):
  """What the file says besides the network.

  Attributes:
    title: one line, what the network is.
    image_shape: height, width, channels.
    mean: of each channel, pixels scaled to [0, 1].
    std: of each channel, likewise.
    class_names: by label.
  """

  title: str
  image_shape: tuple[int, int, int]
  mean: Sequence[float]
  std: Sequence[float]
  class_names: Sequence[str]


def render(
  genotype: Genotype, plan: Any, settings: Settings, facts: Facts
) -> str:
  """The text of network.py.

  Args:
    genotype: of the network.
    plan: of the network, of any family.
    settings: of its operations.
    facts: what else the file says.

  Raises:
    ValueError: for an operation that cannot be written in plain Flax.
  """
  body = networks.render(genotype, plan, settings)
  height, width, channels = facts.image_shape
  head = _HEAD.format(
    title=facts.title.replace("\\", "/").replace('"', "'"),
    height=height,
    width=width,
    channels=channels,
    mean=tuple(float(value) for value in facts.mean),
    std=tuple(float(value) for value in facts.std),
    classes="\n".join(
      f"  {json.dumps(name, ensure_ascii=False)}," for name in facts.class_names
    ),
  )
  parts = [
    inspect.getsource(getattr(layers, name)) for name in _used_layers(body)
  ]
  return "\n\n".join(
    [head, *(part.rstrip() + "\n" for part in parts), body]
  ) + ("\n" + _TAIL)


def _used_layers(body: str) -> list[str]:
  """Names of the layers that a text and those layers themselves use."""
  text, used = body, []
  for name in reversed(_LAYERS):
    if re.search(rf"\b{name}\b", text):
      used.insert(0, name)
      text += inspect.getsource(getattr(layers, name)).partition("\n")[2]
  return used
