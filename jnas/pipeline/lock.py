"""The lock of a folder: the system's, which goes with the process."""

import contextlib
import errno
import fcntl
import pathlib
from collections.abc import Iterator


@contextlib.contextmanager
def hold(path: pathlib.Path) -> Iterator[None]:
  """Holds the lock of a folder.

  Raises:
    ValueError: if another run holds it.
  """
  with (path / ".lock").open("a") as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      raise ValueError(
        f"{path} is in use by another run: wait until it ends, or use "
        "another --workdir"
      ) from error
    except OSError as error:
      # Some network file systems have no locks; then there is none here.
      if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
        raise
    yield
