"""The public host: what is set up there over SSH.

Owns what it changes on the host and puts it back. Does not own the host.
"""
