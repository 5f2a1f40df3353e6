"""jnas: differentiable neural architecture search on JAX.

Each stage is a function that returns a record, each table a dictionary, and
`jnas.functional` is the pure core.
"""

from jnas.config import Config
from jnas.data import DATASETS
from jnas.genotype import Cell, Genotype
from jnas.methods import METHODS
from jnas.ops import OPS
from jnas.pipeline.evaluate import EvaluateResult
from jnas.pipeline.evaluate import run as evaluate
from jnas.pipeline.run import run
from jnas.pipeline.search import SearchResult
from jnas.pipeline.search import run as search
from jnas.pipeline.segment import SegmentResult
from jnas.pipeline.segment import run as segment
from jnas.selection import SELECTORS
from jnas.spaces import SPACES

__version__ = "0.1.0"

__all__ = [
  "DATASETS",
  "METHODS",
  "OPS",
  "SELECTORS",
  "SPACES",
  "Cell",
  "Config",
  "EvaluateResult",
  "Genotype",
  "SearchResult",
  "SegmentResult",
  "evaluate",
  "run",
  "search",
  "segment",
]
