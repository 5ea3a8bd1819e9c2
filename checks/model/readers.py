"""What objects of each kind refer to: one reader a kind, listed in `READERS`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from checks.model.objects import Object, items, mapping
from checks.model.reference import Need
from checks.model.reference import text_of as _text


def of_ingress(thing: Object) -> Iterator[Need]:
    name = _text(thing.spec.get("ingressClassName")) or _text(thing.annotations.get("kubernetes.io/ingress.class"))
    yield Need("spec.ingressClassName", "networking.k8s.io", "IngressClass", "", name)
    for number, rule in enumerate(items(thing.spec.get("rules"))):
        for place, path in enumerate(items(mapping(rule.get("http")).get("paths"))):
            service = mapping(mapping(path.get("backend")).get("service"))
            port = mapping(service.get("port"))
            key = _text(port.get("name")) or _text(port.get("number"))
            at = f"spec.rules[{number}].http.paths[{place}].backend.service"
            yield Need(at, "", "Service", thing.namespace, _text(service.get("name")), key)
    for number, tls in enumerate(items(thing.spec.get("tls"))):
        yield Need(f"spec.tls[{number}].secretName", "", "Secret", thing.namespace, _text(tls.get("secretName")))
    for annotation, kind in (("cert-manager.io/cluster-issuer", "ClusterIssuer"), ("cert-manager.io/issuer", "Issuer")):
        space = thing.namespace if kind == "Issuer" else ""
        name = _text(thing.annotations.get(annotation))
        yield Need(f"metadata.annotations[{annotation}]", "cert-manager.io", kind, space, name)


def _certificate(thing: Object) -> Iterator[Need]:
    issuer = mapping(thing.spec.get("issuerRef"))
    kind = _text(issuer.get("kind")) or "Issuer"
    group = _text(issuer.get("group")) or "cert-manager.io"
    yield Need(
        "spec.issuerRef", group, kind, "" if kind == "ClusterIssuer" else thing.namespace, _text(issuer.get("name"))
    )


CERT_MANAGER = "cert-manager"
"""The namespace of Secrets that a ClusterIssuer names (`--cluster-resource-namespace`, by default its own)."""


def _issuer(thing: Object) -> Iterator[Need]:
    namespace = thing.namespace or CERT_MANAGER
    ca = mapping(thing.spec.get("ca"))
    yield Need(
        "spec.ca.secretName", "", "Secret", namespace, _text(ca.get("secretName")), "tls.crt" if ca else "", True
    )
    for number, solver in enumerate(items(mapping(thing.spec.get("acme")).get("solvers"))):
        at = f"spec.acme.solvers[{number}]"
        webhook = mapping(mapping(solver.get("dns01")).get("webhook"))
        for path, reference in _secret_references(mapping(webhook.get("config")), f"{at}.dns01.webhook.config"):
            space = _text(reference.get("namespace")) or namespace
            yield Need(path, "", "Secret", space, _text(reference.get("name")), _text(reference.get("key")), True)
        klass = _text(mapping(mapping(solver.get("http01")).get("ingress")).get("ingressClassName"))
        yield Need(f"{at}.http01.ingress.ingressClassName", "networking.k8s.io", "IngressClass", "", klass)


def _secret_references(value: Any, at: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """References in a part of a resource that has no schema: a name and a key below a name that ends in Ref."""
    if isinstance(value, dict):
        for field, inner in value.items():
            place = f"{at}.{field}"
            if field.endswith(("SecretRef", "secretKeyRef", "KeyRef")) and isinstance(inner, dict) and "key" in inner:
                yield place, inner
            else:
                yield from _secret_references(inner, place)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _secret_references(inner, f"{at}[{number}]")


def _external_secret(thing: Object) -> Iterator[Need]:
    yield from _store(mapping(thing.spec.get("secretStoreRef")), "spec.secretStoreRef", thing.namespace)
    for number, source in enumerate(items(thing.spec.get("dataFrom"))):
        place = mapping(source.get("sourceRef"))
        yield from _generator(place, f"spec.dataFrom[{number}].sourceRef", thing.namespace)
        yield from _store(
            mapping(place.get("storeRef")), f"spec.dataFrom[{number}].sourceRef.storeRef", thing.namespace
        )
    for number, entry in enumerate(items(thing.spec.get("data"))):
        place = mapping(entry.get("sourceRef"))
        yield from _generator(place, f"spec.data[{number}].sourceRef", thing.namespace)
        yield from _store(mapping(place.get("storeRef")), f"spec.data[{number}].sourceRef.storeRef", thing.namespace)
    template = mapping(mapping(thing.spec.get("target")).get("template"))
    for number, part in enumerate(items(template.get("templateFrom"))):
        for field, kind in (("configMap", "ConfigMap"), ("secret", "Secret")):
            one = mapping(part.get(field))
            at = f"spec.target.template.templateFrom[{number}].{field}"
            for item in items(one.get("items")):
                yield Need(at, "", kind, thing.namespace, _text(one.get("name")), _text(item.get("key")), True)


def _push_secret(thing: Object) -> Iterator[Need]:
    for number, store in enumerate(items(thing.spec.get("secretStoreRefs"))):
        yield from _store(store, f"spec.secretStoreRefs[{number}]", thing.namespace)
    selector = mapping(thing.spec.get("selector"))
    yield from _generator(selector, "spec.selector", thing.namespace)
    name = _text(mapping(selector.get("secret")).get("name"))
    yield Need("spec.selector.secret", "", "Secret", thing.namespace, name, waits=True)


def _store(reference: dict[str, Any], at: str, namespace: str) -> Iterator[Need]:
    kind = _text(reference.get("kind")) or "SecretStore"
    space = "" if kind == "ClusterSecretStore" else namespace
    yield Need(at, "external-secrets.io", kind, space, _text(reference.get("name")), waits=True)


def _generator(source: dict[str, Any], at: str, namespace: str) -> Iterator[Need]:
    reference = mapping(source.get("generatorRef"))
    kind = _text(reference.get("kind"))
    space = "" if kind == "ClusterGenerator" else namespace
    group = "generators.external-secrets.io"
    yield Need(f"{at}.generatorRef", group, kind, space, _text(reference.get("name")), waits=True)


def _secret_store(thing: Object) -> Iterator[Need]:
    vault = mapping(mapping(thing.spec.get("provider")).get("vault"))
    authority = mapping(vault.get("caProvider"))
    at = "spec.provider.vault"
    if authority:
        kind = _text(authority.get("type")) or "Secret"
        space = _text(authority.get("namespace")) or thing.namespace
        yield Need(f"{at}.caProvider", "", kind, space, _text(authority.get("name")), _text(authority.get("key")), True)
    kubernetes = mapping(mapping(vault.get("auth")).get("kubernetes"))
    account = mapping(kubernetes.get("serviceAccountRef"))
    # Without a namespace the account of a ClusterSecretStore is the one beside each secret that uses the store.
    space = _text(account.get("namespace")) or thing.namespace
    if space:
        place = f"{at}.auth.kubernetes.serviceAccountRef"
        yield Need(place, "", "ServiceAccount", space, _text(account.get("name")), waits=True)
    remote = mapping(mapping(mapping(thing.spec.get("provider")).get("kubernetes")).get("auth"))
    account = mapping(remote.get("serviceAccount"))
    space = _text(account.get("namespace")) or thing.namespace
    place = "spec.provider.kubernetes.auth.serviceAccount"
    yield Need(place, "", "ServiceAccount", space, _text(account.get("name")), waits=True)


def _claim(thing: Object) -> Iterator[Need]:
    yield Need("spec.storageClassName", "storage.k8s.io", "StorageClass", "", _text(thing.spec.get("storageClassName")))


def _stateful_set(thing: Object) -> Iterator[Need]:
    for number, claim in enumerate(items(thing.spec.get("volumeClaimTemplates"))):
        name = _text(mapping(claim.get("spec")).get("storageClassName"))
        at = f"spec.volumeClaimTemplates[{number}].spec.storageClassName"
        yield Need(at, "storage.k8s.io", "StorageClass", "", name)


def _postgres(thing: Object) -> Iterator[Need]:
    space = thing.namespace
    for field in ("storage", "walStorage"):
        name = _text(mapping(thing.spec.get(field)).get("storageClass"))
        yield Need(f"spec.{field}.storageClass", "storage.k8s.io", "StorageClass", "", name)
    yield _named(thing, "superuserSecret")
    boot = mapping(mapping(thing.spec.get("bootstrap")).get("initdb"))
    name = _text(mapping(boot.get("secret")).get("name"))
    yield Need("spec.bootstrap.initdb.secret", "", "Secret", space, name, "password" if name else "", True)
    certificates = mapping(thing.spec.get("certificates"))
    for field in ("serverCASecret", "serverTLSSecret", "clientCASecret", "replicationTLSSecret"):
        yield Need(f"spec.certificates.{field}", "", "Secret", space, _text(certificates.get(field)), waits=True)
    for number, role in enumerate(items(mapping(thing.spec.get("managed")).get("roles"))):
        name = _text(mapping(role.get("passwordSecret")).get("name"))
        yield Need(
            f"spec.managed.roles[{number}].passwordSecret", "", "Secret", space, name, "password" if name else "", True
        )


def _named(thing: Object, field: str) -> Need:
    return Need(
        f"spec.{field}", "", "Secret", thing.namespace, _text(mapping(thing.spec.get(field)).get("name")), waits=True
    )


def _vault(thing: Object) -> Iterator[Need]:
    space = thing.namespace
    name = _text(thing.spec.get("existingTlsSecretName"))
    yield Need("spec.existingTlsSecretName", "", "Secret", space, name, waits=True)
    yield Need("spec.serviceAccount", "", "ServiceAccount", space, _text(thing.spec.get("serviceAccount")), waits=True)
    for number, claim in enumerate(items(thing.spec.get("volumeClaimTemplates"))):
        name = _text(mapping(claim.get("spec")).get("storageClassName"))
        at = f"spec.volumeClaimTemplates[{number}].spec.storageClassName"
        yield Need(at, "storage.k8s.io", "StorageClass", "", name)


def _binding(thing: Object) -> Iterator[Need]:
    role = mapping(thing.content.get("roleRef"))
    kind = _text(role.get("kind"))
    space = "" if kind == "ClusterRole" else thing.namespace
    yield Need("roleRef", "rbac.authorization.k8s.io", kind, space, _text(role.get("name")))
    for number, subject in enumerate(items(thing.content.get("subjects"))):
        if subject.get("kind") == "ServiceAccount":
            space = _text(subject.get("namespace")) or thing.namespace
            yield Need(f"subjects[{number}]", "", "ServiceAccount", space, _text(subject.get("name")))


def _advertisement(thing: Object) -> Iterator[Need]:
    pools = thing.spec.get("ipAddressPools")
    for number, name in enumerate(pools if isinstance(pools, list) else []):
        yield Need(f"spec.ipAddressPools[{number}]", "metallb.io", "IPAddressPool", thing.namespace, _text(name))


def _service(thing: Object) -> Iterator[Need]:
    for annotation in ("metallb.io/address-pool", "metallb.universe.tf/address-pool"):
        name = _text(thing.annotations.get(annotation))
        yield Need(f"metadata.annotations[{annotation}]", "metallb.io", "IPAddressPool", "metallb-system", name)


def _webhook(thing: Object) -> Iterator[Need]:
    for number, hook in enumerate(items(thing.content.get("webhooks"))):
        service = mapping(mapping(hook.get("clientConfig")).get("service"))
        at = f"webhooks[{number}].clientConfig.service"
        name, space = _text(service.get("name")), _text(service.get("namespace"))
        yield Need(at, "", "Service", space, name, _text(service.get("port")) if service.get("port") else "")


def _api_service(thing: Object) -> Iterator[Need]:
    service = mapping(thing.spec.get("service"))
    yield Need("spec.service", "", "Service", _text(service.get("namespace")), _text(service.get("name")))


def _policy_binding(thing: Object) -> Iterator[Need]:
    kind = thing.kind.removesuffix("Binding")
    yield Need("spec.policyName", "admissionregistration.k8s.io", kind, "", _text(thing.spec.get("policyName")))


def _scheduled_backup(thing: Object) -> Iterator[Need]:
    name = _text(mapping(thing.spec.get("cluster")).get("name"))
    yield Need("spec.cluster.name", "postgresql.cnpg.io", "Cluster", thing.namespace, name)


def _of_cluster(thing: Object) -> Iterator[Need]:
    """A database, or a pool of connections, of a Cluster of PostgreSQL."""
    name = _text(mapping(thing.spec.get("cluster")).get("name"))
    yield Need("spec.cluster.name", "postgresql.cnpg.io", "Cluster", thing.namespace, name, waits=True)


def _autoscaler(thing: Object) -> Iterator[Need]:
    target = mapping(thing.spec.get("scaleTargetRef"))
    group = _text(target.get("apiVersion")).partition("/")[0]
    yield Need("spec.scaleTargetRef", group, _text(target.get("kind")), thing.namespace, _text(target.get("name")))


def _helm_release(thing: Object) -> Iterator[Need]:
    yield _impersonated(thing)
    spec = mapping(mapping(thing.spec.get("chart")).get("spec"))
    for field, source in (
        ("spec.chart.spec.sourceRef", spec.get("sourceRef")),
        ("spec.chartRef", thing.spec.get("chartRef")),
    ):
        one = mapping(source)
        space = _text(one.get("namespace")) or thing.namespace
        yield Need(field, "source.toolkit.fluxcd.io", _text(one.get("kind")), space, _text(one.get("name")))
    for number, values in enumerate(items(thing.spec.get("valuesFrom"))):
        if not values.get("optional"):
            key = _text(values.get("valuesKey")) or "values.yaml"
            kind = _text(values.get("kind"))
            yield Need(f"spec.valuesFrom[{number}]", "", kind, thing.namespace, _text(values.get("name")), key, True)
    for number, other in enumerate(items(thing.spec.get("dependsOn"))):
        space = _text(other.get("namespace")) or thing.namespace
        at = f"spec.dependsOn[{number}].name"
        yield Need(at, "helm.toolkit.fluxcd.io", "HelmRelease", space, _text(other.get("name")), waits=True)


def _impersonated(thing: Object) -> Need:
    """The account as which Flux applies; in its own namespace."""
    name = _text(thing.spec.get("serviceAccountName"))
    return Need("spec.serviceAccountName", "", "ServiceAccount", thing.namespace, name)


def _kustomization(thing: Object) -> Iterator[Need]:
    yield _impersonated(thing)
    source = mapping(thing.spec.get("sourceRef"))
    space = _text(source.get("namespace")) or thing.namespace
    yield Need(
        "spec.sourceRef", "source.toolkit.fluxcd.io", _text(source.get("kind")), space, _text(source.get("name"))
    )
    for number, other in enumerate(items(thing.spec.get("dependsOn"))):
        space = _text(other.get("namespace")) or thing.namespace
        at = f"spec.dependsOn[{number}].name"
        yield Need(at, "kustomize.toolkit.fluxcd.io", "Kustomization", space, _text(other.get("name")), waits=True)
    for number, source in enumerate(items(mapping(thing.spec.get("postBuild")).get("substituteFrom"))):
        if not source.get("optional"):
            at, kind = f"spec.postBuild.substituteFrom[{number}]", _text(source.get("kind"))
            yield Need(at, "", kind, thing.namespace, _text(source.get("name")), waits=True)
    for number, check in enumerate(items(thing.spec.get("healthChecks"))):
        group = _text(check.get("apiVersion")).partition("/")[0] if "/" in _text(check.get("apiVersion")) else ""
        yield Need(
            f"spec.healthChecks[{number}]",
            group,
            _text(check.get("kind")),
            _text(check.get("namespace")),
            _text(check.get("name")),
        )


READERS: dict[tuple[str, str], Any] = {
    ("cert-manager.io", "Certificate"): _certificate,
    ("cert-manager.io", "ClusterIssuer"): _issuer,
    ("cert-manager.io", "Issuer"): _issuer,
    ("external-secrets.io", "ExternalSecret"): _external_secret,
    ("external-secrets.io", "PushSecret"): _push_secret,
    ("external-secrets.io", "ClusterSecretStore"): _secret_store,
    ("external-secrets.io", "SecretStore"): _secret_store,
    ("", "PersistentVolumeClaim"): _claim,
    ("apps", "StatefulSet"): _stateful_set,
    ("postgresql.cnpg.io", "Cluster"): _postgres,
    ("postgresql.cnpg.io", "ScheduledBackup"): _scheduled_backup,
    ("postgresql.cnpg.io", "Database"): _of_cluster,
    ("postgresql.cnpg.io", "Pooler"): _of_cluster,
    ("vault.banzaicloud.com", "Vault"): _vault,
    ("rbac.authorization.k8s.io", "RoleBinding"): _binding,
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): _binding,
    ("metallb.io", "L2Advertisement"): _advertisement,
    ("metallb.io", "BGPAdvertisement"): _advertisement,
    ("", "Service"): _service,
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): _webhook,
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): _webhook,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"): _policy_binding,
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"): _policy_binding,
    ("apiregistration.k8s.io", "APIService"): _api_service,
    ("autoscaling", "HorizontalPodAutoscaler"): _autoscaler,
    ("helm.toolkit.fluxcd.io", "HelmRelease"): _helm_release,
    ("kustomize.toolkit.fluxcd.io", "Kustomization"): _kustomization,
}
