"""The embedded lab: everything that stands in for a site's hardware, and the commands that run it.

Nothing outside this package imports it: the program does not know whether it runs in a lab.
`make help` lists the commands; `lab/__main__.py` is their table. `lab/README.md` is the map of the parts.
"""
