"""What operators make of custom resources, and what Kubernetes and Talos bring by themselves.

Each maker follows the operator's own naming; its comment has the source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from checks.model.objects import Manager, Object, count, items, mapping

_REFLECTOR = "reflector.v1.k8s.emberstack.com"
GENERATED_KEYS = {"Password": ("password",), "UUID": ("uuid",), "SSHKey": ("privateKey", "publicKey")}
"""The keys that a generator of External Secrets yields unless it says otherwise
(https://external-secrets.io/latest/api/generator/)."""


def made_of(objects: Iterable[Object], find: Callable[[str, str, str, str], Object | None]) -> list[Object]:
    """Everything that operators will make of these objects, and of what they make.

    find: the object of a group, kind, namespace and name among the declared ones.
    """
    found: list[Object] = []
    todo = list(objects)
    while todo:
        new: list[Object] = []
        for thing in todo:
            if maker := _MAKERS.get((thing.group, thing.kind)):
                new += maker(thing, find)
            if thing.kind in ("Secret", "ConfigMap") and thing.group == "":
                new += _copies(thing)
        found += new
        todo = new
    return found


def _make(of: Object, version: str, kind: str, name: str, content: dict[str, Any] | None = None, **more: Any) -> Object:
    namespace = more.pop("namespace", of.namespace)
    metadata: dict[str, Any] = {"name": name, **({"namespace": namespace} if namespace else {})}
    metadata |= more.pop("metadata", {})
    manager = Manager("operator", str(of))
    body = {"apiVersion": version, "kind": kind, "metadata": metadata, **(content or {})}
    return Object(body, manager, of.where, of.step, origin=of, **more)


def _secret(of: Object, name: str, keys: Iterable[str], **more: Any) -> Object:
    texts = more.pop("texts", {})
    return _make(of, "v1", "Secret", name, {"data": {key: texts.get(key) for key in keys}}, **more)


Find = Callable[[str, str, str, str], Object | None]


def _external_secret(thing: Object, find: Find) -> Iterator[Object]:
    target = mapping(thing.spec.get("target"))
    if target.get("creationPolicy") == "None":
        return
    template = mapping(target.get("template"))
    keys, unsure = external_keys(thing, find)
    if template.get("data") and template.get("mergePolicy", "Replace") == "Replace":
        made, unsure = set(mapping(template["data"])), False
    else:
        made = keys | set(mapping(template.get("data")))
    unsure = unsure or bool(template.get("templateFrom"))
    metadata = {
        key: value for key, value in mapping(template.get("metadata")).items() if key in ("labels", "annotations")
    }
    name = str(target.get("name") or thing.name)
    # A template says in the declaration what goes into the Secret; what it takes from elsewhere it only names.
    texts = {key: text for key, text in mapping(template.get("data")).items() if isinstance(text, str)}
    yield _secret(thing, name, sorted(made), metadata=metadata, open=unsure, texts=texts)


def external_keys(thing: Object, find: Find) -> tuple[set[str], bool]:
    """The names under which an ExternalSecret gets values, before its template; and whether there may be more."""
    keys = {str(entry.get("secretKey")) for entry in items(thing.spec.get("data"))}
    unsure = False
    for source in items(thing.spec.get("dataFrom")):
        reference = mapping(mapping(source.get("sourceRef")).get("generatorRef"))
        if not reference or source.get("rewrite"):
            unsure = True
            continue
        kind, name = str(reference.get("kind")), str(reference.get("name"))
        generator = find("generators.external-secrets.io", kind, thing.namespace, name)
        keys |= generated_keys(kind, generator)
        unsure = unsure or not generated_keys(kind, generator)
    return keys, unsure


def generated_keys(kind: str, generator: Object | None) -> set[str]:
    """What a generator yields; empty where this is not known."""
    own = generator.spec.get("secretKeys") if generator is not None else None
    return {str(key) for key in own} if isinstance(own, list) else set(GENERATED_KEYS.get(kind, ()))


def _certificate(thing: Object, find: Find) -> Iterator[Object]:
    issuer = mapping(thing.spec.get("issuerRef"))
    kind = str(issuer.get("kind") or "Issuer")
    space = "" if kind == "ClusterIssuer" else thing.namespace
    made_by = find("cert-manager.io", kind, space, str(issuer.get("name")))
    # An ACME server sends no root: ca.crt is there for other issuers only (https://cert-manager.io/docs/usage/certificate/).
    keys = ["tls.crt", "tls.key", *([] if made_by is not None and made_by.spec.get("acme") else ["ca.crt"])]
    template = mapping(thing.spec.get("secretTemplate"))
    metadata = {key: template[key] for key in ("labels", "annotations") if template.get(key)}
    more = bool(thing.spec.get("additionalOutputFormats") or thing.spec.get("keystores"))
    yield _secret(thing, str(thing.spec.get("secretName")), keys, metadata=metadata, open=more)


def _issuer(thing: Object, _find: Find) -> Iterator[Object]:
    key = mapping(mapping(thing.spec.get("acme")).get("privateKeySecretRef")).get("name")
    if key:
        yield _secret(thing, str(key), ["tls.key"], namespace=thing.namespace or "cert-manager")


def _sealed_secret(thing: Object, _find: Find) -> Iterator[Object]:
    template = mapping(thing.spec.get("template"))
    metadata = mapping(template.get("metadata"))
    keys = {*mapping(thing.spec.get("encryptedData")), *mapping(template.get("data"))}
    kept = {key: metadata[key] for key in ("labels", "annotations") if metadata.get(key)}
    yield _secret(thing, str(metadata.get("name") or thing.name), sorted(keys), metadata=kept)


def _postgres(thing: Object, _find: Find) -> Iterator[Object]:
    """https://cloudnative-pg.io/documentation/current/service_management/ and .../applications/"""
    for kind in ("rw", "ro", "r"):
        yield _make(
            thing, "v1", "Service", f"{thing.name}-{kind}", {"spec": {"ports": [{"name": "postgres", "port": 5432}]}}
        )
    login = (
        "dbname",
        "fqdn-jdbc-uri",
        "fqdn-uri",
        "host",
        "jdbc-uri",
        "password",
        "pgpass",
        "port",
        "uri",
        "user",
        "username",
    )
    if not mapping(mapping(mapping(thing.spec.get("bootstrap")).get("initdb")).get("secret")).get("name"):
        yield _secret(thing, f"{thing.name}-app", login)
    if thing.spec.get("enableSuperuserAccess"):
        yield _secret(thing, f"{thing.name}-superuser", login)
    yield _secret(thing, f"{thing.name}-ca", ["ca.crt", "ca.key"])
    yield _secret(thing, f"{thing.name}-server", ["tls.crt", "tls.key"])
    yield _secret(thing, f"{thing.name}-replication", ["tls.crt", "tls.key"])
    yield _make(thing, "v1", "ServiceAccount", thing.name)


def _vault(thing: Object, _find: Find) -> Iterator[Object]:
    """https://github.com/bank-vaults/vault-operator/blob/v1.24.0/pkg/controller/vault/vault_controller.go"""
    size = count(thing.spec.get("size"))
    ports = {"spec": {"ports": [{"name": "api-port", "port": 8200}, {"name": "cluster-port", "port": 8201}]}}
    for name in (thing.name, *(f"{thing.name}-{number}" for number in range(size))):
        yield _make(thing, "v1", "Service", name, ports)
    claims = thing.spec.get("volumeClaimTemplates")
    pod = {
        "containers": [
            {
                "name": "vault",
                "image": thing.spec.get("image", ""),
                "resources": mapping(thing.spec.get("resources")).get("vault", {}),
            }
        ]
    }
    spec = {"replicas": size, "volumeClaimTemplates": claims or [], "template": {"spec": pod}}
    yield _make(thing, "apps/v1", "StatefulSet", thing.name, {"spec": spec})
    yield _make(thing, "apps/v1", "Deployment", f"{thing.name}-configurer")
    keys = mapping(mapping(thing.spec.get("unsealConfig")).get("kubernetes"))
    name = str(keys.get("secretName") or f"{thing.name}-unseal-keys")
    yield _secret(thing, name, [], namespace=str(keys.get("secretNamespace") or thing.namespace), open=True)
    yield _secret(thing, f"{thing.name}-raw-config", ["vault-config.yml"])


def _ingress(thing: Object, _find: Find) -> Iterator[Object]:
    """What cert-manager's ingress-shim makes: https://cert-manager.io/docs/usage/ingress/"""
    for kind, annotation in (("ClusterIssuer", "cert-manager.io/cluster-issuer"), ("Issuer", "cert-manager.io/issuer")):
        if name := thing.annotations.get(annotation):
            reference = {"kind": kind, "name": name}
            for tls in items(thing.spec.get("tls")):
                if secret := tls.get("secretName"):
                    spec = {"secretName": secret, "issuerRef": reference, "dnsNames": tls.get("hosts", [])}
                    yield _make(thing, "cert-manager.io/v1", "Certificate", str(secret), {"spec": spec})


def _flux_instance(thing: Object, _find: Find) -> Iterator[Object]:
    """https://fluxoperator.dev/docs/crd/fluxinstance/"""
    kinds = {
        "source.toolkit.fluxcd.io": ("GitRepository", "OCIRepository", "HelmRepository", "HelmChart", "Bucket"),
        "kustomize.toolkit.fluxcd.io": ("Kustomization",),
        "helm.toolkit.fluxcd.io": ("HelmRelease",),
        "notification.toolkit.fluxcd.io": ("Alert", "Provider", "Receiver"),
    }
    for group, names in kinds.items():
        for name in names:
            spec = {"group": group, "names": {"kind": name}, "scope": "Namespaced"}
            version = "apiextensions.k8s.io/v1"
            plural = f"{name.lower()}s.{group}".replace("repositorys", "repositories")
            yield _make(thing, version, "CustomResourceDefinition", plural, {"spec": spec}, namespace="")


def _prometheus(thing: Object, _find: Find) -> Iterator[Object]:
    """https://prometheus-operator.dev/docs/platform/platform-guide/"""
    name = f"{thing.kind.lower()}-operated"
    number = {"Prometheus": 9090, "Alertmanager": 9093}[thing.kind]
    port = {"name": str(thing.spec.get("portName") or "web"), "port": number}
    yield _make(thing, "v1", "Service", name, {"spec": {"ports": [port]}})


def _collector(thing: Object, _find: Find) -> Iterator[Object]:
    """https://github.com/open-telemetry/opentelemetry-operator/tree/v0.158.0/internal/manifests/collector

    Of the mode `deployment`. Both probes ask the extension health_check, where the configuration starts one.
    """
    config = mapping(thing.spec.get("config"))
    name = f"{thing.name}-collector"
    own = {
        "app.kubernetes.io/managed-by": "opentelemetry-operator",
        "app.kubernetes.io/instance": f"{thing.namespace}.{thing.name}",
        "app.kubernetes.io/part-of": "opentelemetry",
        "app.kubernetes.io/component": "opentelemetry-collector",
    }
    labels = own | {"app.kubernetes.io/name": name}
    protocols = mapping(mapping(mapping(config.get("receivers")).get("otlp")).get("protocols"))
    ports = {
        f"otlp-{protocol}": int(str(mapping(said).get("endpoint")).rpartition(":")[2])
        for protocol, said in protocols.items()
        if mapping(said).get("endpoint")
    }
    container = {
        "name": "otc-container",
        "image": thing.spec.get("image", ""),
        "resources": mapping(thing.spec.get("resources")),
        "securityContext": mapping(thing.spec.get("securityContext")),
        "ports": [{"name": key, "containerPort": port} for key, port in ports.items()],
    }
    if "health_check" in (mapping(config.get("service")).get("extensions") or []):
        probe = {"httpGet": {"path": "/", "port": 13133}}
        container |= {"livenessProbe": probe, "readinessProbe": probe}
        container["ports"] = [*container["ports"], {"name": "health-check", "containerPort": 13133}]
    pod = {
        "serviceAccountName": thing.spec.get("serviceAccount") or name,
        "securityContext": mapping(thing.spec.get("podSecurityContext")),
        "containers": [container],
    }
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec = {"replicas": count(thing.spec.get("replicas")) or 1, "selector": {"matchLabels": own}, "template": template}
    yield _make(thing, "apps/v1", "Deployment", name, {"spec": spec})
    yield _make(thing, "v1", "ServiceAccount", name)
    served = [{"name": key, "port": port} for key, port in ports.items()]
    yield _make(thing, "v1", "Service", name, {"spec": {"selector": own, "ports": served}})


def _namespace(thing: Object, _find: Find) -> Iterator[Object]:
    yield _make(thing, "v1", "ServiceAccount", "default", namespace=thing.name)
    yield _make(thing, "v1", "ConfigMap", "kube-root-ca.crt", {"data": {"ca.crt": None}}, namespace=thing.name)


def _copies(thing: Object) -> Iterator[Object]:
    """Reflector's copies: https://github.com/emberstack/kubernetes-reflector#readme"""
    notes = thing.annotations
    if str(notes.get(f"{_REFLECTOR}/reflection-auto-enabled")).lower() != "true":
        return
    allowed = str(notes.get(f"{_REFLECTOR}/reflection-auto-namespaces") or "")
    for space in filter(None, (part.strip() for part in allowed.split(","))):
        if space != thing.namespace and not any(sign in space for sign in "[](*.+|^$"):
            data = {field: thing.content[field] for field in ("data", "stringData") if thing.content.get(field)}
            yield _make(thing, "v1", thing.kind, thing.name, data, namespace=space, open=thing.open)


_MAKERS: dict[tuple[str, str], Callable[[Object, Find], Iterator[Object]]] = {
    ("external-secrets.io", "ExternalSecret"): _external_secret,
    ("cert-manager.io", "Certificate"): _certificate,
    ("cert-manager.io", "ClusterIssuer"): _issuer,
    ("cert-manager.io", "Issuer"): _issuer,
    ("bitnami.com", "SealedSecret"): _sealed_secret,
    ("postgresql.cnpg.io", "Cluster"): _postgres,
    ("vault.banzaicloud.com", "Vault"): _vault,
    ("networking.k8s.io", "Ingress"): _ingress,
    ("fluxcd.controlplane.io", "FluxInstance"): _flux_instance,
    ("monitoring.coreos.com", "Prometheus"): _prometheus,
    ("monitoring.coreos.com", "Alertmanager"): _prometheus,
    ("opentelemetry.io", "OpenTelemetryCollector"): _collector,
    ("", "Namespace"): _namespace,
}
