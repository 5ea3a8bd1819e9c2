"""Checks of the whole resource graph before anything exists: nothing here contacts a machine or needs a credential."""
