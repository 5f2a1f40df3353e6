"""Builds the native CPU kernels, if there is a compiler for them.

Everything else about the package is in pyproject.toml. Without a compiler the
install succeeds, and jnas computes the same in XLA. To build in place:
`python setup.py build_ext --inplace`.
"""

import importlib.util
import os
import pathlib
import sys
import textwrap

import setuptools
from setuptools import errors
from setuptools.command import build_ext

NATIVE = "jnas/native"


class BuildKernels(build_ext.build_ext):
  """Builds the extension, or says in one line why it did not."""

  def run(self) -> None:
    """Runs the build; a failure leaves the package without kernels."""
    # distutils asks CXX about C++ even if CC alone was set: let CC decide.
    if "CC" in os.environ:
      os.environ.setdefault("CXX", os.environ["CC"])
    try:
      super().run()
    except (errors.BaseError, errors.CCompilerError, OSError) as error:
      reason = textwrap.shorten(str(error), 120)
      print(
        f"jnas: native CPU kernels not built, pure XLA will be used: {reason}",
        file=sys.stderr,
      )

  def build_extension(self, ext: setuptools.Extension) -> None:
    """Adds the folder of XLA's headers, found only when needed."""
    ext.extra_compile_args += ["-isystem", _find_headers()]
    super().build_extension(ext)

  def get_outputs(self) -> list[str]:
    """Returns what was built, to be installed."""
    return [path for path in super().get_outputs() if os.path.exists(path)]


def _find_headers() -> str:
  """Returns jaxlib's include folder, without importing jaxlib."""
  spec = importlib.util.find_spec("jaxlib")
  for folder in (spec and spec.submodule_search_locations) or ():
    headers = pathlib.Path(folder) / "include"
    if (headers / "xla/ffi/api/ffi.h").exists():
      return str(headers)
  raise FileNotFoundError("jaxlib, which has XLA's headers, is not installed")


kernels = setuptools.Extension(
  "jnas.native._kernels",
  sources=sorted(map(str, pathlib.Path(NATIVE).glob("*.cc"))),
  depends=sorted(map(str, pathlib.Path(NATIVE).glob("*.h"))),
  language="c++",
  extra_compile_args=["-std=c++17", "-O3", "-g0", "-Wno-psabi"],
  extra_link_args=["-lc++" if sys.platform == "darwin" else "-lstdc++"],
)

setuptools.setup(ext_modules=[kernels], cmdclass={"build_ext": BuildKernels})
