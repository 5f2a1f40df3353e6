"""STYLE 2.2: nothing imports a layer above its own."""

import ast
import pathlib

PACKAGE = pathlib.Path(__file__).resolve().parents[1] / "jnas"
# Each layer may import itself and what is listed.
BASIC = {"types", "genotype", "registry", "mistakes"}
ALLOWED = {
  "types": set(),
  "genotype": set(),
  "mistakes": set(),
  "registry": {"types", "mistakes"},
  "config": {"types", "mistakes"},
  "functional": {"types"},
  "native": {"types"},
  "ops": BASIC | {"native"},
  "spaces": BASIC,
  "data": BASIC,
  "latency": BASIC,
  "nets": BASIC | {"native", "ops", "spaces", "functional"},
  "methods": BASIC | {"spaces", "functional"},
  "selection": BASIC | {"spaces", "functional"},
  "report": BASIC,
  "bench": BASIC,
  "export": BASIC | {"ops", "nets"},
}


def imported_layers(path):
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.ImportFrom) and node.module:
      parts = node.module.split(".")
      if parts[0] == "jnas":
        names = [parts[1]] if len(parts) > 1 else [a.name for a in node.names]
        yield from names


def test_no_layer_imports_a_layer_above_its_own():
  checked = 0
  for path in PACKAGE.rglob("*.py"):
    layer = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if layer in ALLOWED:
      for name in imported_layers(path):
        assert name in ALLOWED[layer] | {layer}, f"{path} imports {name}"
        checked += 1
  assert checked > 50
