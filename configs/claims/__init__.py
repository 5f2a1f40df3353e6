"""The papers' claims at small scale; `jnas claims` runs them."""
