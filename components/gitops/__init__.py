"""What hands the applications over to Flux: a component a module."""
