"""Vault: its operator, servers, policies and sign-on methods, and the check that its configuration is one.

Does not own the values in it.
"""
