"""Commands and options that mean nothing."""

import pytest

from jnas import options

RUN = ("run", "--config", "smoke", "--workdir", "run")


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (["serch"], "unknown command 'serch'; did you mean search?"),
    (
      ["--nope"],
      "unknown command '--nope'; commands: run, search, select, evaluate,",
    ),
    (["search"], "--config is missing: give a path ending in .py, or one of"),
    (["search", "--config"], "argument --config: expected one argument"),
    (
      ["search", "--config", "smok"],
      "no config 'smok'; did you mean 'smoke'?; give",
    ),
    (["search", "--config", "no.py"], "no config file 'no.py'"),
    (["search", "--config", "smoke", "--workdir", ""], "--workdir is empty"),
    (["report"], "the following arguments are required: workdir"),
    (["report", "nope"], "no run in 'nope': it has no config.json"),
    (["report", "."], "no run in '.': it has no config.json"),
    (
      ["bench", "stp", "--config", "smoke"],
      "choose from 'step', 'select', 'evaluate'",
    ),
    (
      ["bench", "step", "--config", "smoke", "--repeats", "0"],
      "--repeats is 0; it must be at least 1",
    ),
    (
      ["bench", "step", "--config", "smoke", "--workload", "evaluate"],
      "--workload is of `jnas bench scaling`; found with 'step'",
    ),
    (
      ["bench", "data", "--config", "smoke", "--step-seconds", "1"],
      "--step-seconds is of `jnas bench scaling`; found with 'data'",
    ),
    (
      ["bench", "scaling", "--config", "smoke", "--compare", "base", "base"],
      "--compare with 'scaling': it takes step, evaluate",
    ),
    (["plan", "--config", "smoke", "--jsn"], "unknown option '--jsn'"),
    (
      ["plan", "--config", "segment_small", "--segment", "--rungs"],
      "--rungs with --segment: they are of the search",
    ),
    (
      ["plan", "--config", "smoke", "--genotype", "DARTS_V2"],
      "--genotype is 'DARTS_V2' without --segment",
    ),
    (["list", "methodz"], "invalid choice: 'methodz' (choose from 'methods'"),
    (["genotype", "show"], "the following arguments are required: genotype"),
    (["genotype", "frob", "DARTS_V2"], "choose from 'show', 'count', 'draw'"),
  ],
)
def test_a_command_without_meaning_is_refused(refusal, arguments, message):
  assert message in refusal(*arguments)


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (
      ["--search.epoch", 3],
      "unknown option '--search.epoch'; did you mean --search.epochs?",
    ),
    (["--serch.epochs=3"], "'--serch.epochs'; did you mean --search.epochs?"),
    (["--search.epochs", -1], "search.epochs is -1; it must be at least 1"),
    (["--search.epochs", 0], "search.epochs is 0; it must be at least 1"),
    (["--search.epochs", 1.5], "--search.epochs is '1.5'; it must be an int"),
    (["--search.cells", "1e3"], "--search.cells is '1e3'; it must be an int"),
    (["--seed", "x"], "--seed is 'x'; it must be an int"),
    (["--search.lr", "x"], "--search.lr is 'x'; it must be a float"),
    (["--search.epochs"], "Missing value for argument '--search.epochs'"),
    (
      ["--search.stem", "imgnet"],
      "invalid choice 'imgnet' for argument '--search.stem'. Expected one of "
      "('cifar', 'imagenet')",
    ),
    (["extra"], "Unrecognized options: extra"),
    (["--data.flip", "False"], "--data.flip takes no value; found 'False'"),
    (["--data.no-flip", "no"], "give --data.flip or --data.no-flip"),
    (["--search.lr", "nan"], "search.lr is nan; it must be a finite number"),
    (["--search.lr", 0], "search.lr is 0.0; it must be above 0"),
    (["--search.lr", "-inf"], "search.lr is -inf; it must be a finite number"),
    (["--search.checkpoint_seconds", 0], "it must be above 0"),
    (["--search.momentum", 1], "search.momentum is 1.0; it must be in 0 <= x"),
    (["--search.batch-size", 0], "search.batch_size is 0; it must be at least"),
    (
      ["--search.batch_size", 101],
      "search.batch_size is 101; it must be 1 to 100, the number of images "
      "that fit the weights",
    ),
    (
      ["--data.valid_fraction", 0.05],
      "search.batch_size is 20; it must be 1 to 10, the number of images that "
      "fit the architecture",
    ),
    (
      ["--evaluate.batch_size", 201],
      "evaluate.batch_size is 201; it must be 1 to 200",
    ),
    (["--data.image_size", -4], "data.image_size is -4; it must be 0 or more"),
    (
      ["--data.image_size", 15],
      "images of 15x15: height and width must be mul",
    ),
    (["--data.image_size", 18], "multiples of 4 with the cifar stem"),
    (["--search.stem", "imagenet"], "multiples of 32 with the imagenet stem"),
    (["--search.cells", 2], "search: 2 cells: at least 3 are needed"),
    (["--evaluate.channels", 3], "evaluate: 3 channels: the number must be"),
    (["--search.lr_batch", -1], "search.lr_batch is -1; it must be 0 or more"),
    (
      ["--evaluate.epochs", 2, "--evaluate.lr_warmup", 3],
      "evaluate.lr_warmup is 3; it must be 0 to 2, evaluate.epochs",
    ),
    (["--data.limit", -3], "data.limit is -3; it must be 0 or more"),
    (["--data.limit", 5000], "limit is 5000; 4000 images are there: give 1 to"),
    (["--data.valid_fraction", 1], "data.valid_fraction is 1.0; it must be in"),
    (
      ["--data.crop_padding", 16],
      "data.crop_padding is 16; it must be 0 to 15",
    ),
    (["--evaluate.cutout", 33], "evaluate.cutout is 33; it must be 0 to 32"),
    (["--evaluate.auxiliary_weight", 0.4], "set evaluate.auxiliary_weight 0"),
    (["--evaluate.inherit"], "evaluate.inherit needs the cells, channels and"),
    (["--seed", -1], "seed is -1; it must be 0 or more"),
    (["--seed", 2**32], "seed is 4294967296; it must be below 2**32"),
    (["--name", "a/b"], "name is 'a/b'; it must be a file name"),
    (["--name", "x" * 300], "of 1 to 200 characters"),
    (["--method.name", "dart"], "unknown method 'dart'; did you mean 'darts'?"),
    (["--method.selector", "x"], "unknown selector 'x'; known selectors: mag"),
    (
      ["--method.settings", "temperatur", 3],
      "darts has no setting 'temperatur'; did you mean 'temperature'?; it has "
      "init_scale, temperature, temperature_decay",
    ),
    (
      ["--method.settings", "temperature", 0],
      "method.settings: temperature 0: must be above 0",
    ),
    (
      ["--method.settings", "temperature", "x"],
      "method.settings.temperature is 'x', of type str; it must be of type",
    ),
    (
      ["--method.settings", "temperature", "nan"],
      "method.settings.temperature is nan; it must be a finite number",
    ),
    (["--method.settings", "temperature"], "Error parsing --method.settings: "),
    (["--space", "dartz"], "unknown space 'dartz'; did you mean 'darts'?"),
  ],
)
def test_an_option_without_meaning_is_refused(refusal, arguments, message):
  assert message in refusal(*RUN, *arguments)


