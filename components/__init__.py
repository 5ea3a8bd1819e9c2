"""ComponentResources of the platform: one a file, none reads configuration."""
