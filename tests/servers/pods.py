"""A program as a process of this machine that believes it is in a pod: it finds a service account where a pod has one.

Client libraries of Kubernetes read the API's address from the environment, and token, authority and namespace from
files at a fixed path. Here these lie in a mount namespace of the process's own, so that the real program runs as it is,
with the rights of that service account and no others.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.privileges import unshare
from tests.servers.kubernetes import KubernetesApi
from tests.servers.processes import server

# $0 holds the service account's files; /run of the machine stays as it is.
_SCRIPT = """
set -e
mount -t tmpfs tmpfs /var/run
mkdir -p /var/run/secrets/kubernetes.io
ln -s "$0" /var/run/secrets/kubernetes.io/serviceaccount
exec "$@"
"""


@contextlib.contextmanager
def pod(
    api: KubernetesApi,
    namespace: str,
    service_account: str,
    command: Sequence[str],
    *,
    directory: Path,
    ready: Callable[[], bool],
) -> Iterator[Path]:
    """Run `command` as that service account until the end of the block; gives the path of its log.

    `directory` must not be below /run. The token is valid for one hour.

    Raises:
        AssertionError: it ended, or was not ready in time; with the end of its log.
    """
    with server(
        service_account,
        _inside(api, namespace, service_account, command, directory),
        directory=directory,
        ready=ready,
        environment=_environment(api),
    ) as log:
        yield log


def run_in_pod(
    api: KubernetesApi, namespace: str, service_account: str, command: Sequence[str], *, directory: Path
) -> subprocess.CompletedProcess[str]:
    """Run `command` as that service account until it ends; its output and errors are one text, in `stdout`."""
    return subprocess.run(
        _inside(api, namespace, service_account, command, directory),
        cwd=directory,
        env=os.environ | _environment(api),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )


def _environment(api: KubernetesApi) -> dict[str, str]:
    return {"KUBERNETES_SERVICE_HOST": api.address, "KUBERNETES_SERVICE_PORT": str(api.port)}


def _inside(
    api: KubernetesApi, namespace: str, service_account: str, command: Sequence[str], directory: Path
) -> list[str]:
    """`command` with the service account's files, which are written to `directory`, where a pod has them."""
    account = directory / f"{service_account}-account"
    account.mkdir(exist_ok=True)
    (account / "namespace").write_text(namespace)
    (account / "ca.crt").write_bytes(api.ca.read_bytes())
    (account / "token").touch(mode=0o600)
    (account / "token").write_text(api.token(namespace, service_account))
    return [*unshare("--mount"), "sh", "-c", _SCRIPT, str(account), *command]
