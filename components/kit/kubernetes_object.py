"""Objects of Kubernetes' own kinds, registered with the fields that a manifest has.

Owns a class for each kind of which the program makes objects. Does not own objects of other APIs, which are
`CustomResource` of pulumi-kubernetes, nor releases. Must exist before: the API server.

The classes that pulumi-kubernetes has for these kinds register the same. But it loads one of them with all others of
its API and the arguments of each, patches and lists included: every start of the program took a third of a second for
that. What they know of fields is asked of them in `tests/graph/test_object_fields.py`, for each object that there is.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, ClassVar, Final

import pulumi
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs
from pulumi_kubernetes.meta.v1.outputs import ObjectMeta

PLUGIN: Final = version("pulumi-kubernetes")
"""Version of the plugin that registers them: that of the package."""


class KubernetesObject(pulumi.CustomResource):
    """An object; `fields` are the rest of its manifest, under the names that they have there."""

    api_version: ClassVar[str]
    kind: ClassVar[str]
    secret_fields: ClassVar[tuple[str, ...]] = ()
    """Fields that are secret whatever they are made of."""

    def __init__(self, name: str, *, metadata: ObjectMetaArgs, opts: pulumi.ResourceOptions, **fields: Any) -> None:
        fields |= {key: pulumi.Output.secret(fields[key]) for key in self.secret_fields if key in fields}
        own = pulumi.ResourceOptions(version=PLUGIN, additional_secret_outputs=list(self.secret_fields) or None)
        super().__init__(
            f"kubernetes:{self.api_version if '/' in self.api_version else f'core/{self.api_version}'}:{self.kind}",
            name,
            {"apiVersion": self.api_version, "kind": self.kind, "metadata": metadata, **fields},
            pulumi.ResourceOptions.merge(own, opts),
        )

    @property
    @pulumi.getter
    def metadata(self) -> pulumi.Output[ObjectMeta]:
        """Name, namespace and the like, as the API server has them."""
        found: pulumi.Output[ObjectMeta] = pulumi.get(self, "metadata")
        return found


class Namespace(KubernetesObject):
    """A namespace."""

    api_version, kind = "v1", "Namespace"


class Secret(KubernetesObject):
    """`data` in base64 or `stringData` as text, by key."""

    api_version, kind = "v1", "Secret"
    secret_fields = ("data", "stringData")


class ConfigMap(KubernetesObject):
    """`data` by key."""

    api_version, kind = "v1", "ConfigMap"


class ServiceAccount(KubernetesObject):
    """The account of pods, or one that tokens are requested for."""

    api_version, kind = "v1", "ServiceAccount"


class LimitRange(KubernetesObject):
    """What a container of a namespace has that says nothing."""

    api_version, kind = "v1", "LimitRange"


class ResourceQuota(KubernetesObject):
    """What all of a namespace may have together."""

    api_version, kind = "v1", "ResourceQuota"


class PersistentVolumeClaim(KubernetesObject):
    """A volume that is asked for."""

    api_version, kind = "v1", "PersistentVolumeClaim"


class Job(KubernetesObject):
    """Pods that run to their end."""

    api_version, kind = "batch/v1", "Job"


class CronJob(KubernetesObject):
    """Jobs at certain times."""

    api_version, kind = "batch/v1", "CronJob"


class NetworkPolicy(KubernetesObject):
    """Who may reach some pods, or what they may call."""

    api_version, kind = "networking.k8s.io/v1", "NetworkPolicy"


class Ingress(KubernetesObject):
    """A host name at the ingress controller."""

    api_version, kind = "networking.k8s.io/v1", "Ingress"


class PodDisruptionBudget(KubernetesObject):
    """How many pods may be down at once."""

    api_version, kind = "policy/v1", "PodDisruptionBudget"


class StorageClass(KubernetesObject):
    """How volumes of a class are made."""

    api_version, kind = "storage.k8s.io/v1", "StorageClass"


class Role(KubernetesObject):
    """Rights in a namespace."""

    api_version, kind = "rbac.authorization.k8s.io/v1", "Role"


class RoleBinding(KubernetesObject):
    """Who has them."""

    api_version, kind = "rbac.authorization.k8s.io/v1", "RoleBinding"


class ClusterRole(KubernetesObject):
    """Rights in all namespaces."""

    api_version, kind = "rbac.authorization.k8s.io/v1", "ClusterRole"


class ClusterRoleBinding(KubernetesObject):
    """Who has them."""

    api_version, kind = "rbac.authorization.k8s.io/v1", "ClusterRoleBinding"


class ValidatingAdmissionPolicy(KubernetesObject):
    """What the API server refuses."""

    api_version, kind = "admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy"


class ValidatingAdmissionPolicyBinding(KubernetesObject):
    """Where such a policy applies."""

    api_version, kind = "admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding"


class MutatingAdmissionPolicy(KubernetesObject):
    """What the API server changes in what it is given."""

    api_version, kind = "admissionregistration.k8s.io/v1", "MutatingAdmissionPolicy"


class MutatingAdmissionPolicyBinding(KubernetesObject):
    """Where such a policy applies."""

    api_version, kind = "admissionregistration.k8s.io/v1", "MutatingAdmissionPolicyBinding"
