"""The far end of the SDK's conversation with the engine: keeps each request and answers as a preview does.

The SDK talks to a resource monitor and an engine, normally two gRPC stubs; `pulumi.runtime.Settings` also takes any
object. `Recorder` is both objects: no port, no plugin. What a real preview leaves unknown is unknown here.
"""

# ruff: noqa: N802 - the services of Pulumi's protocol name their methods so

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from google.protobuf import empty_pb2, struct_pb2
from pulumi import ErrorHook, ResourceHook
from pulumi.runtime.proto import callback_pb2, engine_pb2, resource_pb2

from checks.graph.graph import Graph, Invoke, Node
from checks.graph.wire import UNKNOWN, Secret, decode_struct, encode_struct, is_unknown

FakeFunction = Callable[[Node], Mapping[str, Any] | None]
Fake = FakeFunction | Mapping[str, Any]
"""Outputs by wire name (camelCase), or a function from the node to them; "id" sets the resource's id."""
FakeInvoke = Callable[[Invoke], Mapping[str, Any] | None] | Mapping[str, Any]
"""The result of a provider function, or a function from the call to it."""

# Output values would ask the monitor to understand dependencies inside properties, which only remote components need.
_FEATURES = [
    feature
    for feature in resource_pb2.ResourceMonitorFeature.values()
    if feature != resource_pb2.RESOURCE_MONITOR_FEATURE_OUTPUT_VALUES
]


def echo(node: Node) -> dict[str, Any]:
    """Return outputs that repeat the inputs. A Kubernetes object without a name gets its resource's name."""
    metadata = node.inputs.get("metadata", {})
    if node.type.startswith("kubernetes:") and isinstance(metadata, dict):
        return {**node.inputs, "metadata": {"name": node.name, **metadata}}
    return dict(node.inputs)


