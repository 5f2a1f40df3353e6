"""Verdicts on records worked by hand, and refusals before anything runs."""

import pytest

from jnas import config
from jnas.nets import macro, options
from jnas.pipeline import arms, claims, estimators, jobs, lock
from jnas.pipeline.verdicts import CLAIMS, Claim, Verdict


def cell(accuracy):
  return {"scores": {"cifar10": {"accuracy": accuracy}}}


def looked_up(*accuracies):
  return [{"benchmark": {"found": cell(a)}} for a in accuracies]


def benchmark_records(frozen):
  after = looked_up(90.0, 92.0)
  for record in after:
    record["benchmark"]["before_selection"] = cell(54.3)
  return {
    "benchmark_pt": after,
    "benchmark_pt_frozen": looked_up(*frozen),
    "benchmark_snas": looked_up(80.0, 90.0),
    "benchmark_random": looked_up(91.0, 93.0),
  }


def test_what_was_found_is_judged_by_the_table():
  verdict = CLAIMS["P13"].judge(benchmark_records(frozen=(93.0, 94.0)))
  assert verdict.holds
  assert "DARTS 54.3 +- 0.0 (best 54.30)" in verdict.ours
  assert "DARTS+PT 91.0 +- 1.4 (best 92.00)" in verdict.ours
  assert "PT, frozen alpha 93.5 +- 0.7 (best 94.00)" in verdict.ours


def test_selection_that_finds_less_than_with_learned_alpha_does_not_hold():
  assert not CLAIMS["P13"].judge(benchmark_records(frozen=(90.0, 91.0))).holds


@pytest.mark.parametrize(
  ("noise", "accuracy", "holds"),
  [(0, 0.80, True), (0, 0.78, False), (2, 0.90, False), (3, 0.90, False)],
)
def test_selection_has_to_avoid_noise_at_no_cost(noise, accuracy, holds):
  def arm(count, accuracy):
    ops = {"normal": {"noise": count}, "reduce": {"sep_conv_3x3": 8}}
    return [{"found_ops": ops, "test_accuracy": accuracy}]

  verdict = CLAIMS["P10-S4"].judge(
    {
      "s4_darts": arm(2, 0.795),
      "s4_pt": arm(noise, accuracy),
      "s4_pt_frozen": arm(0, 0.5),
      "s4_pt_mag": arm(1, 0.5),
    }
  )
  assert verdict.holds == holds
  assert f"PT {100 * accuracy:.1f} %, {noise:.1f}" in verdict.ours


def test_a_child_of_dst_may_lose_two_points_more():
  def judge(dst):
    arms = {"sparsity_20": [{"gap": dst}], "sparsity_none": [{"gap": 0.01}]}
    return CLAIMS["P9"].judge(arms)

  assert judge(0.029).holds and not judge(0.031).holds
  assert judge(0.029).ours == "DST 2.9, EnTranNAS 1.0 points"


def test_trajectories_are_compared_by_their_means():
  def judge(*perturbed):
    rows = [{"trajectory": trajectory} for trajectory in perturbed]
    largest = [{"trajectory": [0.3, 0.5]}, {"trajectory": [0.6, 0.6]}]
    return CLAIMS["P12"].judge({"s4_pt": rows, "s4_pt_mag": largest})

  assert judge([0.4, 0.6], [0.5, 0.5]).holds  # 50 and 50 of 40 and 60
  assert "higher in 1 of 2 seeds" in judge([0.4, 0.6], [0.5, 0.5]).ours
  assert not judge([0.4, 0.5], [0.5, 0.5]).holds


