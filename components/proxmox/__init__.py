"""Proxmox VE: the machines, the image that they start from, accounts, and the checks that run around changes of VMs.

Owns what the site holds for the cluster. Does not own what runs on the machines, nor volumes.
"""
