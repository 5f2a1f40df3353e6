"""The sections of the page, from what was found to how it was set."""

import math
from collections.abc import Mapping, Sequence

from jnas import genotype as genotype_lib
from jnas.genotype import Genotype
from jnas.report import (
  curves,
  film,
  findings,
  folder,
  markup,
  segmentation,
  selection,
  tables,
)


def title(run: folder.Run) -> str:
  """The page's title, as HTML."""
  return markup.text(f"{run.name} · jnas report")


def body(run: folder.Run, pictures: curves.Pictures) -> str:
  """All that the page shows, as HTML."""
  parts = [
    ("cells", "Cells", _cells(run, pictures)),
    ("result", "Result", _result(run)),
    ("benchmark", "Benchmark", curves.benchmark(run, pictures)),
    ("search", "Search", curves.search(run, pictures)),
    ("film", "Film", film.section(run)),
    ("weights", "Architecture weights", curves.weights(run, pictures)),
    ("selection", "Selection", selection.section(run, pictures)),
    ("retraining", "Retraining", curves.retraining(run, pictures)),
    ("segmentation", "Segmentation", segmentation.section(run, pictures)),
    ("settings", "Settings", _settings(run)),
  ]
  parts = [part for part in parts if part[2]]
  links = "".join(f'<a href="#{name}">{head}</a>' for name, head, _ in parts)
  content = "".join(
    f'<section id="{name}" aria-labelledby="{name}-head">'
    f'<h2 id="{name}-head">{head}</h2>{inner}</section>'
    for name, head, inner in parts
  )
  return (
    '<a class="skip" href="#main">Skip to the content</a>'
    f'<header>{_head(run)}<nav aria-label="Sections">{links}</nav></header>'
    f'<main id="main">{content}</main><footer>{_foot(run)}</footer>'
  )


def _head(run: folder.Run) -> str:
  """The finding, the run's name, the first numbers, the warnings."""
  status = findings.status(run)
  is_open = " open" if status != "complete" else ""
  seed, source = run.setting("seed"), run.setting("data", "source")
  facts = [
    f'<span class="mono">{markup.text(run.name)}</span>',
    f'<span class="chip{is_open}">{markup.text(status)}</span>',
  ]
  method = run.setting("method", "name")
  if run.is_given:
    method = f"cell given: {_source(run)}" if _source(run) else "cell given"
  told = [("", method), ("on ", source), ("seed ", seed)]
  line = ", ".join(f"{what}{v}" for what, v in told if v is not None)
  if line:
    facts.append(f"<span>{markup.text(line)}</span>")
  tiles = "".join(
    f'<div><dt>{markup.text(tile.label)}</dt><dd class="value">'
    f'{markup.text(tile.value)}</dd><dd class="note">'
    f"{markup.text(tile.note)}</dd></div>"
    for tile in findings.tiles(run)
  )
  warnings = "".join(
    f"<li>{markup.text(warning)}</li>" for warning in findings.warnings(run)
  )
  return (
    f'<div class="run">{"".join(facts)}</div>'
    f"<h1>{markup.text(findings.headline(run))}</h1>"
    + (f'<dl class="tiles">{tiles}</dl>' if tiles else "")
    + (
      f'<ul class="warnings" aria-label="Warnings">{warnings}</ul>'
      if warnings
      else ""
    )
  )


def _source(run: folder.Run) -> str:
  """Where a given cell is from, as far as its file told."""
  source = run.provenance.get("found")
  if not isinstance(source, Mapping):
    return ""
  names = {"cell": "", "file": "", "config_hash": "config ", "seed": "seed "}
  return ", ".join(f"{w}{source[k]}" for k, w in names.items() if k in source)


def _cells(run: folder.Run, pictures: curves.Pictures) -> str:
  """The cells drawn, and as text."""
  if run.genotype is None:
    return ""
  by = "selection" if run.selection else "search"
  lead = f"What the {by} found." if run.is_final else "As of the last epoch."
  if run.search is None:
    lead = "As they were given."
    if "found" in run.provenance:
      lead = f"As they were given: {markup.text(_source(run))}."
  drawn = ""
  for cell_type, cell in run.genotype.cells().items():
    name = f"cell_{cell_type}"
    counts = ", ".join(f"{n} × {op}" for op, n in cell.op_counts().items())
    svg = markup.inline_svg(
      pictures[name].svg, name, f"{cell_type} cell: {counts}", natural=True
    )
    links = ", ".join(
      f'<a href="{name}.{kind}">{kind}</a>' for kind in ("svg", "png", "dot")
    )
    drawn += f"<h3>{curves.CELL_NAMES[cell_type]}</h3>" + markup.figure(
      markup.scroll(svg, f"{cell_type} cell"),
      f"{markup.text(counts)}. Beside this page: {links}.",
    )
  return (
    f'<p class="lead">{lead} Boxes on the arrows are operations; a node adds'
    " what enters it; a dashed node has no input and is zero.</p>"
    + drawn
    + markup.disclosure("As text", _genotype_text(run.genotype))
  )


