"""Talos Linux on machines that exist: its secrets, configuration and bootstrap, the order of changes, and a node's end.

Owns the cluster up to a Kubernetes API that answers. Does not own VMs, nor anything in Kubernetes.
"""
