"""Volumes, the storage classes by which claims get them, and what becomes of volumes when their cluster is destroyed.

Does not own the site's datastores.
"""
