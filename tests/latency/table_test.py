"""Tables of latencies as files."""

import dataclasses
import json

import numpy as np
import pytest

from jnas import latency

# Two normal cells of two edges, one reduction; the second edge has one
# operation less.
TABLE = latency.Table(
  space="somebody.s:SPACE",
  network={"cells": 3},
  batch_size=8,
  dtype="float32",
  device={"kind": "a chip"},
  repeats=5,
  layers=(
    {
      "cell_type": "normal",
      "rows": [0, 2],
      "median_ms": [[0.5, 1.0], [2.0]],
      "spread_ms": [[0.1, 0.1], [0.1]],
    },
    {
      "cell_type": "reduce",
      "rows": [0, 2],
      "median_ms": [[4.0, 0.0], [8.0]],
      "spread_ms": [[0.1, 0.0], [0.1]],
    },
    {
      "cell_type": "normal",
      "rows": [1, 1],
      "median_ms": [[16.0, 32.0]],
      "spread_ms": [[0.1, 0.1]],
    },
  ),
  rest_ms=1.5,
  coefficients={
    "normal": [[0.5, 1.0], [2.0, 0.0]],
    "reduce": [[4.0, 0.0], [8.0, 0.0]],
  },
  bias=1.25,
  correction={"scale": 1.0, "offset": -0.5},
  errors={"held_out_mae_ms": 0.1},
  compiled=({"measured_ms": 3.0},),
)


def saved(tmp_path, **changes):
  path = tmp_path / "table.json"
  latency.save(path, TABLE)
  fields = json.loads(path.read_text()) | changes
  path.write_text(json.dumps(fields))
  return path


def test_a_table_comes_back_as_it_was_saved(tmp_path):
  path = tmp_path / "table.json"
  latency.save(path, TABLE)
  assert latency.load(path) == TABLE
  fields = json.loads(path.read_text())
  assert fields["format"] == latency.FORMAT
  assert fields["unit"] == "ms"


def test_layers_add_up_in_the_rows_that_they_stand_for():
  operations = TABLE.operations()
  # 2 and 16 share a place; the missing operation stays 0 beside 32.
  np.testing.assert_array_equal(
    operations["normal"], [[0.5, 1.0], [18.0, 32.0]]
  )
  np.testing.assert_array_equal(operations["reduce"], [[4.0, 0.0], [8.0, 0.0]])


@pytest.mark.parametrize(
  ("changes", "said"),
  [
    ({"format": "other"}, "format is 'other'"),
    ({"bias": float("nan")}, "bias is nan"),
    ({"rest_ms": "1"}, "must be real number"),
    ({"batch_size": 0}, "batch_size is 0"),
    ({"coefficients": {"normal": [[1.0], [1.0, 2.0]]}}, "not a latency table"),
    ({"correction": {}}, "scale"),
    ({"layers": [{}]}, "rows"),
    (
      {"layers": [dict(TABLE.layers[0], median_ms=[[-1.0], [0.0]])]},
      "negative",
    ),
  ],
)
def test_a_damaged_table_is_refused_in_one_line(tmp_path, changes, said):
  path = saved(tmp_path, **changes)
  with pytest.raises(ValueError, match=said) as raised:
    latency.load(path)
  assert str(path) in str(raised.value)
  assert "\n" not in str(raised.value)


def test_a_table_without_a_field_is_refused(tmp_path):
  path = saved(tmp_path)
  fields = json.loads(path.read_text())
  del fields["bias"]
  path.write_text(json.dumps(fields))
  with pytest.raises(ValueError, match="no bias"):
    latency.load(path)


def test_a_missing_table_says_what_makes_one(tmp_path):
  with pytest.raises(FileNotFoundError, match="jnas latency build"):
    latency.load(tmp_path / "none.json")


def test_every_field_is_written(tmp_path):
  fields = json.loads(saved(tmp_path).read_text())
  names = {field.name for field in dataclasses.fields(latency.Table)}
  assert set(fields) == names | {"format", "unit"}
