"""Offline checks of `gitops/`, the folder that Flux applies: what its files say, without Kustomize and without Flux."""
