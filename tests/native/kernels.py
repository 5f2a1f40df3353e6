"""What tests of the CPU operations share."""

import numpy as np
import pytest

from jnas.native import library

needs_kernels = pytest.mark.skipif(
  not library.load().is_loaded, reason=f"kernels: {library.load().reason}"
)


def both_codes(native=None, xla=None):
  """Both codes of an operation, by the type of its input.

  float32 takes the kernels where they are built, float64 always takes XLA.

  Args:
    native: tolerance of the kernels, the second argument of the test; None if
      it has none.
    xla: likewise of XLA.
  """
  if native is None:
    names, cases = "dtype", [(np.float32,), (np.float64,)]
  else:
    names, cases = "dtype,tolerance", [(np.float32, native), (np.float64, xla)]
  return pytest.mark.parametrize(
    names,
    [
      pytest.param(*cases[0], marks=needs_kernels),
      pytest.param(*cases[1]),
    ],
    ids=["native", "xla"],
  )
