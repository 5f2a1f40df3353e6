"""Genotypes: discrete descriptions of cells, as values and as files.

Written in three forms: JSON, the text form of DARTS, NAS-Bench-201 strings.
`parse` takes any of them, a file that holds one, or a published cell's name.
"""

from jnas.genotype.cell import (
  PARAMETER_FREE_OPS,
  Cell,
  Connection,
  Genotype,
  validate,
)
from jnas.genotype.darts_text import from_darts, to_darts
from jnas.genotype.files import (
  FORMAT,
  from_dict,
  from_json,
  load,
  parse,
  published,
  published_source,
  read_provenance,
  save,
  to_dict,
  to_json,
)
from jnas.genotype.nasbench201 import (
  NASBENCH201_OPS,
  from_nasbench201,
  from_nasbench201_index,
  to_nasbench201,
  to_nasbench201_index,
)

__all__ = [
  "FORMAT",
  "NASBENCH201_OPS",
  "PARAMETER_FREE_OPS",
  "Cell",
  "Connection",
  "Genotype",
  "from_darts",
  "from_dict",
  "from_json",
  "from_nasbench201",
  "from_nasbench201_index",
  "load",
  "parse",
  "published",
  "published_source",
  "read_provenance",
  "save",
  "to_darts",
  "to_dict",
  "to_json",
  "to_nasbench201",
  "to_nasbench201_index",
  "validate",
]
