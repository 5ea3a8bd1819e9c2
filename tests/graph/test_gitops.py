"""What Flux applies, as it is in `gitops/`: it builds, and agrees with the program's side of each thing."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from checks.gitops.images import moving
from checks.gitops.ingress import foreign_in_files, foreign_in_program
from checks.gitops.tree import GITOPS, documents, releases, variables
from checks.gitops.values import secret_values
from checks.model.release_values import merged
from checks.program import ROOT, recorded
from checks.sign_on import PUBLIC, consumer, disagreements, providers
from components.identity.sso import VALUES_KEY
from components.kit.versions import POSTGRESQL
from components.secrets.secret_spec import Password, Plain
from stacks import sso
from stacks.application_secrets import SECRETS
from tests.charts.kustomize import built

DOMAIN = "home.example.org"


@cache
def kustomizations() -> dict[str, dict[str, Any]]:
    """What the root hands to Flux, by name."""
    return {name: item for (_, name), item in built(GITOPS).items()}


@cache
def folder(path: str) -> dict[tuple[str, str], dict[str, Any]]:
    """A folder of the tree as Flux applies it, with each variable's own name in its place."""
    names = {name: name.replace("_", "-") for name in variables(GITOPS)}
    networks = {"pod_subnet": "10.244.0.0/16", "service_subnet": "10.96.0.0/12", "seed_port": "22"}
    return built(ROOT / path, {**names, **networks, "domain": DOMAIN})


def test_the_root_hands_over_kustomizations_alone() -> None:
    assert {item["kind"] for item in kustomizations().values()} == {"Kustomization"}


@pytest.mark.parametrize("name", sorted(kustomizations()))
def test_each_kustomization_has_a_folder_that_builds(name: str) -> None:
    assert folder(kustomizations()[name]["spec"]["path"]) != {}


def test_each_dependency_is_there() -> None:
    wanted = {one["name"] for item in kustomizations().values() for one in item["spec"].get("dependsOn", [])}
    assert wanted <= set(kustomizations())


def minutes(text: str) -> int:
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?", text)
    assert found is not None, text
    return 60 * int(found.group(1) or 0) + int(found.group(2) or 0)


@pytest.mark.parametrize("name", sorted(kustomizations()))
def test_a_kustomization_waits_longer_than_what_is_in_it(name: str) -> None:
    spec = kustomizations()[name]["spec"]
    inner = [item["spec"]["timeout"] for (kind, _), item in folder(spec["path"]).items() if kind == "HelmRelease"]
    assert all(minutes(spec["timeout"]) > minutes(timeout) for timeout in inner)


@pytest.mark.parametrize("stack", ["lab", "prod"])
def test_no_object_has_two_owners(stack: str) -> None:
    program = {
        (node.inputs.get("kind") or node.type.rpartition(":")[2], about.get("namespace"), about.get("name"))
        for node in recorded(stack).resources()
        if (about := node.inputs.get("metadata")) and isinstance(about, dict)
    }
    flux = {
        (kind, item["metadata"].get("namespace"), name)
        for one in kustomizations().values()
        for (kind, name), item in folder(one["spec"]["path"]).items()
    }
    assert sorted(program & flux, key=str) == []


def test_no_file_annotates_for_another_ingress_controller() -> None:
    assert [str(finding) for finding in foreign_in_files(GITOPS, ROOT / "charts")] == []


@pytest.mark.parametrize("stack", ["lab", "prod"])
def test_the_program_annotates_for_no_other_ingress_controller(stack: str) -> None:
    assert [str(finding) for finding in foreign_in_program(recorded(stack))] == []


def test_no_image_moves_without_a_commit() -> None:
    assert [str(finding) for finding in moving()] == []


def services() -> list[Any]:
    """The services that people sign on to and whose release is in the tree, each with it."""
    return [
        (service, release) for release in releases() for service in sso.SERVICES if service.secret in release.secrets
    ]


