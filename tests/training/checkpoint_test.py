import json
import os
import pathlib
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from typing import Any, NamedTuple

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jnas.training import checkpoint, checkpoint_files


class State(NamedTuple):
  params: Any
  key: jax.Array
  step: jax.Array


@flax.struct.dataclass
class Extras:
  moments: dict
  name: str = flax.struct.field(pytree_node=False)


def state_at(step: int) -> State:
  """A state that is a function of its step."""
  key = jax.random.key_data(jax.random.key(step))
  values = np.random.default_rng(step).standard_normal(300).astype(np.float32)
  return State({"w": jnp.asarray(values)}, key, jnp.int32(step))


def checkpoints_in(
  folder: pathlib.Path, config_hash: str = "0123456789ab"
) -> checkpoint.Checkpoints:
  return checkpoint.Checkpoints(folder, config_hash=config_hash, keep=2)


def bits_of(tree: Any) -> list[tuple[str, tuple[int, ...], bytes]]:
  return [
    (str(leaf.dtype), leaf.shape, np.asarray(leaf).tobytes())
    for leaf in jax.tree.leaves(tree)
  ]


def shapes_of(tree: Any) -> Any:
  return jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(
      leaf.shape, leaf.dtype, sharding=leaf.sharding
    ),
    tree,
  )


@pytest.fixture
def saved(tmp_path) -> pathlib.Path:
  """A folder with the checkpoints of steps 10 and 20."""
  with checkpoints_in(tmp_path / "checkpoints") as checkpoints:
    for step in (10, 20):
      checkpoints.save(step, state_at(step), {"phase": "search"})
  return tmp_path / "checkpoints"


def test_every_kind_of_leaf_comes_back_bit_for_bit(tmp_path):
  params = {
    "half": jnp.array([1.5, -0.0, jnp.nan, jnp.inf, 1e-40], jnp.bfloat16),
    "table": jnp.array([[jnp.nan, -0.0], [1e-42, 3e38]], jnp.float32),
    "flags": jnp.array([True, False, True]),
    "bytes": jnp.arange(7, dtype=jnp.uint8),
    "empty": jnp.zeros((0, 3)),
    "missing": None,
    "nothing": (),
  }
  optimizer = optax.chain(optax.clip(5.0), optax.adamw(1e-3))
  floats = {name: params[name] for name in ("half", "table")}
  state = (
    State(params, jax.random.key_data(jax.random.key(7)), jnp.int32(20)),
    optimizer.init(floats),
    Extras({"m": jnp.arange(6.0).reshape(2, 3) / 7}, name="kept"),
  )
  with checkpoints_in(tmp_path) as checkpoints:
    checkpoints.save(20, state, {"phase": "search", "epoch": 3})
  restored = checkpoints_in(tmp_path).restore(shapes_of(state))
  assert restored is not None
  assert restored.step == 20
  assert restored.meta == {"phase": "search", "epoch": 3}
  assert restored.versions["jax"] == jax.__version__
  assert jax.tree.structure(restored.state) == jax.tree.structure(state)
  assert bits_of(restored.state) == bits_of(state)


def test_arrays_are_read_by_path_without_knowing_the_state(saved, tmp_path):
  arrays = checkpoints_in(saved).arrays()
  assert set(arrays) == {"params/w", "key", "step"}
  np.testing.assert_array_equal(arrays["params/w"], state_at(20).params["w"])
  assert checkpoints_in(tmp_path / "none").arrays() is None
  with pytest.raises(ValueError, match="is of config 0123456789ab"):
    checkpoints_in(saved, "another").arrays()


def test_a_state_may_be_donated_as_soon_as_it_is_saved(tmp_path):
  state = jnp.arange(1000, dtype=jnp.float32)
  expected = np.arange(1000, dtype=np.float32)
  step = jax.jit(lambda x: x * 0 - 1, donate_argnums=0)
  with checkpoints_in(tmp_path) as checkpoints:
    checkpoints.save(1, state, {})
    step(state)
    restored = checkpoints.restore(jax.ShapeDtypeStruct((1000,), jnp.float32))
    # What was restored may be donated as well, and read again.
    step(restored.state)
    again = checkpoints.restore(jax.ShapeDtypeStruct((1000,), jnp.float32))
  np.testing.assert_array_equal(again.state, expected)


