"""Measured latency: clocks, and tables of what operations take on a device."""

from jnas.latency.measure import Timing, describe_device, time_calls
from jnas.latency.table import FORMAT, Table, add_layers, load, save

__all__ = [
  "FORMAT",
  "Table",
  "Timing",
  "add_layers",
  "describe_device",
  "load",
  "save",
  "time_calls",
]
