"""The variance of the estimators on a supernet."""

import dataclasses

import pytest

from jnas import config
from jnas.pipeline import estimators
from tests.pipeline import tiny


def unas_config():
  return dataclasses.replace(
    tiny.get_config(), method=config.MethodConfig(name="unas")
  )


def test_the_variance_of_each_estimator_is_measured(
  tmp_path, compile_cache, monkeypatch
):
  names = "REINFORCE", estimators.NO_BASELINE, "REBAR"
  kept = {name: estimators.ESTIMATORS[name] for name in names}
  monkeypatch.setattr(estimators, "ESTIMATORS", kept)
  arguments = {"draws": 8, "weight_steps": 2, "out": tmp_path}
  result = estimators.run(unas_config(), **arguments)
  reinforce, bare, rebar = result["estimators"]
  assert [row["estimator"] for row in result["estimators"]] == list(kept)
  assert bare["variance"] > 2 * reinforce["variance"]
  for row in (reinforce, bare, rebar):
    assert row["variance"] > 0 and row["mean_norm"] > 0
    error = (row["variance"] / 8) ** 0.5
    assert row["standard_error"] == pytest.approx(error)
  assert rebar["cosine_to_rebar"] == pytest.approx(1.0)
  assert -1 <= reinforce["cosine_to_rebar"] < 1
  assert (tmp_path / "estimators.svg").exists()
  # Nothing but the drawn architectures is random.
  again = estimators.run(unas_config(), **arguments)
  assert again["estimators"] == result["estimators"]


@pytest.mark.parametrize(
  ("changes", "said"),
  [({"draws": 1}, "--draws is 1"), ({"weight_steps": -1}, "--steps is -1")],
)
def test_numbers_without_meaning_are_refused(tmp_path, changes, said):
  arguments = {"draws": 2, "weight_steps": 0, "out": tmp_path} | changes
  with pytest.raises(ValueError, match=said):
    estimators.run(unas_config(), **arguments)


def test_methods_without_these_estimators_are_refused(tmp_path):
  with pytest.raises(ValueError, match="method.name is 'darts'"):
    estimators.run(tiny.get_config(), draws=2, weight_steps=0, out=tmp_path)