def test_the_newest_steps_are_kept(tmp_path):
  with checkpoints_in(tmp_path) as checkpoints:
    assert checkpoints.latest_step() is None
    for step in (0, 3, 7, 11):
      checkpoints.save(step, state_at(step), {})
    assert checkpoints.latest_step() == 11
  assert sorted(path.name for path in tmp_path.iterdir()) == ["11", "7"]
  assert bits_of(checkpoints_in(tmp_path).restore(state_at(0)).state) == (
    bits_of(state_at(11))
  )


class Slow:
  """Holds up every write of the files until it is told to go on."""

  def __init__(self, monkeypatch):
    self.go_on = threading.Event()
    self.error = None
    write = checkpoint_files.Files.write

    def wait_and_write(*args):
      assert self.go_on.wait(30)
      if self.error is not None:
        raise self.error
      write(*args)

    monkeypatch.setattr(checkpoint_files.Files, "write", wait_and_write)


def test_training_goes_on_while_a_checkpoint_is_written(tmp_path, monkeypatch):
  slow = Slow(monkeypatch)
  step = jax.jit(
    lambda state: jax.tree.map(lambda x: x + 1, state), donate_argnums=0
  )
  with checkpoints_in(tmp_path) as checkpoints:
    state = {"w": jnp.arange(1000, dtype=jnp.float32)}
    checkpoints.save(1, state, {})
    for _ in range(3):  # overwrites what was given to be saved
      state = step(state)
    assert not list(tmp_path.glob("1")) and not checkpoints.failed()
    slow.go_on.set()
    checkpoints.wait()
    assert [path.name for path in tmp_path.iterdir()] == ["1"]
    restored = checkpoints.restore(shapes_of(state))
  np.testing.assert_array_equal(restored.state["w"], np.arange(1000))
  assert checkpoints.times.saves == 1
  assert checkpoints.times.num_bytes == 4000
  assert 0 <= checkpoints.times.wait_s and 0 < checkpoints.times.write_s
  assert restored.seconds > 0
  assert str(checkpoints.times).startswith(
    "1 checkpoint of 0.004 MB saved, each"
  )


def test_the_end_of_the_block_waits_for_the_last_checkpoint(
  tmp_path, monkeypatch
):
  slow = Slow(monkeypatch)
  with pytest.raises(KeyError, match="of the run"):
    with checkpoints_in(tmp_path) as checkpoints:
      checkpoints.save(1, state_at(1), {})
      slow.go_on.set()
      raise KeyError("of the run")
  assert checkpoints_in(tmp_path).restore(state_at(0)).step == 1


def test_a_save_that_failed_is_raised_by_the_next_or_by_the_end(
  tmp_path, monkeypatch, capfd
):
  slow = Slow(monkeypatch)
  slow.error = checkpoint.SaveError("cannot save")
  slow.go_on.set()
  checkpoints = checkpoints_in(tmp_path)
  checkpoints.save(1, state_at(1), {})
  while not checkpoints.failed():
    time.sleep(0.001)
  with pytest.raises(checkpoint.SaveError, match="cannot save"):
    checkpoints.save(2, state_at(2), {})
  with pytest.raises(checkpoint.SaveError, match="cannot save"):
    with checkpoints:
      checkpoints.save(1, state_at(1), {})  # not done yet
  assert capfd.readouterr().err == ""
  # Where something else has failed, that is what is raised.
  with pytest.raises(KeyError), checkpoints_in(tmp_path) as checkpoints:
    checkpoints.save(1, state_at(1), {})
    raise KeyError
  assert capfd.readouterr().err == "jnas: error: cannot save\n"