@pytest.mark.parametrize(("service", "release"), services(), ids=lambda value: getattr(value, "slug", ""))
def test_a_service_runs_where_its_sign_on_expects_it(service: Any, release: Any) -> None:
    assert release.namespace == service.namespace
    host = f"{service.host}.{DOMAIN}"
    if service is sso.MATRIX:  # its chart brings an Ingress for each of its hosts
        values = secret_values(release, service.secret, DOMAIN, private=False)
        assert values["elementWeb"]["ingress"]["host"] == host
        return
    made = folder(f"gitops/{release.name}")["Ingress", release.name]["spec"]
    assert [rule["host"] for rule in made["rules"]] == [host]
    assert made["tls"] == [{"hosts": [host]}]


@pytest.mark.parametrize("private", [False, True], ids=["public", "private"])
@pytest.mark.parametrize(("service", "release"), services(), ids=lambda value: getattr(value, "slug", ""))
def test_both_sides_of_a_sign_on_agree_with_the_values_of_the_release(
    service: Any, release: Any, private: bool
) -> None:
    values = merged(secret_values(release, service.secret, DOMAIN, private), release.values)
    spec = sso.credentials(service, DOMAIN, private=private)
    secret = {key: getattr(value, "value", "") for key, value in spec.keys.items()} | dict(spec.derived)
    own = consumer(service.slug, {**secret, VALUES_KEY: yaml.safe_dump(values)})
    signer = f"{sso.PRIVATE_AUTHORITY.secret}/{sso.PRIVATE_AUTHORITY.key}" if private else PUBLIC
    blueprint = sso.platform_blueprint(DOMAIN, []).text()
    there = providers([blueprint], sso.authority(DOMAIN), signer)[service.slug]
    assert list(disagreements(service.slug, there, own)) == []


def databases() -> list[tuple[Path, dict[str, Any]]]:
    return [(file, item) for file, item in documents(GITOPS) if item.get("kind") == "Cluster"]


@pytest.mark.parametrize(("file", "cluster"), databases(), ids=lambda value: getattr(value, "name", ""))
def test_a_database_is_of_the_version_that_the_program_runs(file: Path, cluster: dict[str, Any]) -> None:
    assert cluster["spec"]["imageName"] == POSTGRESQL.reference, file


@pytest.mark.parametrize(("file", "cluster"), databases(), ids=lambda value: getattr(value, "name", ""))
def test_a_line_that_is_taken_out_of_git_does_not_take_a_database(file: Path, cluster: dict[str, Any]) -> None:
    assert cluster["metadata"]["annotations"]["kustomize.toolkit.fluxcd.io/prune"] == "disabled", file


def test_gitea_finds_the_database_that_is_made_for_it() -> None:
    cluster = folder("gitops/gitea/database")["Cluster", "gitea-postgres"]
    [release] = [release for release in releases() if release.name == "gitea"]
    said, made = release.values["gitea"]["config"]["database"], cluster["spec"]["bootstrap"]["initdb"]
    host = f"{cluster['metadata']['name']}-rw.{cluster['metadata']['namespace']}.svc:5432"
    assert (said["HOST"], said["NAME"].partition("?")[0], said["USER"]) == (host, made["database"], made["owner"])
    variables = {
        one["name"]: one["valueFrom"]["secretKeyRef"] for one in release.values["gitea"]["additionalConfigFromEnvs"]
    }
    assert variables["GITEA__DATABASE__PASSWD"] == {"name": made["secret"]["name"], "key": "password"}


def test_gitea_verifies_its_database_by_a_file_that_it_has() -> None:
    [release] = [release for release in releases() if release.name == "gitea"]
    database = release.values["gitea"]["config"]["database"]
    file = database["NAME"].partition("?sslrootcert=")[2]
    assert (database["SSL_MODE"], file) == ("verify-full", "/database-authority/ca.crt")
    made = folder("gitops/gitea")["HelmRelease", "gitea"]["spec"]["postRenderers"]
    [patch] = made[0]["kustomize"]["patches"]
    pod = yaml.safe_load(patch["patch"])["spec"]["template"]["spec"]
    [volume] = pod["volumes"]
    directory, _, key = file.rpartition("/")
    assert volume["secret"] == {"secretName": "gitea-postgres-ca", "items": [{"key": key, "path": key}]}
    mounts = [mount for one in [*pod["initContainers"], *pod["containers"]] for mount in one["volumeMounts"]]
    assert [(mount["name"], mount["mountPath"]) for mount in mounts] == [(volume["name"], directory)] * 2


