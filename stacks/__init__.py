"""The layers: each is a module with a `deploy` function whose arguments are its dependencies.

`settings/` reads and checks stack files, `commands/` contains the commands that a person runs besides Pulumi.
"""
