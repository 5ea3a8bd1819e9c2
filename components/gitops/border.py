"""The border between two owners: what this program made, Flux's controllers cannot write.

Owns one ValidatingAdmissionPolicy and its binding. Does not own the label of namespaces (`components/kit/namespace.py`)
nor the mark of the program's objects (`components/kit/stack_mark.py`), which decide here.

A wrong commit then fails in its one Kustomization, which says why, and nothing happens to what it named. This guards
against mistakes, not against whoever may push: the controllers are administrators of the cluster, and a pod that they
start could have another account.

It does not guard itself: the API server asks no policy about policies and their bindings (`excludedResources` in
https://github.com/kubernetes/apiserver/blob/v0.36.2/pkg/admission/plugin/policy/generic/plugin.go).

Refused is, to the accounts of the controllers that apply objects:
- every write in a namespace that is labelled as the program's, but for what Flux itself keeps in its own;
- a change of an object with the program's mark, wherever it is;
- a change of what a Helm release of the program brought and of what Kubernetes brought, where that is for all: objects
  without a namespace, and those in `kube-system`. Helm notes the release on each object, and Flux its own name on each
  that it makes (https://fluxcd.io/flux/components/helm/helmreleases/, "Origin labels"), so the two tell apart;
- definitions (CRDs) of the groups whose controllers the program installs: a chart's directory `crds` carries no note.

Must exist before: nothing; an account that does not exist writes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pulumi
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.gitops.flux import WRITERS
from components.kit.kubernetes_object import ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding
from components.kit.namespace import OWNER_LABEL, PROGRAM
from components.kit.stack_mark import ANNOTATION

_NAME: Final = "what-is-pulumis"
_HELM_NOTE: Final = "meta.helm.sh/release-name"
_FLUX_NOTES: Final = ("kustomize.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/name")
_BOOTSTRAP: Final = "kubernetes.io/bootstrapping"
"""On the roles that the API server makes: https://kubernetes.io/docs/reference/access-authn-authz/rbac/#default-roles-and-role-bindings"""
_FLUX_GROUP: Final = "toolkit.fluxcd.io"
_HELM_RECORD: Final = "sh.helm.release.v1."


@dataclass(frozen=True, kw_only=True)
class BorderArgs:
    """Arguments of `Border`.

    namespace: that of Flux.
    definitions: API groups whose definitions are the program's.
    """

    namespace: str
    definitions: Sequence[str]

    def __post_init__(self) -> None:
        if not self.definitions:
            raise ValueError("definitions: none; name the API groups of the charts that the program installs")


class Border(pulumi.ComponentResource):
    """The policy, at work for every request."""

    ready: pulumi.Resource
    """After this the API server refuses; what Flux deploys comes after it."""

    def __init__(self, name: str, args: BorderArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:gitops:Border", name, None, opts)
        child = pulumi.ResourceOptions(
            parent=self, custom_timeouts=pulumi.CustomTimeouts(create="2m", update="2m", delete="2m")
        )
        policy = ValidatingAdmissionPolicy(name, metadata=ObjectMetaArgs(name=_NAME), spec=_policy(args), opts=child)
        self.ready = ValidatingAdmissionPolicyBinding(
            f"{name}-binding",
            metadata=ObjectMetaArgs(name=_NAME),
            spec={"policyName": policy.metadata.name, "validationActions": ["Deny"]},
            opts=child,
        )
        self.register_outputs({"policy": _NAME})


def _policy(args: BorderArgs) -> dict[str, Any]:
    accounts = [f"system:serviceaccount:{args.namespace}:{controller}" for controller in WRITERS]
    everything = {
        "apiGroups": ["*"],
        "apiVersions": ["*"],
        "operations": ["CREATE", "UPDATE", "DELETE"],
        "resources": ["*/*"],
    }
    return {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [everything]},
        "matchConditions": [{"name": "is-flux", "expression": f"request.userInfo.username in {_list(accounts)}"}],
        "variables": [{"name": name, "expression": text} for name, text in _variables(args)],
        "validations": [
            {"expression": expression, "messageExpression": message, "reason": "Forbidden"}
            for expression, message in _validations()
        ],
    }


