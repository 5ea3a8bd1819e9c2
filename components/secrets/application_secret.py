"""A Secret with generated values; the program generates values in no other way.

Owns, for one `SecretSpec`: the generators, the PushSecrets that bring the values into Vault, and the ExternalSecret
that makes the Kubernetes Secret from what is in Vault. Does not own the restart of consumers, which annotate themselves
(`reloader.restart_on`), nor copies in other namespaces (`reflector.py`).
Must exist before: the namespace and its `VaultAccess`.

A value is generated once per generation, and never again:
- A PushSecret writes a key to `<namespace>/<name>/v<generation>` only where that key does not exist yet
  (`updatePolicy: IfNotExists`, looked up for each key), and does so once, not periodically (`refreshInterval: 0s`). So
  neither a restarted operator nor a lost PushSecret changes a value; and a value that was lost in Vault is an
  ExternalSecret that is not Ready, where a periodic push would hand the consumers a new value that nothing else knows.
- A raised generation is another path, where nothing is yet. What was there before stays, for the way
  back: with the number lowered, the old value is read again.
- Nothing is deleted in Vault (`deletionPolicy: None`), whatever happens to the objects here.

Vault holds the values; the Secret follows it within `external_secret.REFRESH`, and at once when the Secret itself is
changed. One with a salted hash (`SecretSpec.salted`) follows only at a rotation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.kit.readiness import READY
from components.kit.references import SecretReference
from components.secrets.external_secret import API, TIMEOUTS, following
from components.secrets.reflector import Mirror
from components.secrets.secret_spec import Generated, SecretSpec
from components.secrets.vault_access import VaultAccess

_ONCE: Final = "0s"
_GENERATORS: Final = "generators.external-secrets.io/v1alpha1"


@dataclass(frozen=True, kw_only=True)
class ApplicationSecretArgs:
    """Arguments of `ApplicationSecret`.

    generation: which values to use, counted from 1 (`homelab:rotation`); the first `up` with a higher one makes them.
    mirror: the other namespaces that get a copy.
    """

    spec: SecretSpec
    access: VaultAccess
    generation: int = 1
    mirror: Mirror | None = None

    def __post_init__(self) -> None:
        if self.generation < 1:
            raise ValueError(f"generation: {self.generation}; generations count from 1")
        if self.spec.namespace != self.access.namespace:
            raise ValueError(
                f"access: is that of {self.access.namespace!r}, the secret is for {self.spec.namespace!r}; give the "
                "access of its own namespace, as Vault lets a namespace reach nothing else"
            )
        if self.mirror and self.spec.namespace in self.mirror.namespaces:
            raise ValueError(f"mirror: {self.spec.namespace!r} has the original; leave it out")


@dataclass(frozen=True, kw_only=True)
class VaultValue:
    """Where in Vault a value of an application secret is stored; never the value itself.

    access: of the namespace that may read it.
    ready: the resource after which it exists.
    """

    access: VaultAccess
    path: str
    key: str
    ready: pulumi.Resource


class ApplicationSecret(pulumi.ComponentResource):
    """One Secret, with the values that Vault has for a generation."""

    name: str
    """Of the Secret."""
    namespace: str
    keys: frozenset[str]
    """All that are in the Secret, plain and derived ones included."""

    def __init__(self, name: str, args: ApplicationSecretArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:secrets:ApplicationSecret", name, None, opts)
        self.name, self.namespace = args.spec.name, args.spec.namespace
        self._mirror, self._access = args.mirror, args.access
        remote = _remote_keys(args)
        self._sources = remote
        self.keys = frozenset({*remote, *args.spec.templates})
        pushed: list[CustomResource] = []
        for recipe, keys in _by_recipe(args.spec.generated).items():
            generator = self._generator(name, args, recipe, keys)
            pushed.append(self._push(name, args, recipe, keys, generator))
        self._external = self._external_secret(name, args, remote, pushed)
        self.register_outputs({"secret": args.spec.name, "path": args.spec.path(args.generation)})

    def reference(self, key: str, *, namespace: str | None = None) -> SecretReference:
        """The key, in the Secret's own namespace or in one that it is mirrored to.

        A mirror is created moments after the original, so a pod there may have to be restarted once. Raises ValueError
        where there is no such key or no mirror.
        """
        if key not in self.keys:
            raise ValueError(f"{self.name} has no key {key!r}; there are {', '.join(sorted(self.keys))}")
        mirrored = self._mirror.namespaces if self._mirror else ()
        if namespace not in (None, self.namespace, *mirrored):
            raise ValueError(f"{self.name} is not mirrored to {namespace!r}; add it to the secret's `also_in`")
        return SecretReference(namespace=namespace or self.namespace, name=self.name, key=key, ready=self._external)

    def value(self, key: str) -> VaultValue:
        """Where the generated value of `key` is stored in Vault. Raises ValueError where there is no such key."""
        if key not in self._sources:
            raise ValueError(f"{self.name} generates no {key!r}; there are {', '.join(sorted(self._sources))}")
        path, own = self._sources[key]
        return VaultValue(access=self._access, path=path, key=own, ready=self._external)

    def _generator(self, name: str, args: ApplicationSecretArgs, recipe: Generated, keys: list[str]) -> CustomResource:
        label = f"{args.spec.name}-{recipe.label}"
        return CustomResource(
            f"{name}-{recipe.label}",
            api_version=_GENERATORS,
            kind="Password",
            metadata=ObjectMetaArgs(name=label, namespace=args.spec.namespace),
            spec=recipe.generator | {"secretKeys": keys},
            opts=self._inside(args.access.store.operator.ready),
        )

    def _push(
        self,
        name: str,
        args: ApplicationSecretArgs,
        recipe: Generated,
        keys: list[str],
        generator: CustomResource,
    ) -> CustomResource:
        """What writes a recipe's values of its generation. For a new generation it is a new object, so that a rotation
        waits for it before anybody reads the new path."""
        spec, store = args.spec, args.access.store
        path, label = spec.path(args.generation), f"v{args.generation}-{recipe.label}"
        return CustomResource(
            f"{name}-{label}",
            api_version="external-secrets.io/v1alpha1",
            kind="PushSecret",
            metadata=ObjectMetaArgs(name=f"{spec.name}-{label}", namespace=spec.namespace, annotations=READY),
            spec={
                "refreshInterval": _ONCE,
                "updatePolicy": "IfNotExists",
                "deletionPolicy": "None",
                "secretStoreRefs": [store.reference],
                "selector": {
                    "generatorRef": {
                        "apiVersion": _GENERATORS,
                        "kind": "Password",
                        "name": f"{spec.name}-{recipe.label}",
                    }
                },
                "data": [
                    {"match": {"secretKey": key, "remoteRef": {"remoteKey": path, "property": key}}} for key in keys
                ],
            },
            opts=self._inside(generator, args.access.ready, store),
        )

    def _external_secret(
        self,
        name: str,
        args: ApplicationSecretArgs,
        remote: Mapping[str, tuple[str, str]],
        pushed: list[CustomResource],
    ) -> CustomResource:
        spec = args.spec
        metadata = {"labels": dict(spec.labels), "annotations": args.mirror.annotations if args.mirror else {}}
        template: dict[str, Any] = {"type": spec.type, "engineVersion": "v2", "mergePolicy": "Merge"}
        # An empty map in a custom resource would be a change at every `up`.
        template |= {"metadata": filled} if (filled := {k: v for k, v in metadata.items() if v}) else {}
        template |= {"data": spec.templates} if spec.templates else {}
        return CustomResource(
            name,
            api_version=API,
            kind="ExternalSecret",
            metadata=ObjectMetaArgs(name=spec.name, namespace=spec.namespace, annotations=READY),
            spec=following(args.access.store, spec.name, remote, template=template, salted=spec.salted),
            opts=self._inside(*pushed, *([args.mirror.ready] if args.mirror else [])),
        )

    def _inside(self, *after: pulumi.Resource) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self, depends_on=list(after), custom_timeouts=TIMEOUTS)


MakeSecrets = Callable[[pulumi.Resource], Mapping[str, ApplicationSecret]]
"""Makes the secrets that are declared for a namespace, by name, after the resource that it is given: the namespace.

An argument of a component that makes a namespace with secrets: they come after the one, and before the rest of it.
"""


def _by_recipe(keys: Mapping[str, Generated]) -> dict[Generated, list[str]]:
    """Recipes with the keys that each makes: a generator makes any number of values, but all of the same form."""
    recipes: dict[Generated, list[str]] = {}
    for key, recipe in keys.items():
        recipes.setdefault(recipe, []).append(key)
    return recipes


def _remote_keys(args: ApplicationSecretArgs) -> dict[str, tuple[str, str]]:
    """Keys of the Secret that are read from Vault, each with the path and the property there."""
    path = args.spec.path(args.generation)
    return {key: (path, key) for key in args.spec.generated}
