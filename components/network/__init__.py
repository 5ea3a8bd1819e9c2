"""Traffic: the pod network, addresses for Services, and HTTP from outside by host name.

Does not own names or certificates.
"""