def test_too_many_pixels_for_the_memory_are_refused(refusal):
  message = refusal(*RUN, "--data.image_size", 400_000)
  # (200 + 100) * 400,000**2 bytes.
  assert message.startswith(
    "fashion_mnist_mini: 300 images of 400000x400000x1 take 44703.5 GiB"
  )


OWN = """
from jnas.data import base
from jnas.ops import OPS
from jnas.spaces import Space

def space(normal, concat=(2,), num_inputs=2, **more):
  edges = num_inputs
  ops = {"normal": (normal,) * edges, "reduce": (("skip_connect",),) * edges}
  return Space("own", num_inputs, 1, {**ops, **more}, concat)

MISSPELT = space(("sep_cnv_3x3",))
NO_OP = space(("own:TEXT",))
ONE_INPUT = space(("skip_connect",), num_inputs=1, concat=(1,))
TEXT = "text"

def select(weights):
  return weights

def load(argument):
  raise KeyError("train")

def load_list(argument):
  return [1, 2]
"""
OWN_SLIPS = {
  "syntax": "def f(:\n",
  "slip": "1 / 0\n",
  "concat": OWN + "\nSPACE = space(('skip_connect',), concat=(7,))\n",
  "none": OWN + "\nSPACE = space(('none',))\n",
}


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (["--space", "nope:S"], "space 'nope:S': cannot import nope: No module"),
    (["--space", "own:S"], "space 'own:S': module own has no 'S'"),
    (
      ["--space", "own:TEXT"],
      "is of type str; it must be a jnas.spaces.base.S",
    ),
    (["--space", "own:MISSPELT"], "unknown operation 'sep_cnv_3x3'; did you"),
    (["--space", "own:NO_OP"], "operation 'own:TEXT' is of type str; it must"),
    (["--space", "own:ONE_INPUT"], "of 1 inputs; wanted normal, reduce of 2"),
    (["--space", "syntax:S"], "cannot import syntax: invalid syntax"),
    (["--space", "slip:S"], "cannot import slip: ZeroDivisionError: division"),
    (["--space", "concat:SPACE"], "concat holds node 7; the nodes are 2 to 2"),
    (["--space", "none:SPACE"], "at least one other than 'none' is needed"),
    (
      ["--method.name", "own:TEXT"],
      "method 'own:TEXT' is of type str; it must",
    ),
    (["--method.name", "own:select"], "it must be a jnas.methods.base.Method"),
    (["--method.selector", "own:TEXT"], "cannot be called as selector(weights"),
    (["--method.selector", "own:select"], "too many positional arguments"),
    (["--data.source", "own:TEXT"], "is of type str; wanted a function load("),
    (["--data.source", "own:load"], "dataset 'own:load': KeyError: 'train'"),
    (["--data.source", "own:load_list"], "returned an object of type list"),
  ],
)
def test_a_slip_in_code_of_the_users_own_is_one_line(
  here, refusal, arguments, message
):
  for name, text in {"own": OWN, **OWN_SLIPS}.items():
    (here / f"{name}.py").write_text(text)
  assert message in refusal(*RUN, *arguments)


def test_method_settings_are_added_to_those_of_the_config():
  parser = options.config_parser("plan", None, workdir=False)
  arguments = ["--config", "snas_mild_cifar10"]
  given = ["--method.settings", "temperature", "0.5", "per_example", "True"]
  _, config = options.read_config(parser, [*arguments, *given])
  assert config.method.settings == {
    "level": "mild",
    "temperature": 0.5,
    "per_example": True,
  }
  _, unchanged = options.read_config(parser, arguments)
  assert unchanged.method.settings == {"level": "mild"}
