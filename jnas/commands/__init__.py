"""The sub-commands of `jnas`: arguments to one pipeline call each."""
