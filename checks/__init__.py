"""Checks of the whole resource graph before anything exists: nothing here talks to a machine or needs a credential."""
