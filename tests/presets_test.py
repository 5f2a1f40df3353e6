"""`--preset authors`, by the rows of SPEC 6."""

import pytest

from jnas import config, options, presets


def read(*arguments):
  """The config of a command line."""
  parser = options.config_parser("search", "")
  return options.read_config(parser, list(arguments))[1]


def differing(one, other):
  """The fields of `other` that are not those of `one`."""
  before, after = config.flatten(one), config.flatten(other)
  return {
    name: value for name, value in after.items() if before.get(name) != value
  }


# D1 to D3, of DARTS.
DARTS = {
  "preset": "authors",
  "search.arch_moves_statistics": True,
  "search.lr_min": 0.001,
  "search.lr_first_epoch": 1,
}
# D10, D11 and D14, of PT.
PT = {
  "selection.topology": "iterative",
  "selection.lr_end_share": 1.0,
  "selection.none_edge": "first_other",
}


@pytest.mark.parametrize(
  ("name", "wanted"),
  [
    ("darts_cifar10", DARTS),
    ("pt_cifar10", DARTS | PT),
    # D13: alpha is frozen where it began, at N(0, 0.001^2), and not at 0.
    (
      "pt_frozen_cifar10",
      DARTS | PT | {"method.settings.init_scale": 0.001},
    ),
    # No node of NAS-Bench-201 loses an edge, and `none` is an operation.
    (
      "pt_frozen_nasbench201",
      DARTS
      | PT
      | {
        "method.settings.init_scale": 0.001,
        "selection.none_edge": "removed",
      },
    ),
    # PT within SGAS has no topology phase and no tuning of its own.
    ("pt_sgas_cifar10", DARTS),
    # A cell is drawn, and neither tuned nor decided on edge by edge.
    ("random_sharing_cifar10", {"preset": "authors"}),
  ],
)
def test_the_authors_preset_sets_what_their_code_does(name, wanted):
  paper = read("--config", name)
  authors = read("--config", name, "--preset", "authors")
  before = config.flatten(paper)
  assert differing(paper, authors) == {
    field: value
    for field, value in wanted.items()
    if before.get(field) != value
  }


def test_the_preset_is_that_of_the_method_and_selection_asked_for():
  options_given = ("--config", "darts_cifar10", "--preset", "authors")
  found = read(*options_given, "--selection.name", "perturbation")
  assert found.selection.topology == "iterative"
  assert found.selection.lr_end_share == 1.0
  found = read(*options_given, "--selection.name", "magnitude")
  # PT-Mag has no trials of edges; it is tuned alike.
  assert found.selection.topology == "one_shot"
  assert found.selection.lr_end_share == 1.0
  found = read(*options_given, "--method.name", "snas")
  assert found.search.drop_path == 0.3  # D4
  assert found.method.settings == {"estimator": "reparam"}  # D9


def test_later_options_win_over_the_preset():
  found = read(
    *("--config", "pt_s3_cifar10", "--preset", "authors"),
    *("--selection.topology", "one_shot"),
  )
  assert found.selection.topology == "one_shot"
  assert found.selection.none_edge == "first_other"


def test_an_unknown_preset_is_refused():
  with pytest.raises(ValueError, match="'code'; it must be one of paper, auth"):
    presets.apply(config.Config(name="x"), "code")
