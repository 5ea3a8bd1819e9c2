"""What components of every subject are made with: charts and their pins, namespaces, pods, references between objects.

Owns no resource of its own.
"""
