"""What a stack file says: models, rules between values, credentials, and the schema for editors."""