@pytest.mark.parametrize("again", [False, True])
def test_the_best_checkpoint_is_kept_beside_the_newest(tmp_path, again):
  scores = {1: None, 2: 0.5, 3: 0.9, 4: float("nan"), 5: 0.9, 6: 0.2, 7: None}
  checkpoints = checkpoints_in(tmp_path)
  for step, score in scores.items():
    checkpoints.save(step, state_at(step), {}, score=score)
    if again:  # another process goes on
      checkpoints.close()
      checkpoints = checkpoints_in(tmp_path)
      checkpoints.restore(state_at(0))
  checkpoints.close()
  assert sorted(path.name for path in tmp_path.iterdir()) == ["3", "6", "7"]
  best = checkpoints_in(tmp_path).restore(state_at(0), best=True)
  assert best.step == 3 and bits_of(best.state) == bits_of(state_at(3))
  assert checkpoints_in(tmp_path).restore(state_at(0)).step == 7
  for file in (tmp_path / "3" / "header").iterdir():
    file.write_bytes(b"")
  with pytest.raises(checkpoint.CheckpointError, match="the best is not known"):
    checkpoints_in(tmp_path).restore(state_at(0), best=True)


def test_without_scores_no_checkpoint_is_the_best(saved):
  with pytest.raises(checkpoint.CheckpointError, match="has a score"):
    checkpoints_in(saved).restore(state_at(0), best=True)


def test_reading_leaves_the_folder_as_it_is(saved):
  before = {path: path.stat().st_mtime_ns for path in saved.rglob("*")}
  with checkpoints_in(saved) as checkpoints:
    assert checkpoints.restore(state_at(0)).step == 20
  assert before == {path: path.stat().st_mtime_ns for path in saved.rglob("*")}


def test_a_folder_without_checkpoints_means_a_new_run(tmp_path):
  folder = tmp_path / "search" / "checkpoints"
  with checkpoints_in(folder) as checkpoints:
    assert checkpoints.restore(state_at(0)) is None
  assert not folder.parent.exists()


def test_an_uncommitted_step_does_not_exist(saved):
  shutil.copytree(saved / "20", saved / "30.orbax-checkpoint-tmp")
  with checkpoints_in(saved) as checkpoints:
    assert checkpoints.latest_step() == 20
    assert checkpoints.restore(state_at(0)).step == 20
    checkpoints.save(30, state_at(30), {})
    assert checkpoints.restore(state_at(0)).step == 30


def test_saving_the_current_step_again_does_nothing(saved):
  with checkpoints_in(saved) as checkpoints:
    checkpoints.restore(state_at(0))
    checkpoints.save(20, state_at(20), {"phase": "other"})
    assert checkpoints.restore(state_at(0)).meta == {"phase": "search"}


def test_a_step_before_the_newest_is_refused(saved):
  with checkpoints_in(saved) as checkpoints:
    with pytest.raises(ValueError, match="step 15 is not after step 20"):
      checkpoints.save(15, state_at(15), {})


def test_a_checkpoint_of_another_config_is_refused_with_both_hashes(saved):
  with pytest.raises(ValueError) as caught:
    checkpoints_in(saved, "ba9876543210").restore(state_at(0))
  line = str(caught.value)
  assert "0123456789ab" in line and "ba9876543210" in line
  assert "\n" not in line


@pytest.mark.parametrize(
  ("change", "named"),
  [
    (lambda s: s._replace(step=s.step[None]), r"step int32\[\] where"),
    (lambda s: s._replace(step=s.step.astype("uint32")), r"step uint32\[\]"),
    (lambda s: s._replace(params={"v": s.params["w"]}), r"params/v"),
    (lambda s: s._replace(params={}), r"params/w"),
    (lambda s: (*s, jnp.int32(1)), "is of another state"),
  ],
)
def test_a_checkpoint_of_another_state_is_refused(saved, change, named):
  with pytest.raises(ValueError, match=named):
    checkpoints_in(saved).restore(change(state_at(0)))


@pytest.mark.parametrize(
  ("leaf", "said"),
  [
    (3, "a/1 is a int, not a jax array"),
    (np.ones(2), "a/1 is a ndarray, not a jax array"),
    (lambda: jax.random.key(0), "a/1 is a key<fry>; store its jax.random"),
    (lambda: jnp.asarray(1.0), "a/1 has a weak type; make it with dtype=float"),
  ],
)
def test_a_leaf_that_could_not_come_back_is_refused(tmp_path, leaf, said):
  leaf = leaf() if callable(leaf) else leaf
  with checkpoints_in(tmp_path) as checkpoints:
    with pytest.raises(ValueError, match=said):
      checkpoints.save(1, {"a": (jnp.zeros(()), leaf)}, {})
  assert not list(tmp_path.iterdir())


