import pytest

from jnas import registry

TABLE = {"sep_conv_3x3": 1, "sep_conv_5x5": 2, "skip_connect": 3}


def message(name: str) -> str:
  with pytest.raises(ValueError) as caught:
    registry.resolve(name, TABLE, "op")
  text = str(caught.value)
  assert "\n" not in text
  return text


def test_a_known_name_is_the_entry_of_the_table():
  assert registry.resolve("sep_conv_5x5", TABLE, "op") == 2


def test_a_path_is_imported():
  import json

  assert registry.resolve("json:loads", TABLE, "op") is json.loads
  assert registry.resolve("json.decoder:JSONDecoder", TABLE, "op") is (
    json.decoder.JSONDecoder
  )


def test_a_table_entry_wins_over_a_path():
  assert registry.resolve("json:loads", {"json:loads": 7}, "op") == 7


def test_an_unknown_name_lists_the_known_and_suggests_the_nearest():
  text = message("sep_conv_3x4")
  assert "unknown op 'sep_conv_3x4'" in text
  assert "did you mean 'sep_conv_3x3'?" in text
  for known in TABLE:
    assert known in text


def test_a_name_like_no_other_gets_no_suggestion():
  assert "did you mean" not in message("zzz")


@pytest.mark.parametrize(
  "name", ["", ":", "json:", ":loads", "a:b:c", "a/b:c", "a..b:c", "a b:c"]
)
def test_a_malformed_path_is_an_unknown_name(name: str):
  assert f"unknown op {name!r}" in message(name)


def test_a_missing_module_is_named():
  text = message("no_such_lab.ops:Involution")
  assert "cannot import no_such_lab.ops" in text
  assert "No module named 'no_such_lab'" in text


def test_a_module_missing_inside_the_module_is_named(tmp_path, monkeypatch):
  (tmp_path / "lab_ops_needing_more.py").write_text("import no_such_thing\n")
  monkeypatch.syspath_prepend(tmp_path)
  text = message("lab_ops_needing_more:Involution")
  assert "cannot import lab_ops_needing_more" in text
  assert "No module named 'no_such_thing'" in text


def test_a_missing_attribute_is_named_with_the_nearest():
  text = message("json:laods")
  assert "module json has no 'laods'" in text
  assert "did you mean 'loads'?" in text
