"""Search methods by name."""

from jnas.methods import (
  darts,
  dst,
  entrannas,
  gdas,
  pc_darts,
  random_search,
  random_sharing,
  sdarts,
  sgas,
  snas,
  unas,
)
from jnas.methods.base import (
  SCHEMES,
  Context,
  Latency,
  Losses,
  Method,
  Sizes,
  Timing,
  decide,
  objective,
  transit,
)

METHODS = {
  "darts": darts.DARTS,
  "snas": snas.SNAS,
  "entrannas": entrannas.ENTRANNAS,
  "entrannas_dst": dst.DST,
  "sdarts_rs": sdarts.SDARTS_RS,
  "sgas": sgas.SGAS,
  "pc_darts": pc_darts.PC_DARTS,
  "gdas": gdas.GDAS,
  "unas": unas.UNAS,
  "random": random_search.RANDOM,
  "random_sharing": random_sharing.RANDOM_SHARING,
}

__all__ = [
  "METHODS",
  "SCHEMES",
  "Context",
  "Latency",
  "Losses",
  "Method",
  "Sizes",
  "Timing",
  "decide",
  "objective",
  "transit",
]
