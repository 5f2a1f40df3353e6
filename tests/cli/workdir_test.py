"""Run folders that are another's, damaged, or cannot be written."""

import dataclasses
import errno
import fcntl
import json
import os

import pytest

from jnas import config
from jnas import genotype as genotypes

SEARCH = ("search", "--config", "smoke", "--workdir", "run")
SETTINGS = dataclasses.asdict(config.load("smoke"))


def test_a_run_folder_of_another_config_is_refused(refusal, run_folder):
  run_folder()
  assert refusal(*SEARCH, "--seed", 7, "--search.lr", 0.5) == (
    "run holds a run of another config: search.lr is 0.025 there and 0.5 here; "
    "seed is 0 there and 7 here; use another --workdir, or the same settings "
    "to continue it"
  )


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("", "Expecting value: line 1"),
    (json.dumps({"config": SETTINGS})[:99], "line 1 column"),
    ("[]", 'no "config" in it'),
    ("{}", 'no "config" in it'),
    ('{"config": {}}', "required positional argument: 'name'"),
    (
      json.dumps({"config": SETTINGS}).replace('"epochs"', '"epoch"'),
      "did you mean 'epochs'?",
    ),
    (
      json.dumps({"config": {**SETTINGS, "seed": "x"}}),
      "seed is 'x', of type str; it must be of type int",
    ),
  ],
)
@pytest.mark.parametrize("command", ["search", "report"])
def test_a_damaged_config_json_is_refused(
  refusal, run_folder, command, text, message
):
  run_folder(text)
  line = refusal(*(SEARCH if command == "search" else ("report", "run")))
  assert line.startswith("run/config.json cannot be read: ")
  assert message in line


def test_damaged_metrics_are_refused(refusal, run_folder):
  path = run_folder() / "search" / "metrics.jsonl"
  path.write_text('{"kind": "header"}\ngarbage\n{"kind": "summary"}\n')
  assert refusal(*SEARCH) == (
    "run/search/metrics.jsonl, line 2 is not a JSON object; remove the line"
  )


@pytest.mark.parametrize("command", ["run", "search", "evaluate"])
@pytest.mark.parametrize(
  "workdir", ["file", "file/run", "file/deeper/run", "/dev/null/run"]
)
def test_a_workdir_that_cannot_be_a_folder_is_refused(
  here, refusal, command, workdir
):
  (here / "file").write_text("in the way")
  genotype = ["--genotype", "DARTS_V2"] if command == "evaluate" else []
  line = refusal(command, "--config", "smoke", "--workdir", workdir, *genotype)
  assert line.startswith(f"cannot write to {workdir}: ")
  assert line.endswith(" is not a folder")


def test_a_workdir_without_the_right_to_write_is_refused(
  here, refusal, monkeypatch
):
  def refuse(*_, **__):
    raise PermissionError(errno.EACCES, "Permission denied")

  # Root may write anywhere, so the system's answer is played.
  monkeypatch.setattr("tempfile.TemporaryFile", refuse)
  assert refusal(*SEARCH) == f"cannot write to run: Permission denied in {here}"


def test_a_disk_that_is_full_from_the_start_leaves_no_file(
  here, refusal, monkeypatch
):
  def refuse(_):
    raise OSError(errno.ENOSPC, "No space left on device")

  (here / "run").mkdir()
  monkeypatch.setattr(os, "fsync", refuse)
  # Not bad input but a failure in running.
  assert refusal(*SEARCH, code=1) == (
    "cannot write run/config.json: No space left on device"
  )


@pytest.mark.parametrize("stage", ["search", "evaluate"])
def test_a_run_folder_in_use_is_refused(refusal, run_folder, stage):
  path = run_folder()
  command = SEARCH
  if stage == "evaluate":
    command = ("evaluate", *SEARCH[1:], "--genotype", "DARTS_V2")
  with (path / ".lock").open("a") as file:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert refusal(*command) == (
      "run is in use by another run: wait until it ends, or use another "
      "--workdir"
    )


def test_a_folder_whose_genotype_was_given_is_not_searched(refusal, run_folder):
  path = run_folder()
  genotypes.save(
    path / "genotype.json", genotypes.parse("DARTS_V2"), {"step": 0}
  )
  assert refusal(*SEARCH) == (
    "run/genotype.json was given by hand, not found by a search; "
    "search in another --workdir"
  )


def test_a_run_that_failed_at_once_leaves_its_folder_free(here):
  from jnas import config
  from jnas.pipeline import folder

  first, other = config.load("smoke"), config.load("quickstart")
  folder.open_run(first, here / "run").create()
  with pytest.raises(folder.OtherConfigError):
    with folder.open_run(first, here / "run").locked():
      folder.open_run(other, here / "run")  # it is compiling
  waiting = folder.open_run(first, here / "run")
  folder.open_run(other, here / "run").create()
  assert folder.read_config(here / "run") == other
  with pytest.raises(folder.OtherConfigError):
    with waiting.locked():  # the folder is another run's by now
      pass
  with folder.open_run(other, here / "run").locked():
    with pytest.raises(ValueError, match="is in use by another run"):
      waiting.create()
  (here / "run" / "search").mkdir()
  with pytest.raises(folder.OtherConfigError, match="name is 'quickstart'"):
    folder.open_run(first, here / "run")


def test_a_space_that_the_method_cannot_search_is_refused(refusal):
  message = refusal(*SEARCH, "--method.name", "unas", "--space", "s1")
  assert "set cell 'edges'" in message
