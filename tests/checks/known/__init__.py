"""Faults that such platforms really had, each put into the repository's own tree and program.

One module a subject lists them, `every.py` has them all, and `page.py` writes docs/faults.md, which says of each what
finds it.
"""
