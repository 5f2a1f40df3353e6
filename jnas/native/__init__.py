"""Fast code for what XLA runs slowly on CPU, and its twins in XLA."""
