"""What the operators of the platform do to their objects, played by rule; `python -m lab.operators` runs it.

A rule looks at what the real controller looks at, and says of each object what that controller would write: True only
when all of it is right, and otherwise the real one's own words. Rules are pure functions of the cluster's objects, so
tests try them on what the program would create, without a cluster.
"""
