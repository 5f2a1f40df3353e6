"""`jnas latency` through the command line."""

import dataclasses
import json

import pytest

from jnas import cli, latency
from tests.latency.table_test import TABLE

SHOWN = dataclasses.replace(
  TABLE,
  space="tests.pipeline.tiny:SPACE",
  network={"cells": 3, "channels": 2, "image_shape": [4, 4, 1]},
)


@pytest.fixture
def table(here):
  latency.save(here / "table.json", SHOWN)
  return "table.json"


def run(capfd, *arguments):
  with pytest.raises(SystemExit) as stopped:
    cli.main(list(arguments))
  assert stopped.value.code == 0
  return capfd.readouterr().out


def test_a_table_is_shown_with_its_errors_and_operations(table, capfd):
  out = run(capfd, "latency", "show", table)
  assert "on a chip, batch 8 of 4x4x1" in out
  assert "held_out_mae" in out and "0.100" in out
  # The two normal layers add up in the second row: 2 and 16.
  assert "skip_connect 18.000, sep_conv_3x3 32.000" in out


def test_a_table_is_one_object_for_scripts(table, capfd):
  fields = json.loads(run(capfd, "latency", "show", table, "--json"))
  assert fields["rest_ms"] == 1.5 and fields["batch_size"] == 8


@pytest.mark.parametrize(
  ("arguments", "said"),
  [
    (("show", "none.json"), "jnas latency build"),
    (("build", "--config", "smoke"), "--out is missing"),
    (("measure", "--config", "smoke"), "--genotype is missing"),
    (
      ("build", "--config", "smoke", "--out", "t.json", "--samples", "3"),
      "--samples is 3",
    ),
    (
      ("build", "--config", "smoke", "--out", "none/t.json", "--repeats", "0"),
      "--repeats is 0",
    ),
  ],
)
def test_bad_input_is_refused(refusal, arguments, said):
  assert said in refusal("latency", *arguments)
