"""A program as a process of this machine that believes it is in a pod: it finds a service account where a pod has one.

Client libraries of Kubernetes read the API's address from the environment, and token, authority and namespace from
files at a fixed path. Here these lie in a mount namespace of the process's own, so that the real program runs as it is,
with the rights of that service account and no others.
"""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

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
    return {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(api.port)}


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
    return [*_unshare(), "sh", "-c", _SCRIPT, str(account), *command]


@functools.cache
def _unshare() -> tuple[str, ...]:
    """The command that gives a process a mount namespace on this machine."""
    refusals = []
    for flags in (("--map-root-user", "--mount"), ("--mount",)):
        trial = subprocess.run(["unshare", *flags, "true"], capture_output=True, text=True, check=False)
        if trial.returncode == 0:
            return ("unshare", *flags)
        refusals.append(trial.stderr.strip())
    raise AssertionError(
        f"this machine allows no mount namespace ({'; '.join(refusals)}). Allow user namespaces "
        "(sysctl kernel.unprivileged_userns_clone=1 and kernel.apparmor_restrict_unprivileged_userns=0), run as root, "
        "or in a container give it CAP_SYS_ADMIN"
    )
