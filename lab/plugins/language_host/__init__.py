"""A Pulumi language host for Python, used only where the official one is not installed."""
