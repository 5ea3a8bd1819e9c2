"""How long a Talos node takes to go down in peace. Every budget for it, on every side, is one of these."""

from __future__ import annotations

SHUTDOWN_SECONDS = 600
"""Seconds: up to 60 to cordon the node and 300 to evict its pods, then the static pods and the services.

Whoever cuts it short ends pods with volumes mounted, like a power failure. Source: `DrainTimeout` in
https://github.com/siderolabs/talos/blob/v1.13.0/pkg/kubernetes/kubernetes.go and the shutdown sequence in
https://github.com/siderolabs/talos/blob/v1.13.0/internal/app/machined/pkg/runtime/v1alpha1/v1alpha1_sequencer.go
"""

DRAIN_SECONDS = 600
"""Seconds for the pods of a node that is to leave the cluster: twice what Talos itself gives them before a shutdown."""