def test_harbor_finds_the_database_that_is_made_for_it() -> None:
    cluster = folder("gitops/harbor/database")["Cluster", "harbor-postgres"]
    [release] = [release for release in releases() if release.name == "harbor"]
    said, made = release.values["database"]["external"], cluster["spec"]["bootstrap"]["initdb"]
    host = f"{cluster['metadata']['name']}-rw.{cluster['metadata']['namespace']}.svc"
    assert (said["host"], said["coreDatabase"], said["username"]) == (host, made["database"], made["owner"])
    assert said["existingSecret"] == made["secret"]["name"]


@pytest.mark.parametrize("part", ["core", "jobservice"])
def test_harbor_verifies_its_database_by_what_its_image_trusts(part: str) -> None:
    """An image adds each certificate in one directory (make/photon/common/install_cert.sh of Harbor)."""
    [release] = [release for release in releases() if release.name == "harbor"]
    assert release.values["database"]["external"]["sslmode"] == "verify-full"
    patches = folder("gitops/harbor")["HelmRelease", "harbor"]["spec"]["postRenderers"][0]["kustomize"]["patches"]
    [patch] = [yaml.safe_load(one["patch"]) for one in patches if one["target"]["name"] == f"harbor-{part}"]
    pod = patch["spec"]["template"]["spec"]
    [container], [volume] = pod["containers"], pod["volumes"]
    [mount] = container["volumeMounts"]
    assert (container["name"], mount["name"]) == (part, volume["name"])
    assert re.fullmatch(r"/harbor_cust_cert/[^/]+\.crt", mount["mountPath"])
    assert volume["secret"] == {
        "secretName": "harbor-postgres-ca",
        "items": [{"key": "ca.crt", "path": mount["subPath"]}],
    }


HARBOR_SECRETS = {
    # The value of the chart, and the keys that its templates read from the Secret that the value names.
    "existingSecretAdminPassword": {"HARBOR_ADMIN_PASSWORD"},
    "existingSecretSecretKey": {"secretKey"},
    "core.existingSecret": {"secret"},
    "core.existingXsrfSecret": {"CSRF_KEY"},
    "jobservice.existingSecret": {"JOBSERVICE_SECRET"},
    "registry.existingSecret": {"REGISTRY_HTTP_SECRET"},
    "registry.credentials.existingSecret": {"REGISTRY_PASSWD", "REGISTRY_HTPASSWD"},
    "database.external.existingSecret": {"password"},
}


@pytest.mark.parametrize("path", HARBOR_SECRETS)
def test_no_rendering_of_harbor_makes_a_secret(path: str) -> None:
    """What the chart is not given it makes anew each time, where it cannot look into the cluster."""
    [release] = [release for release in releases() if release.name == "harbor"]
    named: Any = release.values
    for key in path.split("."):
        named = named[key]
    spec = SECRETS[named].spec
    assert spec.namespace == release.namespace
    assert {*spec.keys, *spec.derived} >= HARBOR_SECRETS[path]


def test_the_key_that_signs_harbors_tokens_stays() -> None:
    [release] = [release for release in releases() if release.name == "harbor"]
    made = folder("gitops/harbor")["Certificate", release.values["core"]["secretName"]]["spec"]
    assert made["secretName"] == release.values["core"]["secretName"]
    assert made["privateKey"]["rotationPolicy"] == "Never"
    assert made["privateKey"]["algorithm"] == "RSA"


@pytest.mark.parametrize(
    ("name", "key", "length"),
    [
        ("harbor-key", "secretKey", 16),
        ("harbor-parts", "secret", 16),
        ("harbor-parts", "JOBSERVICE_SECRET", 16),
        ("harbor-parts", "REGISTRY_HTTP_SECRET", 16),
        ("harbor-parts", "CSRF_KEY", 32),
    ],
)
def test_a_secret_of_harbor_is_as_long_as_it_must_be(name: str, key: str, length: int) -> None:
    """The comments in the chart's values.yaml: Harbor does not start with another length."""
    assert SECRETS[name].spec.keys[key] == Password(length=length)


