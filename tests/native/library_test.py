import os
import pathlib
import subprocess
import sys

import jax
import pytest

from jnas.native import library, lowering


@pytest.mark.parametrize(
  "built,offered,is_compatible",
  [
    ((0, 3), (0, 3), True),
    ((0, 3), (0, 5), True),
    # A newer library would stop XLA's CPU backend from starting.
    ((0, 5), (0, 3), False),
    ((0, 3), (0, 9), False),
    ((1, 3), (0, 3), False),
  ],
)
def test_kernels_of_a_newer_or_much_older_interface_are_refused(
  built, offered, is_compatible
):
  assert library._is_compatible(built, offered) == is_compatible


def test_the_interface_of_the_installed_jaxlib_is_found():
  header = pathlib.Path(jax.ffi.include_dir()) / "xla/ffi/api/c_api.h"
  major, minor = library._read_ffi_version()
  assert f"#define XLA_FFI_API_MAJOR {major}\n" in header.read_text()
  assert f"#define XLA_FFI_API_MINOR {minor}\n" in header.read_text()


def describe_in_new_process(**environment):
  code = "from jnas.native import lowering; print(lowering.describe())"
  done = subprocess.run(
    [sys.executable, "-c", code],
    env=os.environ | environment,
    capture_output=True,
    text=True,
    check=True,
  )
  return done.stdout.strip()


def test_kernels_can_be_switched_off():
  described = describe_in_new_process(JNAS_NATIVE="0")
  assert described == "pure XLA (switched off by JNAS_NATIVE=0)"


def test_description_says_what_is_used_and_why(monkeypatch):
  if library.load().is_loaded:
    assert lowering.describe().startswith("native CPU kernels (")
  library.load.cache_clear()
  monkeypatch.delenv(library.SWITCH, raising=False)
  monkeypatch.setattr(library, "_find", lambda: None)
  try:
    assert lowering.describe().startswith("pure XLA (not built")
  finally:
    library.load.cache_clear()


def test_a_file_that_is_no_library_is_refused(monkeypatch, tmp_path):
  broken = tmp_path / "_kernels.so"
  broken.write_text("not a library")
  library.load.cache_clear()
  monkeypatch.delenv(library.SWITCH, raising=False)
  monkeypatch.setattr(library, "_find", lambda: broken)
  try:
    status = library.load()
    assert not status.is_loaded
    assert status.reason.startswith("_kernels.so does not load")
  finally:
    library.load.cache_clear()
