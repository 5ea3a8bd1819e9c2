"""The layers of the platform, and the typed configuration that they are built from."""
