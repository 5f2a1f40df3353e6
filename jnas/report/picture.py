"""Figures as SVG and PNG, and files that are written whole or not at all."""

import io
import os
import pathlib
import tempfile
from typing import NamedTuple

from matplotlib import figure as figure_lib

from jnas.report import theme

PNG_DPI = 150


class Picture(NamedTuple):
  """A figure, ready to be written.

  Attributes:
    svg: as SVG, on no ground, its text kept as text.
    png: as PNG, on the light theme's ground.
  """

  svg: str
  png: bytes


def render(figure: figure_lib.Figure) -> Picture:
  """The figure as SVG and PNG; the same figure gives the same bytes."""
  svg, png = io.StringIO(), io.BytesIO()
  with theme.style():
    figure.savefig(svg, format="svg", metadata={"Date": None})
    figure.savefig(
      png,
      format="png",
      dpi=PNG_DPI,
      facecolor=theme.color("ground"),
      metadata={"Software": None},
    )
  # Whoever has not the font should see one of the same width.
  text = svg.getvalue().replace("'DejaVu Sans'", "'DejaVu Sans', Verdana")
  return Picture(text, png.getvalue())


def write(picture: Picture, path: pathlib.Path) -> list[pathlib.Path]:
  """Writes path.svg and path.png; returns their paths."""
  svg, png = with_ending(path, ".svg"), with_ending(path, ".png")
  replace(svg, picture.svg.encode())
  replace(png, picture.png)
  return [svg, png]


def with_ending(path: pathlib.Path, ending: str) -> pathlib.Path:
  """The path with an ending added; a dot in its name is no ending."""
  return path.with_name(path.name + ending)


def replace(path: pathlib.Path, content: bytes) -> None:
  """Writes a file, in the place of an older one, whole or not at all."""
  handle, name = tempfile.mkstemp(prefix=".", dir=path.parent)
  try:
    with os.fdopen(handle, "wb") as file:
      file.write(content)
    # mkstemp's files are private; a result is as readable as any other file.
    mask = os.umask(0)
    os.umask(mask)
    os.chmod(name, 0o666 & ~mask)
    os.replace(name, path)
  except BaseException:
    pathlib.Path(name).unlink(missing_ok=True)
    raise
