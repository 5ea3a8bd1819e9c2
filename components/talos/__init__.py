"""Talos Linux on existing machines: secrets, configuration, bootstrap, the order of changes, and node removal.

Owns the cluster up to a Kubernetes API that answers. Does not own VMs, nor anything in Kubernetes.
"""
