"""MODEL_CARD.md: what an exported network is and how good it was measured."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jnas import genotype as genotypes
from jnas.export import source
from jnas.genotype import Genotype

# What the authors of a data set allow.
_LICENCES = {
  "fashion_mnist_mini": "Fashion-MNIST: MIT, (c) 2017 Zalando SE",
  "cifar10": "CIFAR-10: its authors state no licence",
  "cifar100": "CIFAR-100: its authors state no licence",
  "svhn": "SVHN: non-commercial use only, by its authors",
}


class Card(NamedTuple):
  """What the card says.

  Attributes:
    facts: what network.py says too.
    origin: of the genotype: "search", "random", or "given" by hand.
    summary: the last record of its training.
    header: the first record of its training.
    config: the run's, nested.
    config_hash: of the config.
    versions: of jnas and the packages that it was trained with.
    genotype: of the network.
    files: names and what is in them.
    differences: of each file's logits from jnas's own, the largest over the
      logits' scale.
    num_images: images that they were compared on.
    best: whether the weights are those of the best epoch, not of the last.
  """

  facts: source.Facts
  origin: str
  summary: Mapping[str, Any]
  header: Mapping[str, Any]
  config: Mapping[str, Any]
  config_hash: str
  versions: Mapping[str, str]
  genotype: Genotype
  files: Sequence[tuple[str, str]]
  differences: Mapping[str, float]
  num_images: int
  best: bool = False

  @property
  def pixels(self) -> bool:
    """Whether the network names the class of every pixel."""
    return "test_miou" in self.summary


def render(card: Card) -> str:
  """The card as Markdown."""
  parts = [
    f"# {card.facts.title}\n",
    _numbers(card),
    _data(card),
    _files(card),
    f"## Genotype\n\n```\n{_genotype_text(card.genotype).rstrip()}\n```\n",
  ]
  return "\n".join(parts)


def _numbers(card: Card) -> str:
  summary = card.summary
  batch = card.config["segment" if card.pixels else "evaluate"]["batch_size"]
  rows = [
    *(_pixel_accuracies(card) if card.pixels else _accuracies(card)),
    ("parameters", f"{summary['params']:,}"),
    *(
      [("multiply-adds of an image", f"{summary['madds']:,}")]
      if "madds" in summary
      else []
    ),
    ("epochs", f"{summary['epochs']:,}"),
    ("images of a training step", f"{batch:,}"),
    ("seed of the run", f"{summary['seed']}"),
    ("weights at the start", _start(card)),
    ("search", _search(card)),
    ("config", f"{card.config['name']}, hash {card.config_hash}"),
    ("versions", ", ".join(f"{k} {v}" for k, v in card.versions.items())),
  ]
  return f"## Numbers\n\n{_table(('what', 'value'), rows)}"


def _accuracies(card: Card) -> list[tuple[str, str]]:
  summary = card.summary
  splits = card.header["split_sizes"]
  return [
    (
      "test accuracy, last epoch",
      f"{summary['test_accuracy']:.2%} (test split, {splits['test']:,} images)",
    ),
    (
      "test accuracy, best epoch",
      f"{summary['best_test_accuracy']:.2%} (picked on the test split, so "
      f"flattering; these are {'' if card.best else 'not '}its weights)",
    ),
    ("train accuracy, last epoch", f"{summary['train_accuracy']:.2%}"),
  ]


def _pixel_accuracies(card: Card) -> list[tuple[str, str]]:
  summary = card.summary
  splits = card.header["split_sizes"]
  return [
    (
      "test mean IoU, last epoch",
      f"{summary['test_miou']:.2%} (test split, {splits['test']:,} images)",
    ),
    (
      "test mean IoU, best epoch",
      f"{summary['best_test_miou']:.2%} (picked on the test split, so "
      "flattering; these are not its weights)",
    ),
    ("test pixels, last epoch", f"{summary['test_pixel_accuracy']:.2%}"),
    ("train pixels, last epoch", f"{summary['train_pixel_accuracy']:.2%}"),
  ]


def _start(card: Card) -> str:
  if not card.summary["inherited"]:
    return "fresh"
  if card.pixels:
    return f"the backbone's of {card.config['segment']['backbone']}"
  return "the supernet's"


def _search(card: Card) -> str:
  if card.origin == "random":
    return "none: a random genotype, trained as a baseline"
  if card.origin == "given":
    return "none: the genotype was given"
  config = card.config
  return f"{config['method']['name']} in the space {config['space']}"


def _data(card: Card) -> str:
  data, facts = card.config["data"], card.facts
  kind = data["source"].partition(":")[0]
  licence = _LICENCES.get(kind, "ask whoever gave you the images")
  note = card.header.get("note")
  height, width, channels = facts.image_shape
  lines = [
    f"- Data set: `{data['source']}`, {card.header['split_sizes']['train']:,} "
    f"training images, {len(facts.class_names)} classes"
    + (f"; {note}" if note else ""),
    f"- Licence of the images: {licence}",
    f"- Licence of {'the network' if card.pixels else 'network.py'}: "
    "Apache-2.0, as jnas; of the weights: what the images' licence and you "
    "allow",
    f"- Input: `[N, {height}, {width}, {channels}]` (NHWC), float32: pixels of "
    "0 to 255 divided by 255, less the mean, over the standard deviation",
    f"- Mean: {_list(facts.mean)}; standard deviation: {_list(facts.std)}, of "
    "each channel of the training images",
    f"- Output: `[N, {f'{height}, {width}, ' if card.pixels else ''}"
    f"{len(facts.class_names)}]` logits of the classes "
    + ", ".join(facts.class_names),
    "- Smaller images are padded with the mean at right and below"
    if card.pixels
    else "- Images of other sizes are resized by the shorter side (bilinear, "
    "averaging), then the centre is cut out",
  ]
  return "## Data and preprocessing\n\n" + "\n".join(lines) + "\n"


def _files(card: Card) -> str:
  rows = [
    (f"`{name}`", what, f"{card.differences[name]:.1e}")
    for name, what in card.files
  ]
  columns = ("file", "what it is", "largest difference")
  return (
    f"## Files\n\n{_table(columns, rows)}\n"
    "The difference is that of the logits from jnas's own, over the largest "
    f"logit, on {card.num_images} test images, each file read back, on CPU. "
    "GPUs and TPUs multiply float32 in their own default precision. "
    "jax promises that versions of the next six months read "
    "network.stablehlo.\n\n" + _snippet(card)
  )


def _snippet(card: Card) -> str:
  """How network.stablehlo is run: it needs jax, flatbuffers and no jnas."""
  if not any(name == "network.stablehlo" for name, _ in card.files):
    return ""
  shape = ", ".join(map(str, card.facts.image_shape))
  return (
    "\n```python\n"
    "# pip install jax flatbuffers\n"
    "import jax.export, numpy as np, pathlib\n"
    f"pixels = np.load('images.npy')  # [N, {shape}], 0 to 255\n"
    f"mean = np.array([{_list(card.facts.mean)}], np.float32)\n"
    f"std = np.array([{_list(card.facts.std)}], np.float32)\n"
    "images = (pixels.astype(np.float32) / 255 - mean) / std\n"
    "blob = pathlib.Path('network.stablehlo').read_bytes()\n"
    "logits = jax.export.deserialize(bytearray(blob)).call(images)\n"
    "classes = np.asarray(logits).argmax(-1)\n"
    "```\n"
  )


def _genotype_text(genotype: Genotype) -> str:
  try:
    return genotypes.to_darts(genotype)
  except ValueError:
    return genotypes.to_json(genotype)


def _table(columns: Sequence[str], rows: Sequence[tuple[str, ...]]) -> str:
  lines = [columns, ["---"] * len(columns), *rows]
  return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _list(values: Sequence[float]) -> str:
  return ", ".join(f"{value:.6g}" for value in values)
