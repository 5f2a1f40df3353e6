"""What steps tell between devices, counted by hand, and what it costs."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from jnas.pipeline import scaling
from jnas.training import collectives

PROJECT = pathlib.Path(__file__).parents[2]


def run(cache: pathlib.Path, *options: str) -> str:
  """What `jnas bench scaling` prints of the tiny problem."""
  config = str(PROJECT / "tests" / "pipeline" / "tiny.py")
  command = ["bench", "scaling", "--config", config, *options]
  done = subprocess.run(
    [sys.executable, "-m", "jnas.cli", *command],
    cwd=PROJECT,
    env={
      **os.environ,
      "JAX_COMPILATION_CACHE_DIR": str(cache),
      "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    },
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  return done.stdout


def test_the_bytes_of_a_search_are_those_counted_by_hand(compile_cache):
  options = ("--devices", "4", "--step-seconds", "0.001")
  result = json.loads(run(compile_cache, *options, "--json"))
  # Channels with a batch norm. Stem: 6. A cell of C channels has 2 C at its
  # inputs; a normal edge 2 C, twice in its separable convolution; a reduction
  # edge 2 C, after its skip and its pool. Cells of 2, 4 and 8 channels.
  normal, reduction, widest = 2 * 2 + 2 * 4, 2 * 4 + 2 * 8, 2 * 8 + 2 * 16
  stem = 6
  channels = stem + normal + reduction + widest
  assert channels == 90
  # Of each channel: mean and square on the way up, two sums on the way down.
  # Loss, its sum and the hits are 3 more.
  assert result["params"] == 508
  weight = 4 * (508 + 2 * channels + 2 * channels + 3)
  assert result["steps"]["step"]["num_bytes"] == weight == 3484
  # Down to the mixing weights only: not through the stem, the first cell, and
  # what of the second cell leaves the stem, an input and one edge of 4
  # channels twice. Then 2 operations on 2 edges of 3 cells.
  passed = channels - stem - normal - (4 + 2 * 4)
  arch = 4 * (2 * channels + 2 * passed + 12)
  assert result["steps"]["arch_step"]["num_bytes"] == arch == 1248
  assert result["all_reduced_bytes"] == weight + arch
  assert result["other_collectives"] == 0
  assert (result["devices"], result["batch_per_device"]) == (4, 2)
  assert result["step_seconds_are"] == "given"
  for network in result["networks"]:
    share = network["efficiency"]
    assert share == pytest.approx(0.001 / (0.001 + network["all_reduce_s"]))
  text = run(compile_cache, *options)
  assert "8 H100 (450 GB/s each way, 80% of it reached, 2 us a hop)" in text


def test_a_ring_and_a_tree_by_hand():
  network = scaling.Network("", devices=8, bytes_per_s=1e9, hop_s=1e-6)
  # 2 * 7 / 8 of 4 MB at 0.8 GB/s: 8.75 ms; 10 calls of 2 * 3 hops: 60 us.
  traffic = collectives.Traffic(calls=10, num_bytes=4_000_000)
  assert network.all_reduce_s(traffic) == pytest.approx(8.75e-3 + 60e-6)


HLO = """HloModule m

%add (a: f32[], b: f32[]) -> f32[] {
  ROOT %s = f32[] add(%a, %b)
}

%body (p: (s32[], f32[8])) -> (s32[], f32[8]) {
  %r = bf16[8,2]{1,0} all-reduce(%x), channel_id=1, to_apply=%add
  ROOT %t = (s32[], f32[8]) tuple(%i, %r)
}

%few (p: f32[8]) -> f32[8] {
  ROOT %q = (pred[3]{0}, /*index=1*/f8e4m3fn[5]{0}) all-reduce(%x, %y)
}

%many (p: f32[8]) -> f32[8] {
  ROOT %q.1 = f32[25]{0} all-reduce-start(%x), to_apply=%add
}

%called (p: f32[8]) -> f32[8] {
  ROOT %z = s64[2]{0} all-reduce(%x), to_apply=%add
}

ENTRY %main.1 (p: f32[8]) -> f32[8] {
  %w = (s32[], f32[8]) while(%t), condition=%add, body=%body, BACKEND
  %c = f32[8]{0} conditional(%i, %a, %b), branch_computations={%few, %many}
  %k = f32[8]{0} call(%p), to_apply=%called
  %d = f32[25]{0} all-reduce-done(%q.1)
  %g = f32[8]{0} all-gather(%p), dimensions={0}
  ROOT %f = f32[8]{0} fusion(%p), kind=kLoop, calls=%add
}
"""


@pytest.mark.parametrize(
  ("backend", "trips"),
  [('backend_config={"known_trip_count":{"n":"5"}}', 5), ("", 1)],
)
def test_loops_branches_and_calls_are_followed(backend, trips):
  found = collectives.count(HLO.replace("BACKEND", backend))
  assert found.calls == trips + 1 + 1
  assert found.num_bytes == trips * 32 + 100 + 16
  assert found.others == 1


def test_small_types_have_their_bytes():
  only = HLO.replace(
    "branch_computations={%few, %many}", "true_computation=%few"
  )
  found = collectives.count(only.replace("BACKEND", ""))
  assert found.num_bytes == 32 + 16 + 3 + 5


def test_what_is_no_module_is_refused():
  with pytest.raises(ValueError, match="no ENTRY"):
    collectives.count("")
