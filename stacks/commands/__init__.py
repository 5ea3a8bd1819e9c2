"""What a person runs beside Pulumi; `make help` lists it."""
