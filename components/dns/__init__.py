"""The cluster's zone: PowerDNS and what writes records into it.

Does not own the public secondary, nor the delegation.
"""