def flip(path: pathlib.Path, position: int) -> None:
  content = bytearray(path.read_bytes())
  content[position] ^= 0x10
  path.write_bytes(content)


def test_a_flipped_byte_in_any_file_is_found_or_harmless(saved, capfd):
  files = sorted(
    path.relative_to(saved) for path in saved.rglob("20/**/*") if path.is_file()
  )
  assert len(files) > 8  # data, manifests, metadata, header
  whole = saved.with_name("whole")
  saved.rename(whole)
  found = 0
  for file in files:
    size = (whole / file).stat().st_size
    for position in (size // 3, size - 1):
      shutil.copytree(whole, saved)
      flip(saved / file, position)
      restored = checkpoints_in(saved).restore(state_at(0))
      err = capfd.readouterr().err
      assert bits_of(restored.state) == bits_of(state_at(restored.step))
      assert restored.meta == {"phase": "search"}
      if restored.step == 10:
        found += 1
        assert err.startswith(f"damaged checkpoint in {saved}: step 20 (")
        assert err.endswith("going on from step 10, the last good one\n")
        assert err.count("\n") == 1
      else:
        assert (restored.step, err) == (20, "")
      shutil.rmtree(saved)
  assert found > 5


def rewrite_data(folder: pathlib.Path, step: int) -> None:
  """Replaces one value in the array data, so that the file stays sound."""
  header = json.loads((folder / str(step) / "header/metadata").read_text())
  other = state_at(step)
  other.params["w"] = other.params["w"].at[123].set(0.0)
  shutil.rmtree(folder / str(step))
  with checkpoints_in(folder.with_name("other")) as checkpoints:
    checkpoints.save(step, other, {})
  shutil.move(folder.with_name("other") / str(step), folder)
  (folder / str(step) / "header/metadata").write_text(json.dumps(header))


def test_a_wrong_value_in_a_readable_file_names_the_leaf(saved, capfd):
  rewrite_data(saved, 20)
  with checkpoints_in(saved) as checkpoints:
    assert checkpoints.restore(state_at(0)).step == 10
    assert capfd.readouterr().err == (
      f"damaged checkpoint in {saved}: step 20 (leaf params/w does not match "
      "its checksum); going on from step 10, the last good one\n"
    )
    assert (saved / "20").exists()
    checkpoints.save(15, state_at(15), {})
  assert sorted(path.name for path in saved.iterdir()) == ["10", "15"]
  assert checkpoints_in(saved).restore(state_at(0)).step == 15
  assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
  ("old", "new"),
  [
    ("0123456789ab", "1123456789ab"),  # the config's hash: damage, not refusal
    ('"phase": "search"', '"phase": "select"'),
    ('"step": 20', '"step": 21'),
    ('"checksum"', '"checksun"'),
    ('"format": 1', '"format": 2'),
    ("{", "["),
  ],
)
def test_a_changed_header_is_damage(saved, capfd, old, new):
  header = saved / "20/header/metadata"
  assert old in header.read_text()
  header.write_text(header.read_text().replace(old, new, 1))
  assert checkpoints_in(saved).restore(state_at(0)).step == 10
  assert "step 20 (its header" in capfd.readouterr().err


def test_no_good_checkpoint_is_an_error_that_says_what_to_do(saved):
  (saved / "10/header/metadata").unlink()
  shutil.rmtree(saved / "20/state")
  with pytest.raises(checkpoint.CheckpointError) as caught:
    checkpoints_in(saved).restore(state_at(0))
  assert str(caught.value) == (
    f"no checkpoint in {saved} can be read: step 20 (its state cannot be "
    "read), step 10 (its header cannot be read); remove that folder to start "
    "this stage again"
  )


