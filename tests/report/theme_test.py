"""The palette: told apart by everyone, legible on its ground."""

import itertools

import numpy as np
import pytest

from jnas.report import theme

FAMILIES = ("sep", "dil", "conv", "pool", "skip", "none")
# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
VISION = {
  "full": np.eye(3),
  "protanopia": [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
  ],
  "deuteranopia": [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.011820, 0.042940, 0.968881],
  ],
  "tritanopia": [
    [1.255528, -0.076749, -0.178779],
    [-0.078411, 0.930809, 0.147602],
    [0.004733, 0.691367, 0.303900],
  ],
}
TO_XYZ = np.array(
  [
    [0.4124, 0.3576, 0.1805],
    [0.2126, 0.7152, 0.0722],
    [0.0193, 0.1192, 0.9505],
  ]
)


def linear(color: str) -> np.ndarray:
  part = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
  return np.where(
    part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4
  )


def lab(rgb: np.ndarray) -> np.ndarray:
  xyz = TO_XYZ @ np.clip(rgb, 0, 1) / TO_XYZ.sum(1)
  f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
  return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(first: str, second: str) -> float:
  dark, light = sorted(TO_XYZ[1] @ linear(c) for c in (first, second))
  return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("ground", ["light", "dark"])
@pytest.mark.parametrize("vision", VISION)
def test_kinds_of_operations_differ_for_every_kind_of_sight(ground, vision):
  seen = {
    name: lab(VISION[vision] @ linear(getattr(theme.ROLES[name], ground)))
    for name in FAMILIES
  }
  for first, second in itertools.combinations(FAMILIES, 2):
    distance = np.linalg.norm(seen[first] - seen[second])
    assert distance > 20, (first, second)  # 2.3 is just noticeable


@pytest.mark.parametrize("ground", ["light", "dark"])
def test_texts_and_lines_stand_out_from_what_is_behind_them(ground):
  color = {name: getattr(role, ground) for name, role in theme.ROLES.items()}
  for behind in ("ground", "node", "warn-soft", "heat"):
    assert contrast(color["ink"], color[behind]) >= 4.5  # WCAG AA, text
  for name in FAMILIES:
    assert contrast(color["ink"], color[f"{name}-soft"]) >= 4.5
    assert contrast(color[name], color["ground"]) >= 3  # WCAG AA, graphics
  assert contrast(color["muted"], color["ground"]) >= 4.5
  assert contrast(color["link"], color["ground"]) >= 4.5


def test_recolour_turns_each_role_into_its_own_variable():
  svg = "".join(f'fill="{role.light}" ' for role in theme.ROLES.values())
  names = "".join(f'fill="var(--{name})" ' for name in theme.ROLES)
  assert theme.recolour(svg) == names
  assert "#" not in theme.recolour(svg)


def test_operations_of_one_kind_have_different_dashes():
  ops = ("sep_conv_3x3", "sep_conv_5x5", "max_pool_3x3", "avg_pool_3x3", "none")
  dashes = theme.dashes(ops)
  assert dashes["sep_conv_3x3"] != dashes["sep_conv_5x5"]
  assert dashes["max_pool_3x3"] != dashes["avg_pool_3x3"]
  assert dashes["sep_conv_3x3"] == dashes["max_pool_3x3"] == ""


@pytest.mark.parametrize(
  ("op", "family", "name"),
  [
    ("sep_conv_5x5", "sep", "sep_conv_5x5"),
    ("nor_conv_1x1", "conv", "nor_conv_1x1"),
    ("noise", "none", "noise"),
    ("lab.ops:dil_conv_9x9", "dil", "dil_conv_9x9"),
    ("lab.ops:Involution", "conv", "Involution"),
    ("an_operation_with_a_very_long_name", "conv", "an_operation_w…long_name"),
  ],
)
def test_an_operation_has_a_kind_and_a_short_name(op, family, name):
  assert theme.family(op) == family
  assert theme.short_name(op) == name
