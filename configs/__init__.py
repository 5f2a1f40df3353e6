"""Named experiments, one file each; `jnas list configs` shows them."""
