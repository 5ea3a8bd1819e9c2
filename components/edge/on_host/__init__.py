"""Programs that run on other hosts, sent there over SSH by `components.edge.ssh`. Nothing here runs beside Pulumi.

Standard library only, and Python 3.9 as in Debian 11. A program may be run again at any time.
"""
