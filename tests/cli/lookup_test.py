"""A table that is none is refused before anything is done."""

import numpy as np
import pytest


@pytest.mark.parametrize("command", ["run", "search", "select", "plan"])
@pytest.mark.parametrize(
  ("space", "table", "message"),
  [
    ("nasbench201", "absent.npz", "no NAS-Bench-201 table at absent.npz"),
    ("nasbench201", "other.npz", "other.npz lacks arch_str, cifar10_test_200"),
    ("nasbench201", "text.npz", "text.npz: not a NumPy archive"),
    (
      "darts",
      "other.npz",
      "benchmark.table is 'other.npz' with space 'darts', whose cells it lacks",
    ),
  ],
)
def test_a_table_that_is_none_is_refused(
  here, refusal, command, space, table, message
):
  np.savez(here / "other.npz", a=np.zeros(3))
  (here / "text.npz").write_text("text")
  where = () if command == "plan" else ("--workdir", "run")
  arguments = ("--space", space, "--benchmark.table", table)
  assert message in refusal(command, "--config", "smoke", *where, *arguments)
