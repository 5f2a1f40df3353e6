import json
import math
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas.training import metrics

HEADER = {"kind": "header", "split_sizes": {"train": 3}}


def epoch(number, step, **more):
  return {"kind": "epoch", "epoch": number, "step": step, **more}


@pytest.fixture
def file(tmp_path):
  """The metrics of a finished run of three epochs of ten steps."""
  file = metrics.MetricsFile(tmp_path / "search" / "metrics.jsonl")
  file.write(HEADER)
  for number in range(3):
    file.write(epoch(number, 10 * number + 10, train_loss=0.1 * number))
  file.write({"kind": "summary", "steps": 30})
  return file


def test_means_weigh_examples_not_batches():
  sums = metrics.zero_sums()
  ones = jnp.ones(4)
  for losses, correct, weights in [
    ([1.0, 2.0, 3.0, 4.0], [True, True, True, False], ones),
    ([6.0, jnp.nan, 0.0, 0.0], [True, True, True, True], ones.at[1:].set(0)),
  ]:
    batch = metrics.batch_sums(
      jnp.array(losses), jnp.array(correct), jnp.array(weights)
    )
    sums = metrics.add(sums, batch)
  # (1 + 2 + 3 + 4 + 6) / 5 and (3 + 1) / 5; the padding of the second batch
  # is right and has no loss, and does not count.
  assert metrics.mean(sums) == (pytest.approx(3.2), pytest.approx(0.8))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_sums_are_float32_under_jit_whatever_the_losses(dtype):
  losses = jnp.full(300, 1.0, dtype)  # bfloat16 counts to 256
  sums = jax.jit(metrics.batch_sums)(losses, losses > 0, jnp.ones(300, bool))
  assert [leaf.dtype for leaf in sums] == [jnp.float32] * 3
  np.testing.assert_array_equal(sums, [300, 300, 300])


def test_a_mean_over_nothing_is_refused():
  with pytest.raises(ValueError, match="no examples"):
    metrics.mean(metrics.zero_sums())


def test_records_come_back_as_written(file):
  kinds = [record["kind"] for record in file.read()]
  assert kinds == ["header", "epoch", "epoch", "epoch", "summary"]
  assert file.read()[0] == HEADER
  assert file.read()[2]["train_loss"] == 0.1


def test_every_line_is_json_whatever_the_values(file):
  file.write(
    epoch(
      3,
      np.int64(40),
      train_loss=math.nan,
      gap=-math.inf,
      mixing={"normal": np.array([[0.5, np.nan]], np.float32)},
      lr=jnp.float32(0.25),
      counts=(1, np.float64(2)),
      done=np.bool_(True),
    )
  )
  line = file.path.read_text().splitlines()[-1]
  assert json.loads(line, parse_constant=pytest.fail) == epoch(
    3,
    40,
    train_loss=None,
    gap=None,
    mixing={"normal": [[0.5, None]]},
    lr=0.25,
    counts=[1, 2.0],
    done=True,
  )


@pytest.mark.parametrize("record", [{"step": 3}, {"kind": "epoch", "epoch": 3}])
def test_a_record_without_kind_or_step_is_refused(file, record):
  before = file.path.read_bytes()
  with pytest.raises(ValueError, match="kind|step"):
    file.write(record)
  assert file.path.read_bytes() == before


@pytest.mark.parametrize(
  ("step", "left"),
  [(0, 1), (9, 1), (10, 2), (19, 2), (25, 3), (30, 4), (99, 4)],
)
def test_truncation_keeps_the_header_and_steps_up_to_the_last(file, step, left):
  lines = file.path.read_bytes().splitlines(keepends=True)
  file.truncate_after(step)
  assert file.path.read_bytes() == b"".join(lines[:left])


def test_truncation_for_a_new_run_keeps_nothing(file):
  file.truncate_after(None)
  assert file.read() == []


def test_a_line_torn_by_a_crash_is_dropped(file):
  whole = file.path.read_bytes()
  last = whole.splitlines(keepends=True)[-1]
  kept = whole[: -len(last)]
  for length in range(1, len(last) - 1):
    file.path.write_bytes(kept + last[:length])
    assert len(file.read()) == 4
    file.truncate_after(30)
    assert file.path.read_bytes() == kept


def test_a_whole_line_torn_before_its_end_counts(file):
  file.truncate_after(30)
  whole = file.path.read_bytes()
  file.path.write_bytes(whole[:-1])
  file.truncate_after(30)
  assert file.path.read_bytes() == whole


def test_a_bad_line_is_named(file):
  lines = file.path.read_text().splitlines(keepends=True)
  file.path.write_text(lines[0] + "{\n" + lines[1])
  with pytest.raises(ValueError, match=r"metrics.jsonl, line 2 is not a JSON"):
    file.truncate_after(30)


def test_a_crash_while_truncating_leaves_the_old_file(file, monkeypatch):
  before = file.path.read_bytes()

  def crash(*_):
    raise KeyboardInterrupt

  monkeypatch.setattr(os, "replace", crash)
  with pytest.raises(KeyboardInterrupt):
    file.truncate_after(10)
  assert file.path.read_bytes() == before


def test_a_file_that_is_not_there_is_empty(tmp_path):
  file = metrics.MetricsFile(tmp_path / "metrics.jsonl")
  file.truncate_after(10)
  assert file.read() == []
  assert not list(tmp_path.iterdir())


def test_trouble_in_writing_is_one_line_with_the_path(tmp_path):
  (tmp_path / "search").write_text("")
  path = tmp_path / "search" / "metrics.jsonl"
  with pytest.raises(OSError) as caught:
    metrics.MetricsFile(path).write(HEADER)
  assert str(caught.value).startswith(f"cannot write {path}: ")
  assert caught.value.errno


def test_two_runs_differ_in_times_only(file):
  other = metrics.MetricsFile(file.path.with_name("other.jsonl"))
  for number, record in enumerate(file.read()):
    other.write({**record, "seconds": number, "images_per_s": 3.5 * number})
  assert metrics.strip_times(other.read()) == metrics.strip_times(file.read())
  assert other.read() != file.read()
