"""Tables of a run's numbers, each with the split it was measured on."""

import math
import statistics
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from jnas.report import folder, stats

UNKNOWN = "–"


class Row(NamedTuple):
  """A line of a table.

  Attributes:
    label: what was measured.
    note: on which split, or how.
    values: in words, one for each column.
  """

  label: str
  note: str
  values: tuple[str, ...]


class Table(NamedTuple):
  """A table.

  Attributes:
    columns: what the values are of.
    rows: the measurements; those known for no column are left out.
  """

  columns: tuple[str, ...]
  rows: tuple[Row, ...]


def results(run: folder.Run) -> Table | None:
  """The retrained networks side by side; None before the first epoch."""
  networks = [network for network in run.networks if network.log.epochs]
  if not networks:
    return None
  trained = "all training images, augmented"
  tested = split_note(networks[0].log, "test")
  final = [final_accuracy(network.log) for network in networks]
  errors = [
    stats.accuracy_error(
      accuracy, folder.number(network.log.header, "split_sizes", "test")
    )
    for accuracy, network in zip(final, networks, strict=True)
  ]
  rows = [
    Row("Test accuracy, last epoch", tested, _all(percent, final)),
    Row(
      "Its standard error", "from the number of images", _all(spread, errors)
    ),
    Row(
      "Test accuracy, best epoch",
      "picked on test, so flattering",
      _all(percent, [best_accuracy(n.log) for n in networks]),
    ),
    Row("Test loss, last epoch", tested, _last(networks, "test_loss", decimal)),
    Row(
      "Train accuracy, last epoch",
      trained,
      _last(networks, "train_accuracy", percent),
    ),
    Row("Parameters", "", _summary(networks, "params", count)),
    *_with_head(run, networks),
    Row(
      "Multiply-adds",
      "convolutions and classifier",
      _summary(networks, "madds", count),
    ),
    Row(
      "Multiply-adds, extended",
      "+ 2 × batch norm + ReLU outputs",
      _summary(networks, "madds_ext", count),
    ),
    Row(
      "Epochs", "", tuple(progress(n.log, run, "evaluate") for n in networks)
    ),
    Row(
      "Weights at the start",
      "",
      tuple(_start(network.log) for network in networks),
    ),
    Row("Seed", "", _summary(networks, "seed", count)),
    Row("Wall time", "", tuple(duration(seconds(n.log)) for n in networks)),
    Row(
      "Images a second", "median epoch", tuple(_rate(n.log) for n in networks)
    ),
    Row(
      "Peak memory, compiled",
      "of a training step",
      _summary(networks, "peak_bytes", size),
    ),
    Row(
      "Peak memory, process",
      "resident",
      _summary(networks, "rss_bytes", size),
    ),
  ]
  return _trim(Table(tuple(n.name for n in networks), tuple(rows)))


def _with_head(
  run: folder.Run, networks: Sequence[folder.Network]
) -> Iterator[Row]:
  """The parameters in training, where the networks have the head."""
  if run.setting("evaluate", "auxiliary_weight") == 0:
    return
  yield Row(
    "Parameters, training",
    "with the auxiliary head",
    _summary(networks, "params_with_aux", count),
  )


def search(run: folder.Run) -> Table | None:
  """What the search measured and cost; None before its first epoch."""
  log = run.search
  if log is None or not log.epochs:
    return None
  valid = split_note(log, "valid")

  def last(name: str) -> float:
    return last_value(log, name)

  rows = [
    Row("Supernet's accuracy", valid, (percent(last("valid_accuracy")),)),
    Row(
      "Child's accuracy",
      f"{valid}; supernet's weights, no tuning",
      (percent(last("child_accuracy")),),
    ),
    Row("Gap", valid, (points(last("gap")),)),
    Row(
      "Supernet's accuracy while training",
      split_note(log, "train"),
      (percent(last("train_accuracy")),),
    ),
    Row("Parameters of the supernet", "", (_of(log, "params", count),)),
    Row("Epochs", "", (progress(log, run, "search"),)),
    Row("Steps", "", (count(last("step")),)),
    Row("Seed", "", (count(folder.number(run.config, "seed")),)),
    Row("Wall time", "", (duration(seconds(log)),)),
    Row("Images a second", "median epoch", (_rate(log),)),
    Row(
      "Peak memory, compiled",
      "of a search step",
      (_of(log, "peak_bytes", size),),
    ),
    Row("Peak memory, process", "resident", (_of(log, "rss_bytes", size),)),
  ]
  return _trim(Table(("search",), tuple(rows)))


