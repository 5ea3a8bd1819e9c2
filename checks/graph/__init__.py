"""The resource graph of a Pulumi program, recorded offline.

    graph = record(root, config=load_stack_config(root, "prod"), project="homelab", stack="prod")
    assert graph.depends("csi-config", "csi-token", via="stringData")

`record` runs the program without engine, provider plugins, network or credentials, and keeps each request that it would
have sent to the engine. Checks of values, names or order belong on this graph; checks of what an object does once it
exists belong in the lab.
"""

from checks.graph.config import StackConfig, load_stack_config
from checks.graph.conventions import Finding, component_types, convention_findings, leaked_values
from checks.graph.graph import Graph, Invoke, Node
from checks.graph.recorder import Fake, FakeInvoke, echo
from checks.graph.run import record
from checks.graph.wire import UNKNOWN, Ref, Secret, is_secret, is_unknown, plain_strings, reveal

__all__ = [
    "UNKNOWN",
    "Fake",
    "FakeInvoke",
    "Finding",
    "Graph",
    "Invoke",
    "Node",
    "Ref",
    "Secret",
    "StackConfig",
    "component_types",
    "convention_findings",
    "echo",
    "is_secret",
    "is_unknown",
    "leaked_values",
    "load_stack_config",
    "plain_strings",
    "record",
    "reveal",
]