_OTHER_DEVICES = """
import pathlib, sys
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jnas.training import checkpoint
mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
split = NamedSharding(mesh, PartitionSpec("data"))
same = NamedSharding(mesh, PartitionSpec())
target = {
  "a": jax.ShapeDtypeStruct((8, 3), jnp.float32, sharding=split),
  "b": jax.ShapeDtypeStruct((), jnp.int32, sharding=same),
}
folder = pathlib.Path(sys.argv[1])
with checkpoint.Checkpoints(folder, config_hash="h", keep=2) as checkpoints:
  state = checkpoints.restore(target).state
  assert state["a"].sharding == split and state["b"].sharding == same
  np.testing.assert_array_equal(state["a"], np.arange(24).reshape(8, 3))
  checkpoints.save(2, jax.tree.map(lambda x: x + 1, state), {})
"""


def test_a_checkpoint_moves_between_one_device_and_four(tmp_path):
  state = {
    "a": jnp.arange(24, dtype=jnp.float32).reshape(8, 3),
    "b": jnp.int32(5),
  }
  with checkpoint.Checkpoints(tmp_path, config_hash="h", keep=2) as checkpoints:
    checkpoints.save(1, state, {})
    checkpoints.wait()
    run_python(_OTHER_DEVICES, tmp_path, JAX_NUM_CPU_DEVICES="4")
    mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))
    sharding = NamedSharding(mesh, PartitionSpec())
    target = jax.tree.map(
      lambda leaf: jax.ShapeDtypeStruct(
        leaf.shape, leaf.dtype, sharding=sharding
      ),
      state,
    )
    restored = checkpoints.restore(target)
  assert restored.step == 2
  assert restored.state["a"].sharding == sharding
  np.testing.assert_array_equal(restored.state["a"], state["a"] + 1)


# The parent imports only, so that it may fork; each child restores, says from
# which step, and saves until it is killed, saying what it has saved.
_KILLED_WHILE_SAVING = """
import os, pathlib, random, signal, sys, time, warnings
import jax.numpy as jnp, numpy as np
from jnas.training import checkpoint

def state_at(step):
  values = np.random.default_rng(step).standard_normal(5000)
  return {"w": jnp.asarray(values.astype(np.float32)), "step": jnp.int32(step)}

def save_until_killed(folder, pipe, wait):
  checkpoints = checkpoint.Checkpoints(folder, config_hash="h", keep=2)
  restored = checkpoints.restore(state_at(0))
  step = restored.step if restored else 0
  if restored:
    assert restored.meta == {"step": step}
    for name, leaf in state_at(step).items():
      np.testing.assert_array_equal(restored.state[name], leaf)
  os.write(pipe, f"from {step}\\n".encode())
  while True:
    step += 1
    checkpoints.save(step, state_at(step), {"step": step})
    if wait:
      checkpoints.wait()
    os.write(pipe, f"saved {step if wait else step - 1}\\n".encode())

warnings.simplefilter("ignore")
draw = random.Random(int(sys.argv[3])).random
wait = sys.argv[4] == "wait"
last = 0
for _ in range(int(sys.argv[2])):
  reader, writer = os.pipe()
  child = os.fork()
  if not child:
    try:
      save_until_killed(pathlib.Path(sys.argv[1]), writer, wait)
    finally:
      os._exit(1)
  os.close(writer)
  lines = os.fdopen(reader)
  start = lines.readline().split()
  assert start and start[0] == "from" and (
    int(start[1]) - last in ((0, 1) if wait else (0, 1, 2))
  ), (start, last)
  time.sleep(0.25 * draw())
  os.kill(child, signal.SIGKILL)
  last = max([int(start[1]), *(int(line.split()[1]) for line in lines)])
  os.waitpid(child, 0)
print(last)
"""


@pytest.mark.parametrize("wait", ["wait", "go on"])
def test_a_process_killed_while_saving_loses_no_saved_step(tmp_path, wait):
  done = run_python(_KILLED_WHILE_SAVING, tmp_path / "c", "3", "0", wait)
  assert int(done.stdout) >= 1
  assert done.stderr == ""


def run_python(
  script: str, *args: object, **variables: str
) -> subprocess.CompletedProcess:
  project = str(pathlib.Path(__file__).parents[2])
  done = subprocess.run(
    [sys.executable, "-c", textwrap.dedent(script), *map(str, args)],
    env={**os.environ, "PYTHONPATH": project, **variables},
    capture_output=True,
    text=True,
    timeout=60,
  )
  assert done.returncode == 0, done.stderr
  return done


