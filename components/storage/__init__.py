"""Volumes and the classes by which claims get them, and what becomes of volumes when their cluster goes.

Does not own the site's datastores.
"""
