"""--seeds: one run after another, and what is no list of seeds."""

import pathlib

import pytest

from jnas import cli
from jnas.pipeline import run as pipeline

RUN = ("run", "--config", "smoke")


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (
      ("--seed", 3, "--seeds", 1, 2),
      "--seed is 3 and --seeds is 1 2; give one of the two",
    ),
    (
      ("--seeds", 1, 2, "--seed=0"),
      "--seed is 0 and --seeds is 1 2; give one of the two",
    ),
    (
      ("--seeds", 1, 2, 1),
      "--seeds has 1 more than once; each seed must be there once",
    ),
    (("--seeds", 0, -1), "seed is -1; it must be 0 or more"),
    (("--seeds", "x"), "argument --seeds: invalid int value: 'x'"),
    (("--seeds",), "argument --seeds: expected at least one argument"),
    (("--seeds", 1, "--workdir", ""), "--workdir is empty; give the path of a"),
  ],
)
def test_what_is_no_list_of_seeds_is_refused(refusal, arguments, message):
  assert refusal(*RUN, *arguments).startswith(message)


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (("--vmap",), "--vmap without --seeds: give the seeds to search"),
    (
      ("--vmap", "--seeds", 0, 1, "--method.name", "random"),
      "--vmap: method 'random' trains one network after another; leave --vmap",
    ),
    (
      ("--vmap", "--seeds", 0, 1, "--supernet.transit", "recompile")
      + ("--supernet.engine", "first", "--method.name", "entrannas"),
      "--vmap: supernet.transit is 'recompile', a program for each derived",
    ),
  ],
)
def test_what_cannot_be_searched_at_once_is_refused(
  refusal, arguments, message
):
  assert refusal("search", "--config", "smoke", *arguments).startswith(message)


def test_a_folder_of_another_config_is_refused_before_the_first_run(
  refusal, run_folder
):
  run_folder().rename("run-s1")  # of seed 0
  message = refusal(*RUN, "--workdir", "run", "--seeds", 0, 1)
  assert message.startswith("run-s1 holds a run of another config: seed is 0")


@pytest.mark.parametrize(
  ("workdir", "folders"),
  [
    ((), ["runs/smoke-s4", "runs/smoke-s0"]),
    (("--workdir", "mine"), ["mine-s4", "mine-s0"]),
  ],
)
def test_each_seed_is_a_run_with_a_folder_of_its_own(
  here, monkeypatch, workdir, folders
):
  seen = []
  monkeypatch.setattr(pipeline, "run", lambda *given: seen.append(given))
  for arguments in (("--seeds", "4", "0"), ("--seed", "4"), ("--seed", "0")):
    with pytest.raises(SystemExit) as done:
      cli.main([*RUN, *workdir, *arguments, "--search.epochs", "3"])
    assert done.value.code == 0
  assert [path for _, path in seen[:2]] == [pathlib.Path(f) for f in folders]
  # The very configs of two separate commands.
  assert [config for config, _ in seen[:2]] == [
    config for config, _ in seen[2:]
  ]
