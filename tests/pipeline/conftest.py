"""An uninterrupted run of the tiny problem, and runs that are killed."""

import contextlib
import logging
import pathlib
import re
import types
from collections.abc import Callable

import jax
import pytest

from jnas import genotype as genotypes
from jnas.pipeline import display, evaluate, search, select
from jnas.training import checkpoint, metrics
from tests.pipeline import tiny, tiny_selection


class Killed(BaseException):
  """Stands for the end of the process: nothing may run after it."""


@pytest.fixture(autouse=True)
def _compiled_once(compile_cache):
  """Every run after the first reads its programs from a folder."""


@pytest.fixture(scope="session")
def reference(tmp_path_factory, compile_cache) -> pathlib.Path:
  """The run folder of an uninterrupted search and evaluation."""
  workdir = tmp_path_factory.mktemp("reference")
  search.run(tiny.get_config(), workdir)
  evaluate.run(tiny.get_config(), workdir)
  return workdir


@pytest.fixture(scope="session")
def selected(tmp_path_factory, compile_cache) -> pathlib.Path:
  """The run folder of an uninterrupted search and selection."""
  workdir = tmp_path_factory.mktemp("selected")
  search.run(tiny_selection.get_config(), workdir)
  select.run(tiny_selection.get_config(), workdir)
  return workdir


@pytest.fixture
def on_event(monkeypatch) -> Callable[[Callable[[str], None]], None]:
  """Calls a function at everything that a run does, by name.

  Names are "search: step 3" after a step was dispatched; "search: save 3"
  before a checkpoint, "search: saved 3" after it, "search: tear 3" with an
  unfinished folder in its place; "search: write epoch 0" and "search: wrote
  epoch 0" around a record, "search: tear epoch 0" with half its line on disk;
  "write genotype", "wrote genotype". Networks are called "evaluate" and
  "random_0".
  """
  call: list[Callable[[str], None]] = [lambda name: None]
  stage = {"name": ""}

  def event(name: str) -> None:
    call[0](name)

  progress, save = display.progress, checkpoint.Checkpoints.save
  write, write_genotype = metrics.MetricsFile.write, genotypes.save

  @contextlib.contextmanager
  def progress_with_events(title: str, total: int):
    words = title.removeprefix("train ").replace("tiny", "").split()
    stage["name"] = "_".join(words).replace("searched", "evaluate")

    def update(step: int, loss: float) -> None:
      bar.update(step, loss)
      event(f"{stage['name']}: step {step}")

    with progress(title, total) as bar:
      yield types.SimpleNamespace(update=update)

  def save_with_events(self, step, state, meta, *, score=None) -> None:
    self._writer.settle()  # what it makes is not to be mixed with what is torn
    event(f"{stage['name']}: save {step}")
    partial = self._folder / f"{step}.orbax-checkpoint-tmp"
    with _undone_unless_killed(partial):
      (partial / "state").mkdir(parents=True, exist_ok=True)
      (partial / "state" / "array_metadatas").write_bytes(b"{")
      event(f"{stage['name']}: tear {step}")
    save(self, step, state, meta, score=score)
    event(f"{stage['name']}: saved {step}")

  def write_with_events(self, record) -> None:
    what = f"{record['kind']} {record.get('epoch', '')}".strip()
    name = self.path.parent.name
    event(f"{name}: write {what}")
    before = self.path.read_bytes() if self.path.exists() else None
    write(self, record)
    after = self.path.read_bytes()
    start = len(before or b"")
    self.path.write_bytes(after[: (start + len(after)) // 2])
    event(f"{name}: tear {what}")
    self.path.write_bytes(after)
    event(f"{name}: wrote {what}")

  def write_genotype_with_events(path, *args, **kwargs) -> None:
    event(f"write {path.stem}")
    write_genotype(path, *args, **kwargs)
    event(f"wrote {path.stem}")

  def install(function: Callable[[str], None]) -> None:
    call[0] = function

  monkeypatch.setattr(display, "progress", progress_with_events)
  monkeypatch.setattr(checkpoint.Checkpoints, "save", save_with_events)
  monkeypatch.setattr(metrics.MetricsFile, "write", write_with_events)
  monkeypatch.setattr(genotypes, "save", write_genotype_with_events)
  return install


@contextlib.contextmanager
def _undone_unless_killed(folder: pathlib.Path):
  yield
  for path in sorted(folder.rglob("*"), reverse=True):
    path.rmdir() if path.is_dir() else path.unlink()
  folder.rmdir()


@pytest.fixture
def run_killed(on_event) -> Callable[..., None]:
  """Runs a function again and again, killed at each of the events, and once
  more to the end."""

  def run(function: Callable[[], object], *events: str) -> None:
    for name in events:

      def kill(event: str, name: str = name) -> None:
        if event == name:
          raise Killed

      on_event(kill)
      with pytest.raises(Killed):
        function()
    on_event(lambda name: None)
    function()

  return run


class Compilations(logging.Handler):
  """Names of what is compiled, in order, among the events of a run."""

  def __init__(self):
    super().__init__()
    self.names = []

  def emit(self, record):
    found = re.match(
      r"Finished XLA compilation of (?:jit\()?(\w+)", record.getMessage()
    )
    if found:
      self.names.append(found[1])

  def note(self, event):
    self.names.append(f"event {event}")

  def after(self, event):
    """What was compiled after an event."""
    names = self.names[self.names.index(f"event {event}") :]
    return [name for name in names if not name.startswith("event ")]


@pytest.fixture
def compilations():
  handler = Compilations()
  logger = logging.getLogger("jax")
  logger.addHandler(handler)
  with jax.log_compiles():
    yield handler
  logger.removeHandler(handler)
