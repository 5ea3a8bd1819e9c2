"""Traffic: the pods' network, addresses for Services, HTTP from outside by host name.

Does not own names or certificates.
"""
