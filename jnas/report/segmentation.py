"""The training of a class for every pixel: curves, classes, examples."""

import colorsys
import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import figure as figure_lib
from matplotlib import patches

from jnas.report import curves, folder, markup, plots, tables, theme

_IGNORED = 255
_PANEL = 1.35  # inches a side of an image
_TITLES = ("image", "truth", "predicted")


def draw(run: folder.Run) -> dict[str, figure_lib.Figure | None]:
  """The pictures of the section, by name."""
  if run.segment is None:
    return {}
  log = run.segment
  return {
    "segment_miou": plots.segment_miou(log),
    "segment_loss": plots.segment_loss(log),
    "segment_examples": _draw_examples(run.segment_examples, _class_names(log)),
  }


def section(run: folder.Run, pictures: curves.Pictures) -> str:
  """Numbers, each class, curves, and a few images with their masks."""
  log = run.segment
  if log is None or not log.epochs:
    return ""
  captions = {
    "segment_miou": "Mean intersection over union, and share of pixels that"
    " are right; the test images fit nothing.",
    "segment_loss": "Loss of a pixel.",
  }
  results = markup.numbers(_results(run, log), "segmentation", lead=True)
  classes = markup.numbers(_by_class(log), "classes", lead=False)
  content = (
    '<p class="lead">Measured on whole test images, each pixel once; pixels'
    " that the masks leave out count nowhere.</p>"
    f'<div class="pair"><div>{results}</div><div>{classes}</div></div>'
    + curves.charts(pictures, captions)
  )
  if "segment_examples" in pictures:
    label = "test images, their masks and what was predicted"
    svg = markup.inline_svg(
      pictures["segment_examples"].svg, "segment_examples", label, natural=True
    )
    content += markup.figure(
      markup.scroll(svg, label),
      "Images spread over the test split, after the last epoch. White: left"
      " out by the mask, or beyond the image.",
    )
  columns = (
    *("train_loss", "train_pixel_accuracy", "test_loss", "test_miou"),
    *("test_pixel_accuracy", "lr", "images_per_s"),
  )
  return content + markup.disclosure(
    "Numbers by epoch", curves.by_epoch(log, columns)
  )


def final_miou(log: folder.Log) -> float:
  """Mean intersection over union after the last epoch known."""
  return tables.last_value(log, "test_miou")


def _results(run: folder.Run, log: folder.Log) -> tables.Table:
  tested = tables.split_note(log, "test")
  best = folder.number(log.summary, "best_test_miou")
  if not math.isfinite(best):
    best = max(log.values("test_miou"))

  def summed(name: str) -> str:
    return tables.count(folder.number(log.summary, name))

  inherited = log.summary.get("inherited")
  weights = {True: "a trained backbone's", False: "fresh"}
  rows = [
    ("mIoU, last epoch", tested, tables.percent(final_miou(log))),
    ("mIoU, best epoch", "picked on test, so flattering", tables.percent(best)),
    (
      "Pixels right, last epoch",
      tested,
      tables.percent(tables.last_value(log, "test_pixel_accuracy")),
    ),
    (
      "Loss, last epoch",
      tested,
      tables.decimal(tables.last_value(log, "test_loss")),
    ),
    ("Parameters", "", summed("params")),
    ("Parameters of the head", "", summed("head_params")),
    (
      "Weights at the start",
      "",
      weights.get(inherited, tables.UNKNOWN)
      if isinstance(inherited, bool)
      else tables.UNKNOWN,
    ),
    ("Epochs", "", tables.progress(log, run, "segment")),
    ("Seed", "", summed("seed")),
    ("Wall time", "", tables.duration(tables.seconds(log))),
  ]
  return tables.Table(
    ("value",),
    tuple(tables.Row(label, note, (value,)) for label, note, value in rows),
  )


def _by_class(log: folder.Log) -> tables.Table:
  """Intersection over union of each class, after the last epoch."""
  values = log.epochs[-1].get("test_iou")
  rows = [
    tables.Row(
      name,
      "",
      (tables.percent(value) if isinstance(value, float) else tables.UNKNOWN,),
    )
    for name, value in zip(_class_names(log), values or (), strict=False)
  ]
  return tables.Table(("IoU",), tuple(rows))


def _class_names(log: folder.Log) -> Sequence[str]:
  names = log.header.get("class_names")
  return [str(name) for name in names] if isinstance(names, list) else []


def _draw_examples(
  examples: Mapping[str, np.ndarray], names: Sequence[str]
) -> figure_lib.Figure | None:
  """A row for each image: the image, its mask, what was predicted."""
  if not examples or not names:
    return None
  images, labels = examples["images"], examples["labels"]
  number = len(images)
  colours = _colours(len(names))
  shown = sorted(set(np.unique(labels)) | set(np.unique(examples["predicted"])))
  shown = [label for label in shown if label < len(names)]
  rows = math.ceil(len(shown) / 3)
  width, below = 3 * _PANEL, 0.2 * rows + 0.1
  height = number * _PANEL + 0.25 + below
  with theme.style():
    figure = figure_lib.Figure(figsize=(width, height))
    for row in range(number):
      predicted = np.where(
        labels[row] == _IGNORED, _IGNORED, examples["predicted"][row]
      )
      pictures = (_rgb(images[row]), colours[labels[row]], colours[predicted])
      for column, picture in enumerate(pictures):
        top = height - 0.25 - (row + 1) * _PANEL
        axes = figure.add_axes(
          (
            (column * _PANEL + 0.03) / width,
            (top + 0.03) / height,
            (_PANEL - 0.06) / width,
            (_PANEL - 0.06) / height,
          )
        )
        axes.imshow(picture, interpolation="nearest")
        axes.set_axis_off()
        if row == 0:
          axes.set_title(_TITLES[column], loc="center")
    figure.legend(
      handles=[
        patches.Patch(color=tuple(colours[label] / 255), label=names[label])
        for label in shown
      ],
      loc="lower left",
      ncols=3,
      borderaxespad=0.1,
      labelspacing=0.2,
    )
  return figure


def _rgb(image: np.ndarray) -> np.ndarray:
  """`[H, W, C]` with three channels."""
  return image[..., :3] if image.shape[-1] >= 3 else image[..., [0, 0, 0]]


def _colours(number: int) -> np.ndarray:
  """`[256, 3]` uint8: a colour for each class, far from its neighbours'."""
  colours = np.full((256, 3), 255, np.uint8)
  for label in range(number):
    # Turned by the golden angle; the first class, mostly the ground, is grey.
    hue, light = 0.618 * label % 1, (0.85, 0.6)[label // 8 % 2]
    red, green, blue = (
      colorsys.hsv_to_rgb(hue, 0.75, light) if label else (0.2, 0.2, 0.2)
    )
    colours[label] = [round(255 * value) for value in (red, green, blue)]
  return colours
