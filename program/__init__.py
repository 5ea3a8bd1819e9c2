"""The entry points of this program that are named in a state file."""
