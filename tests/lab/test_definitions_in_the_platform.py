"""A chart of the lab with other definitions in its directory `crds`: the cluster follows, and its objects stay."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import yaml

from components.kit.versions import VAULT_OPERATOR
from tests.lab.live import LiveLab

pytestmark = pytest.mark.long

KIND = "vaults.vault.banzaicloud.com"
CHANGED = "what the next version says of a Vault"


@contextmanager
def changed_definition(lab: LiveLab) -> Iterator[None]:
    """While the mirror's chart of Vault's operator has a definition that says something else."""
    path = lab.session.directory / "charts" / f"{VAULT_OPERATOR.name}-{VAULT_OPERATOR.version}.tgz"
    before, packed = path.read_bytes(), io.BytesIO()
    with (
        tarfile.open(path) as archive,
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as written,
    ):
        for member in archive.getmembers():
            file = archive.extractfile(member)
            assert file is not None
            content = file.read()
            if "/crds/" in member.name:
                [definition] = yaml.safe_load_all(content)
                for version in definition["spec"]["versions"]:
                    version["schema"]["openAPIV3Schema"]["description"] = CHANGED
                content = yaml.safe_dump(definition).encode()
            member.size = len(content)
            written.addfile(member, io.BytesIO(content))
    path.write_bytes(packed.getvalue())
    try:
        yield
    finally:
        path.write_bytes(before)


def ids(lab: LiveLab) -> list[str]:
    """Of the definition, and of each Vault."""
    items = [
        json.loads(lab.run("kubectl", "get", *asked, "--output=json").stdout)["items"]
        for asked in (["crd", f"--field-selector=metadata.name={KIND}"], [KIND, "--all-namespaces"])
    ]
    return [str(item["metadata"]["uid"]) for found in items for item in found]


def description(lab: LiveLab) -> str | None:
    found = json.loads(lab.run("kubectl", "get", "crd", KIND, "--output=json").stdout)
    [version] = found["spec"]["versions"]
    text: str | None = version["schema"]["openAPIV3Schema"].get("description")
    return text


def test_a_raised_chart_changes_its_definitions_and_keeps_their_objects(lab: LiveLab) -> None:
    before = ids(lab)
    assert len(before) == 2
    with changed_definition(lab):
        preview = lab.run("pulumi", "preview")
        assert "vault-operator-definitions" in preview.stdout, preview.stdout
        raised = lab.up()
        assert raised.returncode == 0, raised.stdout
        assert (description(lab), ids(lab)) == (CHANGED, before)
        unchanged = lab.up("--expect-no-changes")
        assert unchanged.returncode == 0, unchanged.stdout
    back = lab.up()
    assert back.returncode == 0, back.stdout
    assert (description(lab), ids(lab)) == (None, before)
