"""What the lab tells its user when it cannot go on."""


class LabError(Exception):
    """A cause that the user can act on, shown without a traceback: the value, the rule and the remedy."""
