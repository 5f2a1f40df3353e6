"""What claims measure otherwise than by a search and a training.

Each function takes an arm's config and its run folder, and returns what JSON
can hold; `claims` keeps it there.
"""
