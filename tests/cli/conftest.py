"""Bad input through the command line: one line, and nothing done."""

import hashlib
import pathlib
import sys
from collections.abc import Callable

import jax
import numpy as np
import pytest

from jnas import cli

_COMPILED: list[str] = []


def _count(event: str, duration: float, **_: object) -> None:
  if event.endswith("backend_compile_duration"):
    _COMPILED.append(event)


jax.monitoring.register_event_duration_secs_listener(_count)


def snapshot(folder: pathlib.Path) -> dict[str, str]:
  """Every path below a folder, with the SHA-256 of each file."""
  return {
    str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
    if path.is_file()
    else ""
    for path in sorted(folder.rglob("*"))
  }


@pytest.fixture
def here(tmp_path, monkeypatch, compile_cache) -> pathlib.Path:
  """An empty folder to stand in; modules in it can be imported."""
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(sys, "path", [*sys.path])
  known = set(sys.modules)
  yield tmp_path
  for name in set(sys.modules) - known:
    if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
      del sys.modules[name]


@pytest.fixture
def refusal(here, capfd) -> Callable[..., str]:
  """Runs a command that must be refused, and gives the line that says why.

  Checks all that holds for every bad input: exit code 2, one line on stderr,
  nothing on stdout, no file made, changed or removed, and nothing compiled.
  """

  def refuse(*arguments: object, code: int = 2) -> str:
    before, compiled = snapshot(here), len(_COMPILED)
    capfd.readouterr()
    with pytest.raises(SystemExit) as stopped:
      cli.main([str(argument) for argument in arguments])
    out, err = capfd.readouterr()
    assert stopped.value.code == code, err
    assert err.startswith("jnas: error: ") and err.endswith("\n")
    assert err.count("\n") == 1, err
    assert "Traceback" not in err and "---" not in err and "\u2500" not in err
    assert out == ""
    assert len(_COMPILED) == compiled
    assert snapshot(here) == before
    return err.removeprefix("jnas: error: ").rstrip("\n")

  return refuse


@pytest.fixture
def write_npz(here) -> Callable[..., str]:
  """Writes an archive of three classes, with changes; returns its source."""

  def write(**changes: np.ndarray | None) -> str:
    images = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3), np.uint8)
    arrays = {
      "train_images": images[:24],
      "train_labels": np.arange(24) % 3,
      "test_images": images[24:],
      "test_labels": np.arange(6) % 3,
      **changes,
    }
    kept = {name: value for name, value in arrays.items() if value is not None}
    np.savez(here / "set.npz", **kept)
    return "npz:set.npz"

  return write


@pytest.fixture
def run_folder(here) -> Callable[..., pathlib.Path]:
  """Makes a run folder of configs/smoke.py as a killed run leaves it."""

  def make(text: str | None = None) -> pathlib.Path:
    path = here / "run"
    path.mkdir(exist_ok=True)
    if text is None:
      from jnas import config
      from jnas.pipeline import folder

      folder.open_run(config.load("smoke"), path).create()
      (path / "search").mkdir(exist_ok=True)
    else:
      (path / "config.json").write_text(text)
    return path

  return make
