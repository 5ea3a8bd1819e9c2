"""What an object refers to: other objects, keys in them, ports of Services.

Each reference names the field that holds it, so that a finding can say where to look. A reference that Kubernetes
accepts unfulfilled (`optional: true`) is none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import yaml

from checks.model.objects import Object, items, mapping
from checks.model.pods import Pods, pods_of
from checks.model.readers import READERS, of_ingress
from checks.model.reference import Need
from checks.model.reference import text_of as _text


def needs(thing: Object) -> list[Need]:
    """Every reference of an object whose kind is known here."""
    found = list(_of_kind(thing))
    if (pods := pods_of(thing)) is not None:
        found += _of_pods(pods)
    for at, patched in _patched(thing):
        if (pods := pods_of(patched)) is not None:
            found += [replace(need, field=f"{at}: {need.field}") for need in _of_pods(pods)]
    return [need for need in found if need.name]


def _patched(thing: Object) -> Iterator[tuple[str, Object]]:
    """The objects that a HelmRelease adds to what its chart makes, as far as its patches are parts of objects."""
    if thing.kind != "HelmRelease":
        return
    space = _text(thing.spec.get("targetNamespace")) or thing.namespace
    for number, renderer in enumerate(items(thing.spec.get("postRenderers"))):
        for place, patch in enumerate(items(mapping(renderer.get("kustomize")).get("patches"))):
            content = yaml.safe_load(_text(patch.get("patch")) or "{}")
            if isinstance(content, dict):
                part = {**content, "metadata": {**mapping(content.get("metadata")), "namespace": space}}
                at = f"spec.postRenderers[{number}].kustomize.patches[{place}]"
                yield at, Object(part, thing.manager, thing.where, thing.step)


def _of_kind(thing: Object) -> Iterator[Need]:
    if reader := READERS.get((thing.group, thing.kind)):
        yield from reader(thing)
    if thing.kind == "Ingress" and thing.group == "networking.k8s.io":
        yield from of_ingress(thing)


def _of_pods(pods: Pods) -> Iterator[Need]:
    namespace, spec, at = pods.of.namespace, pods.spec, pods.path
    yield Need(f"{at}.serviceAccountName", "", "ServiceAccount", namespace, _text(spec.get("serviceAccountName")))
    for number, one in enumerate(items(spec.get("imagePullSecrets"))):
        yield Need(f"{at}.imagePullSecrets[{number}]", "", "Secret", namespace, _text(one.get("name")))
    yield Need(f"{at}.runtimeClassName", "node.k8s.io", "RuntimeClass", "", _text(spec.get("runtimeClassName")))
    priority = _text(spec.get("priorityClassName"))
    if not priority.startswith("system-"):  # those the API server makes itself
        yield Need(f"{at}.priorityClassName", "scheduling.k8s.io", "PriorityClass", "", priority)
    for number, volume in enumerate(items(spec.get("volumes"))):
        yield from _volume(volume, f"{at}.volumes[{number}]", namespace)
    for place, container in pods.containers():
        yield from _single_files(pods, place, container)
        for number, variable in enumerate(items(container.get("env"))):
            source = mapping(variable.get("valueFrom"))
            for field, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
                one = mapping(source.get(field))
                if one and not one.get("optional"):
                    yield Need(
                        f"{place}.env[{number}].valueFrom.{field}",
                        "",
                        kind,
                        namespace,
                        _text(one.get("name")),
                        _text(one.get("key")),
                        waits=True,
                    )
        for number, whole in enumerate(items(container.get("envFrom"))):
            for field, kind in (("secretRef", "Secret"), ("configMapRef", "ConfigMap")):
                one = mapping(whole.get(field))
                if one and not one.get("optional"):
                    name = _text(one.get("name"))
                    yield Need(f"{place}.envFrom[{number}].{field}", "", kind, namespace, name, waits=True)


def _single_files(pods: Pods, place: str, container: dict[str, Any]) -> Iterator[Need]:
    """Keys that a container mounts as one file each; of a key that is missing it gets an empty folder."""
    volumes = {str(volume.get("name")): volume for volume in items(pods.spec.get("volumes"))}
    for number, mount in enumerate(items(container.get("volumeMounts"))):
        volume, key = mapping(volumes.get(str(mount.get("name")))), _text(mount.get("subPath"))
        for kind, field, name in (("Secret", "secret", "secretName"), ("ConfigMap", "configMap", "name")):
            source = mapping(volume.get(field))
            if key and "/" not in key and source and not source.get("items") and not source.get("optional"):
                at = f"{place}.volumeMounts[{number}].subPath"
                yield Need(at, "", kind, pods.of.namespace, _text(source.get(name)), key, waits=True)


def _volume(volume: dict[str, Any], at: str, namespace: str) -> Iterator[Need]:
    secret, config = mapping(volume.get("secret")), mapping(volume.get("configMap"))
    claim = mapping(volume.get("persistentVolumeClaim"))
    if claim:
        name = _text(claim.get("claimName"))
        yield Need(f"{at}.persistentVolumeClaim", "", "PersistentVolumeClaim", namespace, name, waits=True)
    sources = [(f"{at}.secret", "Secret", secret, "secretName"), (f"{at}.configMap", "ConfigMap", config, "name")]
    for number, part in enumerate(items(mapping(volume.get("projected")).get("sources"))):
        place = f"{at}.projected.sources[{number}]"
        sources += [(f"{place}.secret", "Secret", mapping(part.get("secret")), "name")]
        sources += [(f"{place}.configMap", "ConfigMap", mapping(part.get("configMap")), "name")]
    for place, kind, source, field in sources:
        if source and not source.get("optional"):
            name = _text(source.get(field))
            yield Need(place, "", kind, namespace, name, waits=True)
            for number, item in enumerate(items(source.get("items"))):
                yield Need(
                    f"{place}.items[{number}].key", "", kind, namespace, name, _text(item.get("key")), waits=True
                )
