"""The scripts that start runs, with a program in the place of jnas."""

import argparse
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import time

import pytest
import yaml

from jnas import machines

LAUNCH = pathlib.Path(__file__).resolve().parents[1] / "launch"

# Notes its arguments and GPU; on SIGTERM notes that, and exits 0. Seed 7 fails.
JNAS = """#!/usr/bin/env bash
echo "$* gpu=${CUDA_VISIBLE_DEVICES:-}" >> started
trap 'echo stopped >> started; exit 0' TERM
[[ "$*" == *"--seed 7"* ]] && exit 3
if [[ -e wait ]]; then touch waiting; for _ in {1..400}; do sleep 0.05; done; fi
[[ "$*" =~ --workdir\\ ([^ ]*) ]] && mkdir -p "${BASH_REMATCH[1]}/report" &&
  touch "${BASH_REMATCH[1]}/report/index.html"
echo "done"
"""
# Notes what it was told of the processes; process 1 of a bad run fails.
PROCESS = """#!/usr/bin/env bash
trap 'echo "stopped $JNAS_PROCESS" >> started; exit 0' TERM
echo "$* $JNAS_PROCESS/$JNAS_PROCESSES $JNAS_COORDINATOR" \\
  "gpu=${CUDA_VISIBLE_DEVICES:-}" >> started
[[ "$* $JNAS_PROCESS" == *"bad 1" ]] && exit 3
if [[ -e wait ]]; then touch waiting; for _ in {1..400}; do sleep 0.05; done; fi
exit 0
"""
SCONTROL = '#!/usr/bin/env bash\necho "$*" >> requeued\n'


@pytest.fixture
def here(tmp_path, monkeypatch) -> pathlib.Path:
  """A folder to stand in, whose `jnas` and `scontrol` are found first."""
  for name, text in (("jnas", JNAS), ("scontrol", SCONTROL)):
    path = tmp_path / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
  monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
  monkeypatch.setenv("SLURM_JOB_NAME", "mine")
  monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "12")
  monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
  return tmp_path


def start(script: str, *arguments: str) -> subprocess.Popen:
  return subprocess.Popen(
    ["bash", str(LAUNCH / script), *arguments],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def finish(process: subprocess.Popen) -> tuple[int, str, str]:
  out, err = process.communicate(timeout=20)
  return process.returncode, out, err


def started() -> list[str]:
  path = pathlib.Path("started")
  return path.read_text().splitlines() if path.exists() else []


def wait_for(path: str) -> None:
  deadline = time.monotonic() + 20
  while not pathlib.Path(path).exists():
    assert time.monotonic() < deadline, f"no {path}"
    time.sleep(0.02)


SCRIPTS = ["seeds.sh", "local.sh", "slurm.sbatch", "tpu_pod.sh"]


@pytest.mark.parametrize("script", SCRIPTS)
def test_script_is_bash_and_says_how_to_start_it(script):
  path = LAUNCH / script
  assert subprocess.run(["bash", "-n", str(path)]).returncode == 0
  text = path.read_text()
  assert "# Command: " in text and f"launch/{script}" in text


def test_seeds_dry_run_prints_the_commands_and_starts_none(here):
  code, out, _ = finish(
    start("seeds.sh", "--dry-run", "0 3", "--config", "smoke")
  )
  assert code == 0
  assert sorted(out.splitlines()) == [
    "seed 0: jnas run --seed 0 --config smoke",
    "seed 3: jnas run --seed 3 --config smoke",
  ]
  assert started() == []


def test_seeds_run_one_after_another_and_a_failure_does_not_end_them(here):
  code, out, err = finish(start("seeds.sh", "5 7 6", "--config", "smoke"))
  assert code == 1
  assert started() == [
    f"run --seed {seed} --config smoke gpu=" for seed in (5, 7, 6)
  ]
  assert err == "failed: seeds 7\n"
  assert "seed 6: done" in out and "seed 7: done" not in out


def test_seeds_run_side_by_side_each_on_its_gpu(here):
  pathlib.Path("wait").touch()
  process = start("seeds.sh", "--gpus", "4 5", "0 1 2", "--config", "smoke")
  while len(started()) < 2:
    time.sleep(0.02)
  assert sorted(started()) == [
    "run --seed 0 --config smoke gpu=4",
    "run --seed 1 --config smoke gpu=5",
  ]
  process.terminate()
  finish(process)


def test_seeds_stop_all_runs_and_start_no_other(here):
  pathlib.Path("wait").touch()
  process = start("seeds.sh", "--jobs", "1", "0 1", "--config", "smoke")
  wait_for("waiting")
  process.terminate()
  code, out, _ = finish(process)
  assert code == 0
  assert out.splitlines()[-1] == "stopped; the same command continues"
  assert started() == ["run --seed 0 --config smoke gpu=", "stopped"]


@pytest.mark.parametrize(
  "arguments", [(), ("--jobs", "0", "1"), ("x",), ("--gpus", "", "0")]
)
def test_seeds_without_seeds_or_slots_show_the_usage(here, arguments):
  code, out, err = finish(start("seeds.sh", *arguments))
  assert code == 2 and out == ""
  assert "Command: launch/seeds.sh" in err
  assert started() == []


def test_slurm_task_runs_its_seed_and_is_done(here):
  code, out, _ = finish(start("slurm.sbatch", "--config", "smoke"))
  assert (code, out) == (0, "done\n")
  assert started() == [
    "run --config smoke --seed 2 --workdir runs/mine-s2 gpu="
  ]
  assert not pathlib.Path("requeued").exists()


def test_slurm_task_that_is_stopped_queues_itself_again(here):
  # The report of an earlier, finished run does not count as this one's.
  old = pathlib.Path("runs/mine-s2/report/index.html")
  old.parent.mkdir(parents=True)
  old.touch()
  os.utime(old, (0, 0))
  pathlib.Path("wait").touch()
  process = start("slurm.sbatch", "--config", "smoke")
  wait_for("waiting")
  process.send_signal(signal.SIGTERM)
  assert finish(process)[0] == 0
  assert started()[-1] == "stopped"
  assert pathlib.Path("requeued").read_text() == "requeue 12_2\n"


def test_slurm_task_that_fails_is_not_queued_again(here, monkeypatch):
  monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "7")
  assert finish(start("slurm.sbatch", "--config", "smoke"))[0] == 3
  assert not pathlib.Path("requeued").exists()


