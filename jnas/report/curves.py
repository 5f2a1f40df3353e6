"""The sections of the page that show what happened over the epochs."""

import math
from collections.abc import Mapping, Sequence

from jnas.report import folder, markup, mixing, picture, tables

Pictures = Mapping[str, picture.Picture]
CELL_NAMES = {"normal": "Normal cell", "reduce": "Reduction cell"}
_MOST_ROWS = 60  # of the numbers by epoch


def benchmark(run: folder.Run, pictures: Pictures) -> str:
  """What the table of NAS-Bench-201 says of the cells, over the epochs."""
  table = tables.benchmark(run)
  if table is None:
    return ""
  selected = bool(run.benchmark.get("before_selection"))
  point = "; the point is the cell selected afterwards" if selected else ""
  captions = {
    name: f"{name.removeprefix('benchmark_')}: the cell that the search would"
    f" derive at each epoch{point}."
    for name in pictures
    if name.startswith("benchmark_")
  }
  return (
    '<p class="lead">Looked up in the table of NAS-Bench-201, whose cells were'
    " all trained for 200 epochs, apart from this run; over the epochs as in"
    " Figure 4 of PT. Regret is the best cell's accuracy minus this one's.</p>"
  ) + charts(
    pictures,
    captions,
    f'<div class="wide">{markup.numbers(table, "benchmark", lead=True)}</div>',
  )


def search(run: folder.Run, pictures: Pictures) -> str:
  """Curves of the search, its table, its numbers by epoch."""
  table = tables.search(run)
  if run.search is None or table is None:
    return ""
  captions = {
    "search_accuracy": "Accuracy. The child is the derived cell with the"
    " supernet's weights, not tuned.",
    "search_loss": "Loss.",
    "ops_normal": "Operations of the normal cell derived at each epoch.",
    "ops_reduce": "Operations of the reduction cell derived at each epoch.",
    "gap": "Discretisation gap: the supernet's accuracy minus its child's, on"
    " valid.",
    "entropy": "Entropy of the weights: 1 is undecided, 0 decided.",
    "skip_share": "Share of skip_connect in the derived cell.",
  }
  columns = (
    "train_loss",
    "train_accuracy",
    "valid_loss",
    "valid_accuracy",
    "child_loss",
    "child_accuracy",
    "weights_lr",
    "arch_lr",
    "images_per_s",
  )
  return charts(
    pictures,
    captions,
    f'<div class="wide">{markup.numbers(table, "search", lead=True)}</div>',
  ) + markup.disclosure("Numbers by epoch", by_epoch(run.search, columns))


def weights(run: folder.Run, pictures: Pictures) -> str:
  """Mixing weights: at an epoch, over the epochs, edge by edge."""
  found = mixing.read_all(run.search) if run.search else []
  if not found:
    return ""
  heat_tables = "".join(
    markup.heat_table(weights, CELL_NAMES[weights.cell_type])
    for weights in found
  )
  content = (
    '<p class="lead">Weight of each operation on each edge (source → target).'
    " Outlined: in the derived cell of that epoch.</p>"
    f'<div class="pair">{heat_tables}</div>'
  )
  for weights in found:
    name = f"alpha_{weights.cell_type}"
    label = f"weights of the {weights.cell_type} cell over the epochs"
    svg = markup.inline_svg(pictures[name].svg, name, label, natural=True)
    content += (
      f"<h3>{CELL_NAMES[weights.cell_type]}, over the epochs</h3>"
      + markup.scroll(svg, label)
      + markup.disclosure(
        f"{CELL_NAMES[weights.cell_type]}, edge by edge",
        markup.legend(weights.ops)
        + f'<div class="panels">{markup.panels(weights)}</div>',
      )
    )
  return content


def retraining(run: folder.Run, pictures: Pictures) -> str:
  """Curves of the retrained networks."""
  captions = {
    "training_accuracy": "Accuracy of the retrained networks; the test images"
    " fit nothing.",
    "training_loss": "Loss of the retrained networks.",
  }
  drawn = charts(pictures, captions)
  if not drawn:
    return ""
  columns = (
    "train_loss",
    "train_accuracy",
    "test_loss",
    "test_accuracy",
    "lr",
    "drop_path",
    "images_per_s",
  )
  return drawn + "".join(
    markup.disclosure(
      f"Numbers by epoch: {network.name}", by_epoch(network.log, columns)
    )
    for network in run.networks
    if network.log.epochs
  )


def charts(
  pictures: Pictures, captions: Mapping[str, str], last: str = ""
) -> str:
  """The charts that exist, side by side, and what is to follow them."""
  figures = [
    markup.figure(
      markup.inline_svg(pictures[name].svg, name, caption, natural=False),
      markup.text(caption),
    )
    for name, caption in captions.items()
    if name in pictures
  ]
  if not figures:
    return last
  return f'<div class="charts">{"".join(figures)}{last}</div>'


def by_epoch(log: folder.Log, columns: Sequence[str]) -> str:
  """Metrics of the epochs, of a long run only some."""
  known = [c for c in columns if any(map(math.isfinite, log.values(c)))]
  picks = markup.thin(len(log.epochs), _MOST_ROWS)
  rows = tuple(
    tables.Row(
      str(log.counted()[i]),
      "",
      tuple(_short(folder.number(log.epochs[i], name)) for name in known),
    )
    for i in picks
  )
  columns = tuple(name.replace("_", " ") for name in known)
  return markup.numbers(
    tables.Table(columns, rows), "numbers by epoch", lead=False
  )


def _short(value: float) -> str:
  return f"{value:.4g}" if math.isfinite(value) else tables.UNKNOWN
