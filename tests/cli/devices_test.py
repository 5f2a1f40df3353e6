"""--devices: how many, and what is no number of them."""

import jax
import pytest

from jnas.training import sharding

PLAN = ("plan", "--config", "smoke")


@pytest.fixture(autouse=True)
def _one_device_that_is_started():
  jax.devices()
  yield
  sharding.use_devices(None)


@pytest.mark.parametrize(
  ("number", "message"),
  [
    (0, "--devices is 0; it must be 1 or more"),
    ("x", "argument --devices: invalid int value: 'x'"),
    # Once the backends are started, a CPU cannot be divided.
    (2, "--devices is 2; it must be 1 to 1, the number of cpu devices here"),
  ],
)
def test_a_number_of_devices_that_cannot_be_is_refused(
  refusal, number, message
):
  assert refusal(*PLAN, "--devices", number) == message


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ((), "--devices is 1; it must be 2 or more for devices to tell each other"),
    (("--step-seconds", 0), "--step-seconds is 0.0; it must be above 0"),
    (("--step-seconds", "nan"), "--step-seconds is nan; it must be above 0"),
    (("--workload", "select"), "argument --workload: invalid choice: 'select'"),
  ],
)
def test_scaling_needs_devices_and_a_time(refusal, options, message):
  found = refusal("bench", "scaling", "--config", "smoke", *options)
  assert found.startswith(message)


def test_what_runs_on_one_device_takes_no_number(refusal):
  message = refusal("latency", "build", "--config", "smoke", "--devices", 2)
  assert message.startswith("unknown option '--devices'")
