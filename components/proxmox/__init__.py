"""Proxmox VE: the machines, the image that they boot from, accounts, and the checks that run around changes to VMs.

Owns what the site holds for the cluster. Does not own what runs on the machines, nor volumes.
"""
