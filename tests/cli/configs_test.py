"""Config files that do not give a config."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import pytest

HEAD = """
from jnas.config import Config, DataConfig, MethodConfig, SearchConfig

def get_config():
  """


@pytest.mark.parametrize(
  ("config", "message"),
  [
    ("search=SearchConfig(epochs='3')", "search.epochs is '3', of type str"),
    ("search=SearchConfig(epochs=1.5)", "it must be of type int"),
    (
      "search=SearchConfig(epochs=True)",
      "of type bool; it must be of type int",
    ),
    ("search=SearchConfig(lr=None)", "it must be of type float"),
    ("search={'epochs': 3}", "it must be of type SearchConfig"),
    ("search=DataConfig()", "it must be of type SearchConfig"),
    ("search=SearchConfig(stem=3)", "it must be one of cifar, imagenet"),
    ("data=DataConfig(flip='no')", "data.flip is 'no', of type str; it must"),
    ("method=MethodConfig(settings=3)", "it must be of type dict"),
    ("method=MethodConfig(settings={3: 1})", "a name in method.settings is 3"),
    ("seed=1.0", "seed is 1.0, of type float; it must be of type int"),
    (
      "search=SearchConfig(epoch=3)",
      "line 5: TypeError: SearchConfig.__init__() got an unexpected keyword "
      "argument 'epoch'; did you mean 'epochs'?; its fields: cells, channels",
    ),
    ("serch=None", "did you mean 'search'?; its fields: name, seed, preset"),
  ],
)
def test_a_config_with_a_slip_is_refused(here, refusal, config, message):
  (here / "own.py").write_text(f"{HEAD}return Config('x', {config})\n")
  line = refusal("search", "--config", "own.py", "--workdir", "run")
  assert line.startswith("own.py: ") and message in line


@pytest.mark.parametrize(
  ("body", "message"),
  [
    ("return Config()", "line 5: TypeError: Config.__init__() missing 1 requ"),
    ("return Confg('x')", "line 5: NameError: name 'Confg' is not defined"),
    ("raise ValueError('my own check')", "line 5: my own check"),
    ("return open('none')", "line 5: FileNotFoundError: "),
    ("return {'epochs': 3}", "returned dict, not jnas.config.Config"),
  ],
)
def test_a_config_function_with_a_slip_is_refused(here, refusal, body, message):
  (here / "own.py").write_text(HEAD + body + "\n")
  line = refusal("search", "--config", "own.py", "--workdir", "run")
  assert line.startswith("own.py: ") and message in line


@pytest.mark.parametrize(
  ("content", "message"),
  [
    (b"def get_config(:\n", "invalid syntax (own.py, line 1)"),
    (b"\n\n1 / 0\n", "line 3: ZeroDivisionError: division by zero"),
    (b"import no_such_module\n", "No module named 'no_such_module'"),
    (b"settings = 3\n", "defines no function get_config()"),
    (b"get_config = 3\n", "defines no function get_config()"),
    (b"def get_config(x):\n  return x\n", "missing 1 required positional"),
    (b"\xff\xfe\x00", ""),
    (b"", "defines no function get_config()"),
  ],
)
def test_a_file_that_is_no_config_is_refused(here, refusal, content, message):
  (here / "own.py").write_bytes(content)
  line = refusal("search", "--config", "own.py", "--workdir", "run")
  assert line.startswith("own.py: ") and message in line


def test_a_whole_number_will_do_for_a_float_and_is_the_same_config(here):
  from jnas import config

  (here / "own.py").write_text(
    HEAD + "return Config('x', search=SearchConfig(lr=1))\n"
  )
  from_file = config.load("own.py")
  as_float = config.Config("x", search=config.SearchConfig(lr=1.0))
  assert config.fingerprint(from_file) == config.fingerprint(as_float)


def test_a_config_of_an_older_jnas_is_the_same_run():
  from jnas import config

  now = config.load("pt_cifar10")
  old = config.identity(now)
  del old["segment"], old["evaluate"]["ema_decay"], old["search"]["lr_warmup"]
  read = config.from_dict(json.loads(json.dumps(old)))
  assert read == now
  assert config.fingerprint(read) == config.fingerprint(now)
  changed = [
    dataclasses.replace(now, seed=1),
    dataclasses.replace(
      now, evaluate=dataclasses.replace(now.evaluate, ema_decay=0.9)
    ),
    dataclasses.replace(
      now, search=dataclasses.replace(now.search, momentum=0.5)
    ),
  ]
  hashes = {config.fingerprint(each) for each in (now, *changed)}
  assert len(hashes) == 1 + len(changed)


def test_the_program_itself_ends_with_one_line_and_code_2(here):
  project = str(pathlib.Path(__file__).parents[2])
  done = subprocess.run(
    [sys.executable, "-m", "jnas.cli", "search", "--config", "smoke"]
    + ["--search.epochs", "0"],
    env={**os.environ, "PYTHONPATH": project},
    capture_output=True,
    text=True,
    timeout=60,
  )
  assert done.returncode == 2
  assert done.stdout == ""
  assert done.stderr == (
    "jnas: error: search.epochs is 0; it must be at least 1\n"
  )
  assert list(here.iterdir()) == []


def test_debug_shows_the_traceback_as_well(here, capfd):
  from jnas import cli

  with pytest.raises(SystemExit) as stopped:
    cli.main(["search", "--config", "smoke", "--seed", "-1", "--debug"])
  assert stopped.value.code == 2
  err = capfd.readouterr().err
  assert err.startswith("Traceback (most recent call last):")
  assert err.endswith("ValueError: seed is -1; it must be 0 or more\n")
