"""Secrets of workloads: those in git (SealedSecrets), those that are generated and kept in Vault (External Secrets).

Owns how a value gets to a pod. Does not own Vault.
"""