def test_the_setup_reads_what_is_made_for_it() -> None:
    spec = folder("gitops/harbor/setup")["CronJob", "harbor-setup"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    [container] = spec["containers"]
    for variable in container["env"]:
        if "valueFrom" in variable:
            reference = variable["valueFrom"]["secretKeyRef"]
            assert reference["key"] in SECRETS[reference["name"]].spec.keys
    [volume] = spec["volumes"]
    content = folder("gitops/harbor/setup")["ConfigMap", volume["configMap"]["name"]]["data"]
    assert {part.rpartition("/")[2] for part in container["command"][2:]} == set(content)


def test_matrix_finds_both_databases_that_are_made_for_it() -> None:
    made = folder("gitops/matrix/database")
    cluster, accounts = made["Cluster", "matrix-postgres"], made["Database", "matrix-accounts"]
    [release] = [release for release in releases() if release.name == "matrix"]
    first = cluster["spec"]["bootstrap"]["initdb"]
    [role] = cluster["spec"]["managed"]["roles"]
    host = f"{cluster['metadata']['name']}-rw.{cluster['metadata']['namespace']}.svc"
    for part, database, owner, secret in (
        ("synapse", first["database"], first["owner"], first["secret"]["name"]),
        ("matrixAuthenticationService", accounts["spec"]["name"], role["name"], role["passwordSecret"]["name"]),
    ):
        said = release.values[part]["postgres"]
        assert (said["host"], said["database"], said["user"], said["password"]["secret"]) == (
            host,
            database,
            owner,
            secret,
        )
        assert SECRETS[secret].spec.keys["username"] == Plain(owner)
        assert said["sslMode"] == "verify-full"
    assert accounts["spec"]["cluster"]["name"] == cluster["metadata"]["name"]
    assert accounts["spec"]["owner"] == role["name"]


def test_synapses_database_has_the_locale_without_which_it_does_not_start() -> None:
    made = folder("gitops/matrix/database")["Cluster", "matrix-postgres"]["spec"]["bootstrap"]["initdb"]
    assert (made["encoding"], made["localeCollate"], made["localeCType"]) == ("UTF8", "C", "C")


MATRIX_SECRETS = (
    ("synapse", "signingKey"),
    ("synapse", "macaroon"),
    ("synapse", "registrationSharedSecret"),
    ("matrixAuthenticationService", "encryptionSecret"),
    ("matrixAuthenticationService", "synapseSharedSecret"),
)


@pytest.mark.parametrize(("part", "name"), MATRIX_SECRETS)
def test_matrix_makes_no_secret_for_itself(part: str, name: str) -> None:
    [release] = [release for release in releases() if release.name == "matrix"]
    reference = release.values[part][name]
    spec = SECRETS[reference["secret"]].spec
    assert reference["secretKey"] in {*spec.keys, *spec.derived}
    assert spec.namespace == release.namespace
    assert release.values["initSecrets"] == {"enabled": False}


def test_the_keys_that_sign_matrixs_tokens_stay_and_are_of_the_kinds_that_it_wants() -> None:
    [release] = [release for release in releases() if release.name == "matrix"]
    kinds = {"rsa": "RSA", "ecdsaPrime256v1": "ECDSA"}
    assert release.values["matrixAuthenticationService"]["privateKeys"].keys() == kinds.keys()
    for name, reference in release.values["matrixAuthenticationService"]["privateKeys"].items():
        made = folder("gitops/matrix")["Certificate", reference["secret"]]["spec"]["privateKey"]
        assert (reference["secretKey"], made["algorithm"], made["rotationPolicy"]) == ("tls.key", kinds[name], "Never")


def test_nobody_has_a_password_in_matrix_or_changes_what_authentik_says() -> None:
    [release] = [release for release in releases() if release.name == "matrix"]
    told = yaml.safe_load(release.values["matrixAuthenticationService"]["additional"]["accounts"]["config"])
    assert told["passwords"] == {"enabled": False}
    assert set(told["account"].values()) == {False}


def test_matrix_talks_to_no_other_server_unless_somebody_says_so() -> None:
    [release] = [release for release in releases() if release.name == "matrix"]
    told = yaml.safe_load(release.values["synapse"]["additional"]["federation"]["config"])
    assert told["federation_domain_whitelist"] == []
