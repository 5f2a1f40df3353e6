"""What `jnas segment` refuses."""

import numpy as np
import pytest

from tests.data import scenes

SEGMENT = (
  *("segment", "--config", "segment_small", "--workdir", "run"),
  *("--segment.batch_size", 2),
)


@pytest.fixture
def masks(here) -> str:
  """An archive of a few scenes, and the source that names it."""
  scenes.write_npz(here / "masks.npz", train=4, test=2)
  return "npz:masks.npz"


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ([], "no genotype in 'run': run `jnas search` first, or give one"),
    (["--genotype", "DARTS"], "DARTS"),
    (
      ["--segment.crop_size", 65],
      "segment.crop_size is 65; it must be a multiple of 32, since the "
      "backbone halves the image five times: use 64 or 96",
    ),
    (["--segment.eval_size", 20], "multiple of 32, since the backbone"),
    (["--segment.eval_size", 32], "segment.eval_size is 32; it must be 64"),
    (
      ["--segment.batch_size", 1],
      "segment.batch_size is 1; it must be 2, since the head's batch norm",
    ),
    (["--segment.batch_size", 5], "value an image, to 4, the number of train"),
    (["--segment.output_stride", 4], "'4' for argument"),
    (["--segment.rates", 6, 0], "segment.rates is (6, 0); it must have one"),
    (["--segment.scale_max", 0.1], "segment.scale_max is 0.1; it must be at "),
    (["--segment.scale_min", 0], "segment.scale_min is 0.0; it must be above"),
    (["--segment.dropout", 1], "segment.dropout is 1.0; it must be in 0 <= x"),
    (["--segment.train_list", "trainaug"], "it must be 'train'"),
    (["--segment.epoch", 3], "did you mean --segment.epochs?"),
    (["--data.limit", 9], "limit is 9; 4 images are there: give 1 to 4"),
    (["--data.image_size", 64], "data.image_size is 64; it must be 0, since"),
    (["--data.crop_padding", 2], "data.crop_padding is 2; it must be 0, since"),
    (["--data.stream", "off"], "data.stream is off; it must be auto, since"),
    (
      ["--data.max_unreadable", 3],
      "data.max_unreadable is 3; it must be 0, since every image with a mask",
    ),
    (
      ["--evaluate.dtype", "bfloat16"],
      "evaluate.dtype is bfloat16; it must be float32, since `jnas segment`",
    ),
    (
      ["--evaluate.ema_decay", 0.9],
      "evaluate.ema_decay is 0.9; it must be 0.0, since `jnas segment` trains",
    ),
    (["--evaluate.cutout", 8], "evaluate.cutout is 8; it must be 0, since"),
    (["--data.source", "voc:none"], "voc:none has no folder JPEGImages"),
    (["--data.source", "fashion_mnist_mini"], "unknown mask source"),
    (["--data.source", "tfds:voc/2012"], "TFDS's VOC has boxes and no masks"),
    (
      ["--evaluate.stem", "cifar", "--genotype", "DARTS_V2"],
      "segment.output_stride is 8; the stem of the network divides the "
      "resolution by 1 and all of it by 4: evaluate.stem must be 'imagenet'",
    ),
    (
      ["--genotype", "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|"]
      + ["--space", "nasbench201", "--evaluate.cells", 6],
      "space is 'nasbench201', whose network divides the resolution by 4 alone",
    ),
    (["--segment.backbone", "none"], "no run in 'none'"),
  ],
)
def test_settings_without_meaning_are_refused(
  masks, refusal, arguments, message
):
  given = () if "--genotype" in arguments else ("--genotype", "DARTS_V2")
  if not arguments:
    given = ()
  assert message in refusal(*SEGMENT, *given, *arguments)


def test_a_class_without_a_name_is_refused_before_anything(here, refusal):
  scenes.write_npz(
    here / "masks.npz",
    train=4,
    test=2,
    test_masks=np.full((2, 64, 64), 4, np.uint8),
  )
  line = refusal(*SEGMENT, "--genotype", "DARTS_V2")
  assert "test_masks holds the class 4; with 4 classes it must be 0 to" in line


def test_masks_are_no_images_to_search_on(here, refusal):
  scenes.write_voc(here / "voc", train=4, test=2)
  line = refusal("search", "--config", "smoke", "--data.source", "voc:voc")
  assert "voc holds masks, which only `jnas segment` trains on" in line