def test_slurm_dry_run_prints_the_command(here):
  code, out, _ = finish(start("slurm.sbatch", "--dry-run", "--config", "smoke"))
  assert code == 0 and started() == []
  assert out == "jnas run --config smoke --seed 2 --workdir runs/mine-s2\n"


def test_slurm_asks_for_the_signal_and_the_requeue_it_counts_on():
  text = (LAUNCH / "slurm.sbatch").read_text()
  asked = [line for line in text.splitlines() if line.startswith("#SBATCH")]
  assert "#SBATCH --requeue" in asked
  assert "#SBATCH --open-mode=append" in asked
  assert any("--signal=B:TERM@" in line for line in asked)
  # sbatch stops reading them at the first command.
  assert text.index(asked[-1]) < text.index("\nset ")


def test_sky_task_continues_in_the_bucket(here):
  path = LAUNCH / "sky.yaml"
  task = yaml.safe_load(path.read_text())
  assert "# Command: sky " in path.read_text()
  assert task["envs"] == {"BUCKET": None, "CONFIG": "darts_cifar10", "SEED": 0}
  (mount,) = task["file_mounts"]
  assert f'--workdir "{mount}/' in task["run"]
  assert task["resources"]["use_spot"]
  assert "# To see what would be started: sky launch --dryrun " in (
    path.read_text()
  )
  shell = subprocess.run(["bash", "-n"], input=task["setup"], text=True)
  assert shell.returncode == 0
  # What the machine runs, with a program in the place of jnas.
  (here / "jnas").mkdir()
  shutil.copytree(here / "bin", here / "jnas" / "bin")
  settings = {"HOME": str(here), "CONFIG": "smoke", "SEED": "3"}
  done = subprocess.run(
    ["bash", "-c", task["run"].replace(f'"{mount}/', f'"{here}/')],
    env={**os.environ, **settings},
    cwd=here,
    capture_output=True,
    text=True,
  )
  assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
  assert started() == [
    f"run --config smoke --seed 3 --workdir {here}/smoke-s3 gpu="
  ]


@pytest.fixture
def process(here) -> pathlib.Path:
  """The same folder, whose `jnas` says what it knows of the processes."""
  (here / "bin" / "jnas").write_text(PROCESS)
  return here


def test_local_starts_processes_that_find_each_other(process):
  code, _, err = finish(
    start("local.sh", "--gpus", "4 5", "--", "run", "--config", "smoke")
  )
  assert (code, err) == (0, "")
  first, second = sorted(line.split() for line in started())
  assert first[:4] == ["run", "--config", "smoke", "0/2"]
  assert second[3] == "1/2"
  # The same free port for both.
  assert first[4] == second[4]
  assert re.fullmatch(r"localhost:[1-9][0-9]+", first[4])
  assert (first[5], second[5]) == ("gpu=4", "gpu=5")


