"""The contents of a stack file: models, rules between values, credentials, and the schema for editors."""