def test_the_gap_has_to_overfit_less_with_either_estimator():
  def judge(gap_gs):
    def arm(excess):
      return [{"valid_loss": 1.5 + excess, "train_loss": 1.5}]

    arms = {
      "unas_gap_rebar": arm(0.1),
      "unas_gap_gs": arm(gap_gs),
      "unas_valid_rebar": arm(0.2),
      "unas_valid_gs": arm(0.3),
    }
    for rows in arms.values():
      rows[0]["test_accuracy"] = 0.5
    return CLAIMS["P17"].judge(arms)

  assert judge(0.2).holds and not judge(0.4).holds
  assert "gap, REBAR: 0.10, retrained 50.0 %" in judge(0.2).ours


def test_nodes_with_one_pair_twice_are_counted():
  twice = [["skip_connect", 0], ["skip_connect", 0]]
  other = [["skip_connect", 0], ["skip_connect", 1]]

  def arm(*nodes):
    cells = {"nodes": list(nodes)}, {"nodes": [other, other]}
    return [{"genotype": dict(zip(("normal", "reduce"), cells, strict=True))}]

  def judge(free, penalised):
    return CLAIMS["P19"].judge({"unas_free": free, "unas_gap_rebar": penalised})

  fewer = judge(arm(twice, twice), arm(twice, other))
  assert fewer.holds
  assert fewer.ours == "50.0 % without, 25.0 % with the penalty"
  assert not judge(arm(twice, other), arm(other, twice)).holds


def test_credit_has_to_go_with_probability():
  def judge(*by_step):
    rows = [{"by_step": step, "by_search": 0.5} for step in by_step]
    return CLAIMS["P4"].judge({"credit_snas": rows})

  assert judge(0.2, -0.1).holds and not judge(0.1, -0.2).holds
  assert judge(0.2, 0.2).ours == (
    "correlation 0.20 +- 0.00 over steps, 0.50 +- 0.00 over the whole search"
  )


@pytest.mark.parametrize(
  ("flops", "peaks", "holds"),
  [
    ((8, 4, 3, 2), (9, 5, 3, 2), True),
    ((7, 4, 3, 2), (9, 5, 3, 2), False),  # 3.5 times fewer
    ((8, 4, 3, 2), (9, 5, 5, 2), False),  # sharing saves no memory
  ],
)
def test_every_saving_has_to_save(flops, peaks, holds):
  verdict = CLAIMS["P6"].judge(
    {
      arm: [{"flops": 1e9 * count, "peak_bytes": 1e6 * peak, "step_s": 1.0}]
      for arm, count, peak in zip(CLAIMS["P6"].arms, flops, peaks, strict=True)
    }
  )
  assert verdict.holds == holds
  if holds:
    assert verdict.ours == (
      "8.0, 4.0, 3.0, 2.0 GFLOP, 9, 5, 3, 2 MB, 1.00, 1.00, 1.00, 1.00 s a "
      "step; 4.0 times fewer operations in all"
    )


def test_more_operations_may_cost_two_fifths_more():
  def judge(many, all_many):
    def arm(count):
      return [{"flops": count, "peak_bytes": 2 * count, "step_s": count}]

    return CLAIMS["P7"].judge(
      {
        "savings_all": arm(10.0),
        "savings_all_12ops": arm(many),
        "savings_none": arm(100.0),
        "savings_none_12ops": arm(all_many),
      }
    )

  assert judge(14.0, 170.0).holds
  assert "EnTranNAS +40 % operations, +40 % memory" in judge(14.0, 170.0).ours
  assert not judge(14.5, 170.0).holds
  assert not judge(13.0, 120.0).holds  # the whole supernet's grow by less


def test_the_supernet_has_to_lose_half_as_much_as_a_plain_network():
  def judge(after):
    return CLAIMS["P14"].judge(
      {
        "gap_darts": [{"before": 0.45, "mean": after}],
        "plain": [{"before": 0.5, "mean": 0.1}],
      }
    )

  assert judge(0.26).holds and not judge(0.24).holds  # 19 and 21 of 40 points
  assert judge(0.26).ours == (
    "supernet 45.0 to 26.0 %, plain network 50.0 to 10.0 %"
  )


