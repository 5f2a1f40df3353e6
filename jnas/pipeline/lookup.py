"""What a run found, looked up in the user's table of NAS-Bench-201.

Source: NAS-Bench-201 (arXiv:2001.00326); PT, Figure 4.
"""

from jnas import bench, registry
from jnas import config as configs
from jnas import genotype as genotypes
from jnas.pipeline import benchmark, display, folder, selecting
from jnas.spaces import SPACES, Space
from jnas.spaces.nasbench201 import NASBENCH201
from jnas.training import processes


def load(config: configs.Config) -> bench.Table | None:
  """The table of a config, checked; None without one.

  Of several processes only the first one reads it; the others get None.

  Raises:
    ValueError: for a space whose cells the table lacks, or a file that is no
      table.
    FileNotFoundError: for a file that is not there.
  """
  path = config.benchmark.table
  if not path:
    return None
  space = registry.resolve(config.space, SPACES, "space", of=Space)
  if not _holds(space):
    raise ValueError(
      f"benchmark.table is {path!r} with space {config.space!r}, whose cells "
      "it lacks; space must be 'nasbench201', or have its nodes and none but "
      "its operations"
    )
  tables = []
  processes.from_first(lambda: tables.append(bench.load(path)))
  return tables[0] if tables else None


def tell(table: bench.Table | None, run: folder.RunFolder) -> None:
  """Prints how good the cells found really are, and writes benchmark.json.

  Args:
    table: from `load`; nothing is done without one.
    run: in which the cell is found.

  Raises:
    ValueError: for a genotype that is no cell of NAS-Bench-201.
    OSError: the file could not be written.
  """
  if table is None:
    return
  found = bench.lookup(table, genotypes.load(run.genotype))
  searched = bench.lookup(table, genotypes.load(run.search_genotype))
  selected = selecting.after(run.config)
  trajectory = benchmark.read_trajectory(table, run.search / "metrics.jsonl")
  folder.write_json(
    run.benchmark,
    {
      **benchmark.table_to_dict(table),
      "num_cells": bench.NUM_CELLS,
      "found": benchmark.entry_to_dict(found),
      "before_selection": (
        benchmark.entry_to_dict(searched) if selected else None
      ),
      "epochs": [
        {"epoch": epoch, **benchmark.entry_to_dict(entry)}
        for epoch, entry in zip(
          trajectory.epochs, trajectory.entries, strict=True
        )
      ],
    },
  )
  entries = {"searched": searched}
  if selected:
    entries["selected"] = found
  display.say(f"by {table.path}:")
  display.CONSOLE.print(benchmark.score_table(entries))


def _holds(space: Space) -> bool:
  """Whether the table has a row for every cell of a space."""
  known = NASBENCH201
  return (
    space.cell_types == known.cell_types
    and space.num_inputs == known.num_inputs
    and space.num_nodes == known.num_nodes
    and space.concat == known.concat
    and space.op_names <= known.op_names
  )