def benchmark(run: folder.Run) -> Table | None:
  """What the user's table says of the cells found; None without one."""
  looked_up = run.benchmark
  if not looked_up:
    return None
  cells = {"searched": looked_up["found"]}
  if looked_up["before_selection"]:
    cells = {
      "selected": looked_up["found"],
      "searched, before the selection": looked_up["before_selection"],
    }
  rows = [
    Row(
      data_set,
      label,
      (
        percent(score["accuracy"] / 100),
        f"{score['rank']:,} of {looked_up['num_cells']:,}",
        f"{score['regret']:.2f}",
      ),
    )
    for label, cell in cells.items()
    for data_set, score in cell["scores"].items()
  ]
  return Table(("accuracy", "rank", "regret"), tuple(rows))


def final_accuracy(log: folder.Log) -> float:
  """Test accuracy of the last epoch known."""
  return last_value(log, "test_accuracy")


def best_accuracy(log: folder.Log) -> float:
  """The largest test accuracy of all epochs."""
  told = folder.number(log.summary, "best_test_accuracy")
  if math.isfinite(told):
    return told
  return stats.summarize(log.values("test_accuracy")).best


def progress(log: folder.Log, run: folder.Run, stage: str) -> str:
  """Epochs done, and how many there will be."""
  done = log.numbers()[-1] + 1 if log.epochs else 0
  planned = run.setting(stage, "epochs")
  if log.summary or not isinstance(planned, int):
    return f"{done:,}"
  return f"{done:,} of {planned:,}"


def seconds(log: folder.Log) -> float:
  """Wall time of a stage so far; its epochs tell the time since its start."""
  return last_value(log, "seconds")


def split_note(log: folder.Log, split: str) -> str:
  """A split's name, and how many images it has."""
  images = folder.number(log.header, "split_sizes", split)
  if not math.isfinite(images):
    return split
  return f"{split}: {int(images):,} images"


def percent(value: float) -> str:
  """0.8812 as 88.12 %."""
  return f"{100 * value:.2f} %" if math.isfinite(value) else UNKNOWN


def points(value: float) -> str:
  """A difference of two accuracies in percentage points."""
  if not math.isfinite(value):
    return UNKNOWN
  return f"{100 * value:+.2f} points".replace("-", "−")


def spread(value: float) -> str:
  """The spread of an accuracy, in percentage points."""
  return f"± {100 * value:.2f}" if math.isfinite(value) else UNKNOWN


def count(value: float) -> str:
  """A whole number with its thousands set apart."""
  return f"{int(value):,}" if math.isfinite(value) else UNKNOWN


def short_count(value: float) -> str:
  """A large number in millions or thousands."""
  if not math.isfinite(value):
    return UNKNOWN
  for unit, name in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
    if abs(value) >= unit:
      return f"{value / unit:.3g}{name}"
  return f"{value:.0f}"


def decimal(value: float) -> str:
  """A number with four decimals."""
  return f"{value:.4f}" if math.isfinite(value) else UNKNOWN


def duration(value: float) -> str:
  """Seconds in the two units that fit."""
  if not math.isfinite(value):
    return UNKNOWN
  if value < 60:
    return f"{value:.1f} s"
  minutes, rest = divmod(round(value), 60)
  if minutes < 60:
    return f"{minutes} min {rest} s"
  hours, minutes = divmod(minutes, 60)
  if hours < 48:
    return f"{hours} h {minutes} min"
  return f"{hours // 24} d {hours % 24} h"


def size(value: float) -> str:
  """Bytes in MiB or GiB."""
  if not math.isfinite(value):
    return UNKNOWN
  if value < 2**30:
    return f"{value / 2**20:.0f} MiB"
  return f"{value / 2**30:.2f} GiB"


def last_value(log: folder.Log, name: str) -> float:
  """A metric from the summary, else from the last epoch that has it."""
  told = folder.number(log.summary, name)
  if math.isfinite(told):
    return told
  finite = [value for value in log.values(name) if math.isfinite(value)]
  return finite[-1] if finite else math.nan


def _of(log: folder.Log, name: str, form) -> str:
  return form(folder.number(log.summary, name))


def _all(form, values: Sequence[float]) -> tuple[str, ...]:
  return tuple(form(value) for value in values)


def _last(networks, name: str, form) -> tuple[str, ...]:
  return _all(form, [last_value(network.log, name) for network in networks])


def _summary(networks, name: str, form) -> tuple[str, ...]:
  return tuple(_of(network.log, name, form) for network in networks)


def _rate(log: folder.Log) -> str:
  rates = [v for v in log.values("images_per_s") if math.isfinite(v)]
  return count(statistics.median(rates)) if rates else UNKNOWN


def _start(log: folder.Log) -> str:
  told = log.summary.get("inherited")
  if not isinstance(told, bool):
    return UNKNOWN
  return "the supernet's" if told else "fresh"


def _trim(table: Table) -> Table:
  rows = [row for row in table.rows if set(row.values) != {UNKNOWN}]
  return table._replace(rows=tuple(rows))
