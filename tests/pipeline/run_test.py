"""From a config to a report, by one command."""

import pathlib

import pytest

from jnas import cli
from tests.pipeline import tiny

CONFIG = pathlib.Path(__file__).parent / "tiny.py"


def files_of(workdir: pathlib.Path) -> dict[pathlib.Path, tuple[int, int]]:
  """Time and size of every file but those of the report."""
  return {
    path: (path.stat().st_mtime_ns, path.stat().st_size)
    for path in workdir.rglob("*")
    if path.is_file() and "report" not in path.parts
  }


def test_one_command_gives_all_results_and_a_report(
  reference, tmp_path, monkeypatch, capfd
):
  monkeypatch.chdir(tmp_path)
  command = ["run", "--config", str(CONFIG)]
  with pytest.raises(SystemExit) as done:
    cli.main(command)
  assert done.value.code == 0
  out, err = capfd.readouterr()
  assert out == ""
  assert err.splitlines()[-1] == "report: runs/tiny-s0/report/index.html"
  workdir = tmp_path / "runs" / "tiny-s0"
  assert (workdir / "report" / "index.html").stat().st_size > 10_000
  assert tiny.results(workdir) == tiny.results(reference)
  # Done again, it writes the report again and nothing else.
  before = files_of(workdir)
  with pytest.raises(SystemExit) as again:
    cli.main(command)
  assert again.value.code == 0
  assert files_of(workdir) == before


@pytest.mark.parametrize("field", ["search.cells", "evaluate.cells"])
def test_a_network_that_cannot_be_built_leaves_no_folder(
  field, tmp_path, monkeypatch, capfd
):
  monkeypatch.chdir(tmp_path)
  command = ["search", "--config", "claims/benchmark_pt", f"--{field}", "4"]
  with pytest.raises(SystemExit) as done:
    cli.main([*command, "--data.source", "fashion_mnist_mini"])
  assert done.value.code == 2
  assert "4 cells: the network of NAS-Bench-201" in capfd.readouterr().err
  assert not list(tmp_path.iterdir())
