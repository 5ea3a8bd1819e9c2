"""Vault: its operator, servers, policies and auth methods, and the check that its configuration is valid.

Does not own the values in it.
"""
