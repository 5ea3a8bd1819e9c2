"""The layers: each a module with a `deploy` whose arguments are what it depends on.

`settings/` has what a stack file says, `commands/` what a person runs beside Pulumi.
"""
