"""`jnas list` says in JSON what it prints."""

import json

import pytest

from jnas import cli
from jnas.commands import lookups


@pytest.fixture
def listed(capsys):
  def run(*arguments):
    with pytest.raises(SystemExit, match="0"):
      cli.main(["list", *arguments])
    return capsys.readouterr().out

  return run


@pytest.mark.parametrize("what", lookups.LISTS)
def test_json_has_an_entry_for_each_name(listed, what):
  found = json.loads(listed(what, "--json"))
  names = found["devices"] if what == "devices" else found
  text = listed(what)
  assert names and all(name in text for name in names)


def test_combinations_name_what_a_method_searches(listed):
  found = json.loads(listed("combinations", "--json"))
  assert found["snas"]["schemes"][0] == "single_level"
  assert "nasbench201" in found["darts"]["spaces"]
  assert "nasbench201" not in found["entrannas_dst"]["spaces"]