class Recorder:
    """Monitor and engine of one recording. The method names are those of Pulumi's resource and engine services.

    The SDK calls from several threads at once; a method that the SDK needs and that is not here fails as an
    AttributeError that names it.
    """

    def __init__(
        self,
        project: str,
        stack: str,
        fakes: Mapping[str, Fake],
        invokes: Mapping[str, FakeInvoke],
    ) -> None:
        self.graph = Graph()
        self.used_fakes: set[str] = set()
        self._project = project
        self._stack = stack
        self._fakes = fakes
        self._invokes = invokes
        self._lock = threading.Lock()

    def GetDeploymentInfo(self, _request: empty_pb2.Empty) -> resource_pb2.DeploymentInfo:
        return resource_pb2.DeploymentInfo(
            supportedFeatures=_FEATURES, dryRun=True, project=self._project, stack=self._stack
        )

    def RegisterResource(self, request: resource_pb2.RegisterResourceRequest) -> resource_pb2.RegisterResourceResponse:
        if request.remote:
            self.graph.unsupported.append(
                f"remote component {request.name} ({request.type}): only its plugin knows its children"
            )
        node = self._add(request, request.object)
        if not request.custom and not request.remote:
            return resource_pb2.RegisterResourceResponse(urn=node.urn)
        id_, outputs = self._outputs(node, request.additionalSecretOutputs)
        return resource_pb2.RegisterResourceResponse(urn=node.urn, id=id_, object=encode_struct(outputs))

    def ReadResource(self, request: resource_pb2.ReadResourceRequest) -> resource_pb2.ReadResourceResponse:
        node = self._add(request, request.properties)
        id_, outputs = self._outputs(node, request.additionalSecretOutputs)
        return resource_pb2.ReadResourceResponse(urn=node.urn, id=id_ or request.id, properties=encode_struct(outputs))

    def RegisterResourceOutputs(self, request: resource_pb2.RegisterResourceOutputsRequest) -> empty_pb2.Empty:
        node = self.graph.nodes[request.urn]
        node.outputs = decode_struct(request.outputs)
        node.registered_outputs = True
        return empty_pb2.Empty()

    def Invoke(self, request: resource_pb2.ResourceInvokeRequest) -> resource_pb2.ResourceInvokeResponse:
        invoke = Invoke(
            token=request.tok,
            args=decode_struct(request.args),
            provider=request.provider.rpartition("::")[0],
        )
        self.graph.invokes.append(invoke)
        fake = self._invokes.get(invoke.token)
        self.used_fakes.add(invoke.token)
        result = fake(invoke) if callable(fake) else fake
        if result is None:
            return resource_pb2.ResourceInvokeResponse(unknown=True)
        response = resource_pb2.ResourceInvokeResponse()
        getattr(response, "return").CopyFrom(encode_struct(result))  # the field's name is a keyword in Python
        return response

    def Call(self, request: resource_pb2.ResourceCallRequest) -> NoReturn:
        raise NotImplementedError(f"{request.tok} is a method of a resource: only its plugin knows the answer")

    def RegisterPackage(self, request: resource_pb2.RegisterPackageRequest) -> resource_pb2.RegisterPackageResponse:
        return resource_pb2.RegisterPackageResponse(ref=f"{request.name}@{request.version}")

    def SignalAndWaitForShutdown(self, _request: empty_pb2.Empty) -> empty_pb2.Empty:
        return empty_pb2.Empty()

    def Log(self, request: engine_pb2.LogRequest) -> empty_pb2.Empty:
        if request.severity != engine_pb2.DEBUG:
            self.graph.log.append(request.message)
        return empty_pb2.Empty()

    def RequirePulumiVersion(
        self, _request: engine_pb2.RequirePulumiVersionRequest
    ) -> engine_pb2.RequirePulumiVersionResponse:
        return engine_pb2.RequirePulumiVersionResponse()

    def _add(
        self,
        request: resource_pb2.RegisterResourceRequest | resource_pb2.ReadResourceRequest,
        properties: struct_pb2.Struct,
    ) -> Node:
        parent_type = request.parent.split("::")[2] if request.parent else ""
        qualifier = "" if parent_type in ("", "pulumi:pulumi:Stack") else f"{parent_type}$"
        urn = f"urn:pulumi:{self._stack}::{self._project}::{qualifier}{request.type}::{request.name}"
        with self._lock:
            if urn in self.graph.nodes:
                first = self.graph.nodes[urn].source or "an unknown line"
                raise ValueError(f"duplicate URN {urn}: a name is used once per type and parent; first used at {first}")
            node = Node(urn, request.type, request.name, decode_struct(properties), request)
            self.graph.nodes[urn] = node
        return node

    def _outputs(self, node: Node, secret_names: Sequence[str]) -> tuple[str, dict[str, Any]]:
        """Return id ("" for unknown) and outputs: the inputs repeated, then what a fake gives, all else unknown."""
        given = self._faked(node)
        provider = self.graph.nodes.get(node.provider)
        # Below a provider whose own configuration is unknown the engine asks nobody, and so knows nothing.
        configured = provider is None or not is_unknown(provider.inputs)
        id_ = str(given.pop("id", ""))
        outputs = {**(echo(node) if configured else {}), **given}
        for name in secret_names:  # what the schema calls secret stays so even while it is unknown
            value = outputs.get(name, UNKNOWN)
            outputs[name] = value if isinstance(value, Secret) else Secret(value)
        return id_, outputs

    def _faked(self, node: Node) -> dict[str, Any]:
        package = node.type.split(":")[0]
        for key in (node.urn, f"{node.type} {node.name}", node.name, node.type, package):
            if key in self._fakes:
                self.used_fakes.add(key)
                fake = self._fakes[key]
                return dict((fake(node) if callable(fake) else fake) or {})
        return {}


class Callbacks:
    """Stands in for the SDK's callback server, which the engine calls to run hooks and transforms.

    That server is gRPC inside this process, and with it an exception in an `apply` kills Python 3.11 by a segmentation
    fault (SDK 3.272, any program with a resource hook). Without an engine nobody would call it anyway.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def register_resource_hook(self, hook: ResourceHook) -> None:
        self._add(hook)

    def register_error_hook(self, hook: ErrorHook) -> None:
        self._add(hook)

    def register_transform(self, transform: Callable[..., Any]) -> callback_pb2.Callback:
        name = getattr(transform, "__name__", repr(transform))
        self._graph.unsupported.append(
            f"transform {name} was not run: the graph shows resources as they were before it"
        )
        return callback_pb2.Callback()

    register_stack_transform = register_invoke_transform = register_state_migration = register_transform

    def _add(self, hook: ResourceHook | ErrorHook) -> None:
        if hook.name in self._graph.named_hooks:
            raise ValueError(f"hook {hook.name!r} is registered twice: give each hook its own name")
        self._graph.named_hooks[hook.name] = hook