def _variables(args: BorderArgs) -> list[tuple[str, str]]:
    """CEL expressions by name; each may use those before it."""
    foreign = " || ".join(f"{_text(note)} in variables.labels" for note in _FLUX_NOTES)
    return [
        ("name", "has(request.name) ? request.name : (object != null ? object.metadata.name : '')"),
        ("labels", _old("labels")),
        ("notes", _old("annotations")),
        # A Namespace counts as being in none, like what has no namespace.
        ("common", "namespaceObject == null || namespaceObject.metadata.name.startsWith('kube-')"),
        (
            "closed",
            "namespaceObject != null && has(namespaceObject.metadata.labels)"
            f" && {_text(OWNER_LABEL)} in namespaceObject.metadata.labels"
            f" && namespaceObject.metadata.labels[{_text(OWNER_LABEL)}] == {_text(PROGRAM)}",
        ),
        ("fluxKind", f"request.resource.group.endsWith({_text(_FLUX_GROUP)})"),
        # Objects of Flux and their records, the election of leaders, and events about them.
        (
            "ownBusiness",
            "request.resource.resource == 'events'"
            f" || (namespaceObject != null && namespaceObject.metadata.name == {_text(args.namespace)}"
            " && (variables.fluxKind || request.resource.group == 'coordination.k8s.io'"
            f" || (request.resource.resource == 'secrets' && variables.name.startsWith({_text(_HELM_RECORD)}))))",
        ),
        ("marked", f"{_text(ANNOTATION)} in variables.notes"),
        # What Flux notes on an object of its own that the program made: finalizers, and the status.
        (
            "sameWish",
            "request.operation == 'UPDATE' && variables.fluxKind && has(object.spec) && object.spec == oldObject.spec"
            " && has(object.metadata.annotations) && object.metadata.annotations == oldObject.metadata.annotations"
            " && has(object.metadata.labels) == has(oldObject.metadata.labels)"
            " && (!has(object.metadata.labels) || object.metadata.labels == oldObject.metadata.labels)",
        ),
        (
            "installed",
            f"({_text(_HELM_NOTE)} in variables.notes && !({foreign})) || {_text(_BOOTSTRAP)} in variables.labels",
        ),
        (
            "definition",
            "request.resource.resource == 'customresourcedefinitions'"
            f" && {_list(args.definitions)}.exists(group, variables.name.endsWith('.' + group))",
        ),
    ]


def _validations() -> list[tuple[str, str]]:
    """What must hold, and the refusal where it does not."""
    what = "request.resource.resource + ' ' + variables.name"
    remedy = "'; leave it out of the repository, or change it in the program'"
    return [
        (
            "!variables.closed || variables.ownBusiness",
            f"{what} + ': namespace ' + namespaceObject.metadata.name + ' is the program\\'s'"
            " + '; give it to an application\\'s namespace (stacks/applications.py)'",
        ),
        (
            "!variables.marked || variables.sameWish",
            f"{what} + ' was made by the program (stack ' + variables.notes[{_text(ANNOTATION)}] + ')' + {remedy}",
        ),
        (
            "!(variables.common && variables.installed)",
            f"{what} + ' was installed by the program or is Kubernetes\\' own' + {remedy}",
        ),
        (
            "!variables.definition",
            f"{what} + ' is a definition of a chart that the program installs'"
            " + '; have the application\\'s chart install no definitions'",
        ),
    ]


def _old(field: str) -> str:
    """What an object had before the request; nothing for a new one. Some subresources have no metadata."""
    return (
        f"oldObject != null && has(oldObject.metadata) && has(oldObject.metadata.{field})"
        f" ? oldObject.metadata.{field} : {{}}"
    )


def _list(values: Sequence[str]) -> str:
    return f"[{', '.join(_text(value) for value in sorted(values))}]"


def _text(value: str) -> str:
    """A literal of CEL, which are written as JSON's are."""
    return json.dumps(value)
