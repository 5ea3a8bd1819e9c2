"""cert-manager, its issuers, and certificates.

Owns the cluster's own authority too. Does not own the zone in which a challenge is answered.
"""
