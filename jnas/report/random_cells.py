"""The random networks that the runs of a comparison trained beside theirs."""

import dataclasses
from collections.abc import Sequence

from jnas.report import folder, tables
from jnas.report.groups import Group


@dataclasses.dataclass(frozen=True)
class Baseline:
  """Random networks trained alike.

  Attributes:
    label: tells it from others.
    setting: as of the groups that it belongs to.
    data: the data source.
    names: of each network, with its seed.
    accuracies: of each seed's networks, each counted once.
    params: of the same networks.
    madds: of the same networks.
    images: in the test split; NaN if unknown.
    seeds: of the runs that trained them.
  """

  label: str
  setting: str
  data: str
  images: float
  seeds: tuple[int, ...]
  names: tuple[str, ...]
  accuracies: tuple[float, ...]
  params: tuple[float, ...]
  madds: tuple[float, ...]


def read(groups: Sequence[Group]) -> list[Baseline]:
  """The random networks of each setting.

  Runs of several methods with one seed train the same random networks.
  """
  found: dict[str, dict[tuple[int, str], folder.Network]] = {}
  for group in groups:
    for member in group.members:
      for network in member.run.baselines:
        if network.log.summary:
          by_seed = found.setdefault(group.setting, {})
          by_seed.setdefault((member.seed, network.name), network)
  result = []
  for setting, networks in found.items():
    labels = [g.label for g in groups if g.setting == setting]
    summaries = [network.log.summary for network in networks.values()]
    result.append(
      Baseline(
        label="random cells"
        + (f", as {', '.join(labels)}" if len(found) > 1 else ""),
        setting=setting,
        data=next(g.data for g in groups if g.setting == setting),
        images=folder.number(
          next(iter(networks.values())).log.header, "split_sizes", "test"
        ),
        seeds=tuple(sorted({seed for seed, _ in networks})),
        names=tuple(f"{name}, seed {seed}" for seed, name in networks),
        accuracies=tuple(
          tables.final_accuracy(network.log) for network in networks.values()
        ),
        params=tuple(folder.number(s, "params") for s in summaries),
        madds=tuple(folder.number(s, "madds") for s in summaries),
      )
    )
  return result
