"""Secrets of workloads: those in git (SealedSecrets), those that are generated and kept in Vault (External Secrets).

Owns the way from a value to a pod. Does not own Vault.
"""
