"""What a run found, looked up in the user's table."""

import dataclasses
import json

import pytest

from jnas import bench, config
from jnas import genotype as genotypes
from jnas.genotype import from_nasbench201_index
from jnas.pipeline import folder, lookup, search
from jnas.report import page
from jnas.spaces import Space
from tests.bench import tables
from tests.pipeline import tiny
from tests.pipeline.conftest import Killed

# All of its cells are in the table, and a step compiles in seconds.
SPACE = Space(
  name="few",
  num_inputs=1,
  num_nodes=3,
  ops={
    "normal": (("none", "skip_connect"),) * 5
    + (("skip_connect", "nor_conv_1x1"),)
  },
  concat=(3,),
  pool_norm=False,
  edges_per_node=3,
  network="nasbench201",
  every_edge=True,
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
  return tables.write_table(tmp_path_factory.mktemp("table") / "made.npz")


def with_table(base, path) -> config.Config:
  benchmark = config.BenchmarkConfig(table=str(path))
  return dataclasses.replace(base, benchmark=benchmark)


def small() -> config.Config:
  base = tiny.get_config()
  return dataclasses.replace(
    base,
    space="tests.pipeline.lookup_test:SPACE",
    search=dataclasses.replace(base.search, arch_lr=0.05),
  )


def finished(workdir, settings, *, found, searched, epochs) -> folder.RunFolder:
  """A run folder as stages leave it, of cells by their index."""
  run = folder.open_run(settings, workdir)
  run.create()
  run.search.mkdir()
  lines = [
    {
      "kind": "epoch",
      "epoch": epoch,
      "genotype": genotypes.to_dict(from_nasbench201_index(index)),
    }
    for epoch, index in epochs.items()
  ]
  (run.search / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
  genotypes.save(run.search_genotype, from_nasbench201_index(searched))
  genotypes.save(run.genotype, from_nasbench201_index(found))
  return run


@pytest.mark.parametrize("selection", ["none", "perturbation"])
def test_the_file_tells_of_the_cell_found_and_of_every_epoch(
  path, tmp_path, capsys, selection
):
  settings = dataclasses.replace(
    with_table(config.load("darts_nasbench201"), path),
    selection=config.SelectionConfig(name=selection),
  )
  searched = 15_524 if selection == "perturbation" else 15_624
  run = finished(
    tmp_path / "run",
    settings,
    found=15_624,
    searched=searched,
    epochs={0: 0, 2: 15_424},
  )
  table = lookup.load(settings)
  lookup.tell(table, run)
  told = json.loads(run.benchmark.read_text())
  assert told["table"] == str(path)
  assert told["best"] == {"cifar10": 78.12}
  assert told["num_cells"] == 15_625
  # The cell of index i is i / 200 percent good.
  first = {"accuracy": 78.12, "rank": 1, "regret": 0.0}
  assert told["found"]["scores"] == {"cifar10": first}
  assert [entry["epoch"] for entry in told["epochs"]] == [0, 2]
  assert [entry["scores"]["cifar10"] for entry in told["epochs"]] == [
    {"accuracy": 0.0, "rank": 15_625, "regret": 78.12},
    {"accuracy": 77.12, "rank": 201, "regret": 1.0},
  ]
  lines = [line.split() for line in capsys.readouterr().err.splitlines()]
  if selection == "none":
    assert told["before_selection"] is None
    assert "searched cifar10 78.12 % 1 of 15,625 0.00".split() in lines
  else:
    before = {"accuracy": 77.62, "rank": 101, "regret": 0.5}
    assert told["before_selection"]["scores"] == {"cifar10": before}
    assert "searched cifar10 77.62 % 101 of 15,625 0.50".split() in lines
    assert "selected cifar10 78.12 % 1 of 15,625 0.00".split() in lines

  written = run.benchmark.read_bytes()
  lookup.tell(table, run)
  assert run.benchmark.read_bytes() == written
  assert not list(run.path.glob(".*.partial"))
  page.write(run.path)
  text = (run.path / "report" / "index.html").read_text()
  assert (">selected</span>" in text) == (selection != "none")
  assert "1 of 15,625" in text


def test_without_a_table_nothing_is_written(tmp_path):
  settings = config.load("darts_nasbench201")
  run = finished(tmp_path, settings, found=0, searched=0, epochs={})
  assert lookup.load(settings) is None
  lookup.tell(None, run)
  assert not run.benchmark.exists()


def test_spaces_whose_cells_the_table_lacks_are_refused(path):
  for name in ("darts", "mbconv", "tests.training.nasbench201_test:SPACE"):
    settings = config.Config(name="x", space=name)
    assert lookup.load(settings) is None
    with pytest.raises(ValueError, match=f"with space '{name}', whose cells"):
      lookup.load(with_table(settings, path))
  assert lookup.load(with_table(small(), path)) is not None


def test_a_table_makes_no_other_experiment(path, tmp_path):
  plain = small()
  told = with_table(plain, path)
  assert config.fingerprint(told) == config.fingerprint(plain)
  assert config.from_dict(config.identity(told)) == plain
  assert config.from_dict(dataclasses.asdict(told)) == told
  folder.open_run(plain, tmp_path).create()
  written = (tmp_path / "config.json").read_bytes()
  folder.open_run(told, tmp_path).create()
  assert (tmp_path / "config.json").read_bytes() == written
  (tmp_path / "search").mkdir()  # it has begun
  other = dataclasses.replace(told, seed=1)
  with pytest.raises(folder.OtherConfigError, match="seed is 0") as refused:
    folder.open_run(other, tmp_path)
  assert "benchmark" not in str(refused.value)


def test_a_table_may_come_when_a_search_is_interrupted_or_ended(
  path, tmp_path, on_event
):
  def kill(event):
    if event == "search: step 5":
      raise Killed

  on_event(kill)
  with pytest.raises(Killed):
    search.run(small(), tmp_path)
  on_event(lambda event: None)
  result = search.run(with_table(small(), path), tmp_path)
  file = tmp_path / "benchmark.json"
  told = json.loads(file.read_text())
  entry = bench.lookup(bench.load(path), result.genotype)
  assert told["found"]["index"] == told["epochs"][-1]["index"] == entry.index
  assert [entry["epoch"] for entry in told["epochs"]] == [0, 1]

  written = file.read_bytes()
  file.unlink()
  search.run(small(), tmp_path)
  assert not file.exists()
  search.run(with_table(small(), path), tmp_path)
  assert file.read_bytes() == written
