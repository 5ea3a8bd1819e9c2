"""What components of every subject are built from: charts and their pins, namespaces, pods, references between objects.

Owns no resource of its own.
"""
