"""The configs for ImageNet, as far as they go without its images."""

import pytest

from jnas import config as configs
from jnas.pipeline import networks, problem

SEARCHED = ("entrannas_imagenet", "dst_imagenet", "unas_imagenet")
# (training images of the weights, of the architecture): SPEC 3.4 and 3.9.
SIZES = {
  "entrannas_imagenet": (128_116, 32_029),
  "dst_imagenet": (128_116, 32_029),
  "unas_imagenet": (1_153_050, 128_117),
}


@pytest.mark.parametrize("name", SEARCHED)
def test_a_search_on_imagenet_is_prepared_without_its_images(name):
  found = problem.prepare(configs.load(name))
  assert found.info.streamed
  assert (found.num_train, found.num_valid) == SIZES[name]
  networks.search_net(found)
  networks.check_evaluate(found)


@pytest.mark.parametrize("name", (*SEARCHED, "mobile_imagenet", "unas_mbconv"))
def test_the_images_are_seen_as_in_the_papers_recipe(name):
  config = configs.load(name)
  data, evaluate = config.data, config.evaluate
  # 224 of 256 pixels when measuring.
  assert data.image_size / data.eval_crop == 256
  assert (data.crop_scale, data.crop_ratio) == (0.08, 4 / 3)
  assert (data.jitter, data.hue, data.flip) == (0.4, 0.2, True)
  assert (evaluate.stem, evaluate.label_smoothing) == ("imagenet", 0.1)
  assert evaluate.cutout == 0


@pytest.mark.parametrize("name", (*SEARCHED, "mobile_imagenet"))
def test_the_derived_network_has_14_cells_and_an_auxiliary_head(name):
  evaluate = configs.load(name).evaluate
  assert (evaluate.cells, evaluate.epochs) == (14, 250)
  assert (evaluate.auxiliary_weight, evaluate.weight_decay) == (0.4, 3e-5)
