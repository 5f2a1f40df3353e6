"""The largest network under a target, and its training."""

import dataclasses
import json
import pathlib

import pytest

from jnas import cli, config, genotype
from jnas.pipeline import folder, networks, problem, transfer
from tests.pipeline import tiny, tiny_mbconv

CONFIG = str(pathlib.Path(__file__).parent / "tiny.py")


def counted(settings, cells, channels):
  changed = dataclasses.replace(settings.evaluate, channels=channels)
  found = problem.prepare(dataclasses.replace(settings, evaluate=changed))
  height, _, image_channels = found.info.image_shape
  return found.family.count_derived(
    cells,
    networks.evaluate_plan(found),
    height,
    image_channels,
    networks.derived_settings(found),
  )


def test_darts_on_cifar_has_36_channels_below_3_4_million():
  # DARTS, Table 1: 3.3M parameters at 36 channels and 20 cells.
  settings = config.load("darts_cifar10")
  cells = genotype.parse("DARTS_V2")
  sized = transfer.fit(settings, cells, transfer.parse_target("params<3.4M"))
  assert (sized.channels, sized.next_channels) == (36, 38)
  assert sized.counted.params == 3_349_342
  assert sized.next_counted.params >= 3_400_000


def test_darts_on_imagenet_has_the_channels_of_the_paper():
  # DARTS, Sec. 3.3: 14 cells of 48 channels, which with 1,000 classes and
  # colour are 529.9 M multiply-adds; ten classes and grey are fewer.
  base = config.load("quickstart")
  settings = dataclasses.replace(
    base,
    data=dataclasses.replace(base.data, image_size=224),
    evaluate=dataclasses.replace(base.evaluate, cells=14, stem="imagenet"),
  )
  cells = genotype.parse("DARTS_V2")
  target = transfer.parse_target("madds<530M")
  sized = transfer.fit(settings, cells, target)
  assert sized.channels == 48
  assert sized.counted.madds < 530e6 <= sized.next_counted.madds


@pytest.mark.parametrize("measure", ["params", "madds_ext"])
@pytest.mark.parametrize("channels", [2, 4, 10])
def test_the_limit_is_kept_exactly(measure, channels):
  settings = tiny.get_config()
  cells = genotype.parse("DARTS_V2")
  limit = getattr(counted(settings, cells, channels), measure)
  at = transfer.parse_target(f"{measure}<={limit}")
  assert transfer.fit(settings, cells, at).channels == channels
  if channels > 2:
    below = transfer.parse_target(f"{measure}<{limit}")
    assert transfer.fit(settings, cells, below).channels == channels - 2


def test_a_chain_may_have_an_odd_number_of_channels():
  settings = tiny_mbconv.get_config()
  found = problem.prepare(settings)
  cells = transfer.genotypes.from_dict(
    {
      "format": "jnas.genotype/1",
      "normal": {
        "num_inputs": 1,
        "nodes": [[["skip_connect", 0]]],
        "concat": [1],
      },
      "reduce": {
        "num_inputs": 1,
        "nodes": [[["mbconv_3x3_e3", 0]], [["mbconv_3x3_e3", 1]]],
        "concat": [2],
      },
    }
  )
  limits = {c: counted(settings, cells, c).params for c in range(4, 12)}
  assert found.space.chain
  for channels, limit in limits.items():
    target = transfer.parse_target(f"params<={limit}")
    assert transfer.fit(settings, cells, target).channels == channels


@pytest.mark.parametrize(
  ("text", "value"),
  [
    ("madds<600M", 600_000_000),
    ("params <= 5.5M", 5_500_000),
    ("madds<2k", 2000),
  ],
)
def test_targets_have_units(text, value):
  target = transfer.parse_target(text)
  assert target.is_met(value) == ("<=" in text)
  assert target.is_met(value - 1) and not target.is_met(value + 1)


def run_cli(*arguments: str) -> int:
  with pytest.raises(SystemExit) as done:
    cli.main(["transfer", *arguments, "--config", CONFIG])
  return done.value.code


def test_the_network_is_trained_as_evaluate_does(reference, tmp_path, capfd):
  target = ["--target", "params<1.5k", "--evaluate.random_baselines", "0"]
  workdir = tmp_path / "run"
  given = [str(reference), *target, "--workdir", str(workdir), "--json"]
  assert run_cli(*given) == 0
  found = json.loads(capfd.readouterr().out)
  cells = genotype.load(reference / "genotype.json")
  assert found["channels"] > 2 and found["params"] < 1500
  larger = counted(tiny.get_config(), cells, found["channels"] + 2)
  assert larger.params >= 1500
  summary = folder.summary(workdir / "evaluate")
  assert summary["test_accuracy"] == found["test_accuracy"]
  assert summary["params"] == found["params"]
  assert folder.read_config(workdir).evaluate.channels == found["channels"]
  assert genotype.load(workdir / "genotype.json") == cells
  # The file says that the genotype was given, and which run found it.
  provenance = genotype.read_provenance(workdir / "genotype.json")
  file = reference / "genotype.json"
  source = genotype.read_provenance(file)
  assert provenance["step"] == 0 and source["step"] > 0
  assert provenance["found"] == {"file": str(file), **source}


def test_counting_trains_nothing(tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  assert run_cli("DARTS_V2", "--target", "madds<1M", "--count") == 0
  assert capsys.readouterr().out.startswith("evaluate.channels ")
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
  ("arguments", "said"),
  [
    (["--target", "flops<6M"], "--target is 'flops<6M'; it must be one of"),
    (["--target", "madds=6M"], "--target is 'madds=6M'; it must be one of"),
    (["--target", "madds<1.2.3M"], "it must be one of params"),
    (["--target", "params<10"], "the smallest network, of 2 channels, has"),
    (["--target", "params<999999999G"], "give a smaller limit"),
    ([], "the following arguments are required: --target"),
    (
      ["--target", "madds<600M", "--data.image_size", "224"],
      "evaluate.stem is 'cifar' with images of 224 pixels",
    ),
  ],
)
def test_bad_input_gives_one_line(arguments, said, capsys):
  assert run_cli("DARTS_V2", *arguments, "--count") == 2
  lines = capsys.readouterr().err.splitlines()
  assert len(lines) == 1 and said in lines[0]


def test_a_folder_without_a_run_is_refused(tmp_path, capsys):
  assert run_cli(str(tmp_path), "--target", "madds<600M") == 2
  assert "it has no config.json" in capsys.readouterr().err