def _genotype_text(genotype: Genotype) -> str:
  try:
    form = genotype_lib.to_darts(genotype)
  except ValueError:
    form = genotype_lib.to_json(genotype)
  return markup.code(form)


def _result(run: folder.Run) -> str:
  """The final table, and which split each number is from."""
  table = tables.results(run)
  if table is None:
    if run.search is None and run.segment is not None:
      return ""
    return f"<p>No network has been retrained yet.</p>{_splits(run)}"
  origin = ", ".join(f"{k} {v}" for k, v in run.versions.items())
  if run.config_hash:
    origin = f"Config {run.config_hash}; {origin}"
  note = run.networks[0].log.header.get("note")
  if note:
    origin = f"{origin}; {note}"
  # Two columns leave room for a text beside the table.
  opening = '<div class="pair">' if len(table.columns) < 3 else "<div>"
  texts = "".join(
    f"<h3>{markup.text(network.name.capitalize())}</h3>"
    + _genotype_text(network.genotype)
    for network in run.baselines
    if network.genotype
  )
  return (
    f'<p class="lead">Every cell trained in the same way.{_spread(run)} The'
    " standard error is that of the test images alone; another seed moves these"
    " numbers too.</p>"
    + f"{opening}<div>{markup.numbers(table, 'results', lead=True)}"
    + f'<p class="note">{markup.text(origin)}</p></div>'
    + f"<div><h3>Where the numbers are from</h3>{_splits(run)}</div></div>"
    + (markup.disclosure("The random cells", texts) if texts else "")
  )


def _spread(run: folder.Run) -> str:
  """What several random cells reached, in a sentence."""
  random = findings.baseline(run)
  if random.count < 2:
    return ""
  return (
    f" The {random.count} random ones: mean {tables.percent(random.mean)},"
    f" deviation {100 * random.deviation:.2f}, best"
    f" {tables.percent(random.best)}."
  )


def _splits(run: folder.Run) -> str:
  """What each split is used for."""
  share = run.setting("data", "valid_fraction")
  part = "half"
  if isinstance(share, float) and share != 0.5:
    part = f"{100 * share:g} %"
  rest = "the other half" if part == "half" else "the rest"

  def images(log: folder.Log | None, split: str) -> str:
    number = (
      folder.number(log.header, "split_sizes", split) if log else math.nan
    )
    return f" ({int(number):,})" if math.isfinite(number) else ""

  trained = run.searched.log if run.searched else None
  if run.is_given:
    return _definitions(
      [
        ("train", f"all training images{images(trained, 'train')}"),
        ("test", f"never used to fit anything{images(trained, 'test')}"),
      ]
    )
  entries = [
    (
      "train",
      f"{rest} of the training images{images(run.search, 'train')}, used to fit"
      " the supernet's weights; in retraining, all training"
      f" images{images(trained, 'train')}",
    ),
    (
      "valid",
      f"{part} of the training images{images(run.search, 'valid')}, used to fit"
      " the architecture, so not unseen by it",
    ),
    ("test", f"never used to fit anything{images(trained, 'test')}"),
  ]
  return _definitions(entries)


def _definitions(entries: Sequence[tuple[str, str]]) -> str:
  return (
    '<dl class="splits">'
    + "".join(f"<dt>{name}</dt><dd>{what}</dd>" for name, what in entries)
    + "</dl>"
  )


def _settings(run: folder.Run) -> str:
  """The config, by dotted name, the versions, the genotype's provenance."""
  rows = list(_flatten(run.config))
  if not rows and not run.versions:
    return ""
  hashed = f" (hash {run.config_hash})" if run.config_hash else ""
  content = markup.disclosure(f"Config{hashed}", markup.pairs(rows))
  if run.versions:
    content += markup.disclosure(
      "Versions", markup.pairs(list(run.versions.items()))
    )
  if run.provenance:
    content += markup.disclosure(
      "Where genotype.json is from",
      markup.pairs(list(_flatten(run.provenance))),
    )
  taken = run.search.header.get("taken_from") if run.search else None
  if isinstance(taken, Mapping):
    content += markup.disclosure(
      "Whose search this is", markup.pairs(list(_flatten(taken)))
    )
  return content


def _foot(run: folder.Run) -> str:
  version = run.versions.get("jnas", "")
  return markup.text(f"jnas {version} · {run.name} · {run.config_hash}".strip())


def _flatten(config: Mapping, prefix: str = ""):
  for key, value in config.items():
    if isinstance(value, Mapping):
      yield from _flatten(value, f"{prefix}{key}.")
    else:
      yield f"{prefix}{key}", value
