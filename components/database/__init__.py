"""PostgreSQL by CloudNativePG: clusters and their backups.

Does not own what is in a database.
"""