def test_tuning_has_to_find_more_than_none():
  def judge(*accuracies):
    return CLAIMS["P15"].judge(
      {
        arm: [{"test_accuracy": accuracy}]
        for arm, accuracy in zip(CLAIMS["P15"].arms, accuracies, strict=True)
      }
    )

  assert judge(0.4, 0.3, 0.5, 0.505).holds
  assert not judge(0.5, 0.6, 0.5, 0.5).holds
  assert not judge(0.4, 0.3, 0.5, 0.7).holds  # 10 epochs find more
  assert judge(0.4, 0.3, 0.5, 0.5).ours == "40.0, 30.0, 50.0, 50.0 %"


def test_skips_have_to_outgrow_convolutions():
  def judge(first, last):
    def cells(*rows):
      return {"normal": [rows[0]], "reduce": [rows[1]]}

    record = {"first_mixing": cells(*first), "mixing": cells(*last)}
    return CLAIMS["P11"].judge({"s2_darts": [record]})

  even, skips = ((0.5, 0.5), (0.4, 0.6)), ((0.6, 0.4), (0.4, 0.6))
  assert judge(even, skips).holds and not judge(skips, even).holds
  assert judge(even, skips).ours == (
    "weight of skip_connect less that of sep_conv_3x3 -0.100 at "
    "first, 0.000 at last; above 0 on 50.0 % of the edges"
  )


def test_the_moving_baseline_is_not_judged():
  def judge(rebar, none, moving):
    row = {"REBAR": rebar, estimators.NO_BASELINE: none, "REINFORCE": moving}
    return CLAIMS["P16"].judge({"unas_gap_rebar": [row]})

  assert judge(1.5, 20.0, 1.0).holds and not judge(1.5, 1.0, 2.0).holds
  assert judge(1.5, 20.0, 1.0).ours == (
    "REBAR 1.5; without baseline 20, with the moving one 1 (not judged)"
  )


def test_the_toy_is_solved_by_relax_alone():
  toys = CLAIMS["P18"].toys
  found = {name: [solve(0)] for name, solve in toys.items()}
  assert found["relax"][0]["chosen"] == 0.30
  assert found["gumbel_softmax"][0]["chosen"] == 2.05  # the worst of the nine
  assert CLAIMS["P18"].judge(found).holds
  assert (
    not CLAIMS["P18"].judge(found | {"relax": found["gumbel_softmax"]}).holds
  )


def test_the_second_order_is_reported_and_not_judged(capsys):
  verdict = CLAIMS["P20"].judge(
    {
      "order_first": [{"test_accuracy": 0.5}],
      "order_second": [{"test_accuracy": 0.6}],
    }
  )
  assert verdict.holds is None
  assert verdict.ours == "accuracy 50.0 % first, 60.0 % second"
  row = {"claim": "P20", "statement": "s", "paper": "p", **verdict._asdict()}
  claims.show([row])
  shown = capsys.readouterr()
  assert "not judged" in " ".join((shown.out + shown.err).split())


def test_an_arm_is_measured_once_with_the_first_seed_where_none_matters(
  tmp_path, monkeypatch
):
  calls = []

  def size(config, path):
    calls.append((config.seed, path.name))
    return {"size": 3}

  claim = Claim(
    "s",
    "p",
    ("gap_darts",),
    lambda found: Verdict(str(found), None),
    measures={"gap_darts": size},
    toys={"toy": lambda seed: {"seed": seed}},
    seeded=False,
  )
  monkeypatch.setitem(CLAIMS, "P0", claim)
  for _ in range(2):
    (row,) = claims.run(
      ["P0"],
      source="fashion_mnist_mini",
      seeds=[4, 5],
      workdir=tmp_path,
      epochs=None,
    )
    assert row["seeds"] == [4] and row["holds"] is None
    assert row["ours"] == str(
      {"gap_darts": [{"size": 3}], "toy": [{"seed": 4}]}
    )
  assert calls == [(4, "gap_darts-s4")]


