"""Authentik: people, groups, and single sign-on of every service, Vault's included.

Does not own the services.
"""