def test_local_dry_run_prints_the_commands_and_starts_none(process):
  arguments = ("-n", "2", "--dry-run", "--", "run", "--config", "smoke")
  code, out, _ = finish(start("local.sh", *arguments))
  assert code == 0 and started() == []
  assert out.splitlines() == [
    "JNAS_COORDINATOR=localhost:PORT JNAS_PROCESSES=2 "
    f"JNAS_PROCESS={index} jnas run --config smoke"
    for index in (0, 1)
  ]


def test_local_stops_every_process(process):
  pathlib.Path("wait").touch()
  script = start("local.sh", "-n", "2", "--", "run", "--config", "smoke")
  while len(started()) < 2:
    time.sleep(0.02)
  script.terminate()
  assert finish(script)[0] == 0
  assert sorted(started()[2:]) == ["stopped 0", "stopped 1"]


def test_local_fails_if_a_process_does(process):
  assert finish(start("local.sh", "-n", "2", "--", "run", "bad"))[0] == 3


@pytest.mark.parametrize(
  ("script", "arguments"),
  [
    ("local.sh", ()),
    ("local.sh", ("-n", "2")),
    ("local.sh", ("-n", "0", "--", "run")),
    ("local.sh", ("-n", "2", "--")),
    ("local.sh", ("-n", "3", "--gpus", "0 1", "--", "run")),
    ("tpu_pod.sh", ()),
    ("tpu_pod.sh", ("pod", "--", "run")),
    ("tpu_pod.sh", ("pod", "--zone", "z")),
  ],
)
def test_launchers_without_what_they_need_show_the_usage(
  process, script, arguments
):
  code, out, err = finish(start(script, *arguments))
  assert code == 2 and out == ""
  assert f"Command: launch/{script}" in err
  assert started() == []


def test_slurm_starts_one_process_for_each_of_several_tasks(here, monkeypatch):
  monkeypatch.setenv("SLURM_NTASKS", "4")
  code, out, _ = finish(start("slurm.sbatch", "--dry-run", "--config", "smoke"))
  assert code == 0
  assert out == (
    "srun --kill-on-bad-exit=0 jnas run --config smoke --seed 2 --workdir "
    "runs/mine-s2\n"
  )
  # What srun then tells each task is enough.
  task = {"SLURM_STEP_NUM_TASKS": "4"}
  found = machines.processes(options(), task)
  assert found is not None and found.number is None


@pytest.mark.parametrize(
  ("arguments", "command"),
  [
    (("--", "run", "--config", "smoke"), "JNAS_PROCESSES=auto jnas run --conf"),
    (("--stop",), "pkill -TERM -f '[j]nas run'"),
  ],
)
def test_tpu_pod_dry_run_prints_the_command(arguments, command):
  options = ("pod", "--zone", "us-central2-b", "--dry-run", *arguments)
  code, out, _ = finish(start("tpu_pod.sh", *options))
  assert code == 0
  *words, last = shlex.split(out)
  assert " ".join(words) == (
    "gcloud compute tpus tpu-vm ssh pod --zone us-central2-b --worker all "
    "--command"
  )
  assert last.startswith(command)


def options() -> argparse.Namespace:
  """Those of a command that gives none of the processes."""
  parser = argparse.ArgumentParser()
  machines.add_processes(parser)
  return parser.parse_args([])


def test_jobset_pods_find_each_other():
  path = LAUNCH / "jobset.yaml"
  assert "# Command: kubectl " in path.read_text()
  jobset = yaml.safe_load(path.read_text())
  (hosts,) = jobset["spec"]["replicatedJobs"]
  job = hosts["template"]["spec"]
  (container,) = job["template"]["spec"]["containers"]
  environment = {entry["name"]: entry for entry in container["env"]}
  assert "job-completion-index" in str(environment["JNAS_PROCESS"])
  told = {name: entry.get("value", "0") for name, entry in environment.items()}
  found = machines.processes(options(), told)
  assert found is not None
  assert found.number == job["completions"] == job["parallelism"]
  name = jobset["metadata"]["name"]
  # As JobSet names the first pod.
  assert found.coordinator == f"{name}-{hosts['name']}-0-0.{name}:8476"
  assert container["ports"] == [{"containerPort": 8476}]