def test_arms_run_at_once_but_for_those_that_measure_time(
  tmp_path, monkeypatch
):
  def size(config, path):
    return {"arm": config.name, "seed": config.seed}

  def claim(arm, **options):
    def judge(found):
      return Verdict(str(found[arm]), None)

    return Claim("s", "p", (arm,), judge, measures={arm: size}, **options)

  sent = []

  def run_here(function, given, *, at_once, logs):
    sent.extend(job.name for job in given)
    assert at_once == 2 and logs == tmp_path / "logs"
    return [function(*job.arguments) for job in given]

  monkeypatch.setattr(jobs, "run", run_here)
  monkeypatch.setattr(jobs, "check", lambda at_once: None)
  monkeypatch.setitem(CLAIMS, "P0", claim("gap_darts"))
  monkeypatch.setitem(CLAIMS, "P00", claim("gap_snas", alone=True))
  rows = claims.run(
    ["P00", "P0"],
    source="fashion_mnist_mini",
    seeds=[4, 5],
    workdir=tmp_path,
    epochs=None,
    at_once=2,
  )
  assert sent == ["gap_darts-s4", "gap_darts-s5"]
  assert [row["ours"] for row in rows] == [
    str([{"arm": arm, "seed": seed} for seed in (4, 5)])
    for arm in ("gap_snas", "gap_darts")
  ]


def test_a_workdir_is_for_one_command_at_a_time(tmp_path):
  with (
    lock.hold(tmp_path),
    pytest.raises(ValueError, match="in use by another"),
  ):
    claims.run(
      ["P18"],
      source="fashion_mnist_mini",
      seeds=[0],
      workdir=tmp_path,
      epochs=None,
    )
  assert not (tmp_path / "claims.json").exists()


@pytest.mark.parametrize("name", CLAIMS)
def test_arms_are_configs_that_are_accepted(name):
  for arm in CLAIMS[name].arms:
    given = config.check(config.load(f"claims/{arm}"))
    assert given.name == arm
    quick = arms.config_of(
      arm, "fashion_mnist_mini", seed=3, epochs=5, quick=True, table=""
    )
    assert (quick.seed, quick.search.epochs) == (3, 5)
    assert quick.data.limit < given.data.limit
    assert quick.search.cells == quick.evaluate.cells == 3
    assert max(quick.search.batch_size, quick.evaluate.batch_size) == 32
    assert quick.selection.tune_epochs <= 1
    assert quick.evaluate.epochs == 1


def test_the_arms_of_a_comparison_of_engines_differ():
  found = set()
  for arm in CLAIMS["P5"].arms:
    given = config.load(f"claims/{arm}")
    plan = macro.plan(
      num_cells=given.search.cells, features=4, num_classes=10, stem="cifar"
    )
    found.add(options.engine_cells(given.supernet.engine, plan))
  assert len(found) == 4


def test_an_unknown_claim_is_refused(tmp_path):
  with pytest.raises(ValueError, match="unknown claim 'P99'; known claims: P1"):
    run(tmp_path, "P1", "P99")
  assert not list(tmp_path.iterdir())


def test_a_claim_about_the_benchmark_needs_its_table(tmp_path):
  with pytest.raises(ValueError, match="claim P13 without --table"):
    run(tmp_path, "P13")
  assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_table_is_refused_before_anything_runs(tmp_path):
  (tmp_path / "table.npz").write_text("none")
  with pytest.raises(ValueError, match=r"table\.npz"):
    run(tmp_path / "runs", "P1", "P13", table=str(tmp_path / "table.npz"))
  assert not (tmp_path / "runs").exists()


def run(workdir, *names, table=""):
  return claims.run(
    names, source="cifar10", seeds=[0], workdir=workdir, epochs=1, table=table
  )