@pytest.fixture
def small_disk(tmp_path):
  """A file system of 3 MB."""
  folder = tmp_path / "disk"
  folder.mkdir()
  mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
  if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
    pytest.skip("needs the right to mount a file system")
  yield folder
  subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("free", [0, 12_000, 300_000])
def test_a_full_disk_is_one_line_and_costs_no_checkpoint(
  small_disk, free, capfd
):
  folder = small_disk / "checkpoints"
  random = np.random.default_rng(0)
  state = jnp.asarray(random.standard_normal(150_000).astype(np.float32))
  with checkpoints_in(folder) as checkpoints:
    checkpoints.save(1, state, {})
    checkpoints.wait()
    rest = shutil.disk_usage(small_disk).free - free
    (small_disk / "other").write_bytes(bytes(rest))
    with pytest.raises(checkpoint.SaveError) as caught:
      checkpoints.save(2, state + 1, {})
      checkpoints.wait()
  line = str(caught.value)
  assert line.startswith(
    f"cannot save the checkpoint of step 2 in {folder} (No space left on "
    "device, 600,"
  )
  assert line.endswith(
    "the one of step 1 is intact, and the same command goes on from it"
  )
  assert "\n" not in line
  assert [path.name for path in folder.iterdir()] == ["1"]
  (small_disk / "other").unlink()
  with checkpoints_in(folder) as checkpoints:
    restored = checkpoints.restore(state)
    assert bits_of(restored.state) == bits_of(state)
    checkpoints.save(2, state + 1, {})
    assert checkpoints.restore(state).step == 2
  assert capfd.readouterr() == ("", "")


def test_a_file_in_the_place_of_the_folder_is_one_line(tmp_path):
  (tmp_path / "search").write_text("")
  with checkpoints_in(tmp_path / "search" / "checkpoints") as checkpoints:
    with pytest.raises(checkpoint.SaveError, match="there is no earlier one"):
      checkpoints.save(1, state_at(1), {})
      checkpoints.wait()


@pytest.mark.parametrize("keep", [0, -1])
def test_keeping_nothing_is_refused(tmp_path, keep):
  with pytest.raises(ValueError, match=f"keep is {keep}"):
    checkpoint.Checkpoints(tmp_path, config_hash="h", keep=keep)


def test_check_writable_leaves_nothing_behind(tmp_path):
  checkpoint.check_writable(tmp_path)
  checkpoint.check_writable(tmp_path / "run" / "search")
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("workdir", ["file", "file/run", "link"])
def test_check_writable_refuses_what_is_not_a_folder(tmp_path, workdir):
  (tmp_path / "file").write_text("kept")
  (tmp_path / "link").symlink_to(tmp_path / "nowhere")
  with pytest.raises(
    ValueError, match=f"cannot write to .*{workdir}: .* is no"
  ):
    checkpoint.check_writable(tmp_path / workdir)
  assert (tmp_path / "file").read_text() == "kept"


def test_check_writable_refuses_a_read_only_file_system(small_disk):
  remount = ["mount", "-o", "remount,ro", str(small_disk)]
  subprocess.run(remount, check=True)
  with pytest.raises(ValueError, match="Read-only file system"):
    checkpoint.check_writable(small_disk / "run")


def test_check_writable_refuses_a_full_disk(small_disk):
  free = shutil.disk_usage(small_disk).free
  (small_disk / "other").write_bytes(bytes(free))
  with pytest.raises(ValueError, match="No space left on device"):
    checkpoint.check_writable(small_disk / "run")


def test_thousands_of_leaves_take_one_file_of_data(tmp_path):
  state = {f"leaf_{i}": jnp.full((i % 5,), i, jnp.float32) for i in range(800)}
  with checkpoints_in(tmp_path) as checkpoints:
    checkpoints.save(1, state, {})
    assert bits_of(checkpoints.restore(state).state) == bits_of(state)
  assert len([path for path in tmp_path.rglob("*") if path.is_file()]) < 15
