"""Builds Go binaries into the user's cache: once per version, never twice at the same time, never half.

A binary is built from a module that lies in this repository (`lab/tools/<tool>` pins somebody else's program, the other
folders hold our own sources), with every dependency fixed by its go.sum.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError
from lab.packages import how_to_install
from lab.progress import say, ticking

LAB = Path(__file__).resolve().parent
UNUSED_SECONDS = 14 * 24 * 3600
"""Age at which a binary that another one has superseded is removed from the cache."""

COMPILER_FLAGS = "-dwarf=false"
"""The linker drops what debuggers want; not to make it takes an eighth off the time of a build (Go 1.26)."""

OLDEST_GO = (1, 21)
"""The first Go that by itself fetches the newer toolchain that a go.mod asks for."""


@dataclass(frozen=True)
class GoBinary:
    """How one binary is built.

    `directory` is the module's, relative to lab/. `module` is the required module whose version names the binary;
    None for our own sources, which are named by a digest of what they consist of. In `ldflags`, {version} is that
    version. Files below `replaced/` in the directory stand in for the module's own of the same paths. Not `optimized`:
    functions are not inlined, which takes a quarter off the time of a build, and is for what does little.
    """

    name: str
    directory: str
    package: str
    module: str | None = None
    ldflags: str = "-s -w"
    optimized: bool = True

    def sources(self) -> Path:
        """The module's directory."""
        return LAB / self.directory

    def replaced(self) -> Path:
        """The directory of the files that stand in for the module's own; most tools have none."""
        return self.sources() / "replaced"

    def version(self) -> str:
        """The required version without its v, or a digest of our own sources."""
        if self.module is None:
            return _digest_of_tree(self.sources())
        text = (self.sources() / "go.mod").read_text()
        found = re.search(rf"^(?:require )?\s*{re.escape(self.module)} v(\S+)", text, re.MULTILINE)
        if found is None:
            raise LabError(f"{self.sources() / 'go.mod'} does not require {self.module}: name its version there")
        return found.group(1)

    def linker_flags(self) -> str:
        """The flags with the version filled in."""
        return self.ldflags.replace("{version}", self.version())

    def compiler_flags(self) -> str:
        """The flags for every package."""
        return COMPILER_FLAGS if self.optimized else f"{COMPILER_FLAGS} -l"

    def key(self) -> str:
        """The name of its directory in the cache: equal keys mean equal binaries."""
        if self.module is None:
            return f"{self.name}-{self.version()}{'' if self.optimized else '-l'}"
        recipe = hashlib.sha256(f"{self.package} {self.linker_flags()} {self.compiler_flags()}".encode())
        recipe.update((self.sources() / "go.sum").read_bytes())
        if self.replaced().is_dir():
            recipe.update(_digest_of_tree(self.replaced()).encode())
        return f"{self.name}-{self.version()}-{recipe.hexdigest()[:8]}"


def cache() -> Path:
    """Where built tools are kept: ${XDG_CACHE_HOME:-~/.cache}/homelab."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "homelab"


def cached(binary: GoBinary) -> Path | None:
    """The binary in the cache, if it was built before. Asking counts as use."""
    path = cache() / binary.key() / binary.name
    if not path.is_file():
        return None
    with contextlib.suppress(OSError):
        os.utime(path.parent)
    return path


def build(binary: GoBinary) -> Path:
    """Return the binary's path in the cache, building it there first if needed.

    Raises:
        LabError: if Go is missing and cannot be installed, or the build fails (with the path of its log).
    """
    if found := cached(binary):
        return found
    key = binary.key()
    cache().mkdir(parents=True, exist_ok=True, mode=0o700)
    with _locked(cache() / f"{key}.lock", f"{binary.name}: waiting for another build"):
        if found := cached(binary):
            return found
        go = find_go()
        scratch = Path(tempfile.mkdtemp(prefix=f".{key}-", dir=cache()))
        log = cache() / f"{key}.log"
        try:
            with ticking(f"building {binary.name} {binary.version()}"):
                _compile(go, binary, scratch, log)
            (scratch / binary.name).chmod(0o755)
            scratch.rename(cache() / key)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        log.unlink(missing_ok=True)
        _remove_unused(binary)
    return cache() / key / binary.name


def _remove_unused(binary: GoBinary) -> None:
    """Remove earlier builds of a binary that no checkout has used for a while."""
    for path in cache().glob(f"{binary.name}-[0-9a-f]*"):
        if path.is_dir() and path.name != binary.key() and time.time() - path.stat().st_mtime > UNUSED_SECONDS:
            shutil.rmtree(path, ignore_errors=True)
            path.with_name(f"{path.name}.lock").unlink(missing_ok=True)


def _compile(go: str, binary: GoBinary, target: Path, log: Path) -> None:
    environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
    with tempfile.TemporaryDirectory(prefix="homelab-module-") as scratch:
        changed = _changed_module(go, binary, Path(scratch)) if binary.replaced().is_dir() else []
        flags = [*changed, "-buildvcs=false", "-trimpath"]
        flags += [f"-gcflags=all={binary.compiler_flags()}", f"-ldflags={binary.linker_flags()}"]
        command = [go, "build", "-mod=readonly", *flags, "-o", str(target / binary.name), binary.package]
        with log.open("wb") as output:
            output.write(f"$ {' '.join(command)}\n".encode())
            output.flush()
            result = subprocess.run(
                command, cwd=binary.sources(), env=environment, stdout=output, stderr=subprocess.STDOUT, check=False
            )
    if result.returncode:
        tail = "\n".join(f"      {line}" for line in log.read_text(errors="replace").splitlines()[-8:])
        raise LabError(f"building {binary.name} failed:\n{tail}\n  The whole log: {log}")


def _changed_module(go: str, binary: GoBinary, scratch: Path) -> list[str]:
    """Copy the module with the files that stand in for its own; gives the option with which a build takes the copy.

    Go refuses an overlay over files of its cache.
    """
    command = [go, "mod", "download", "-json", str(binary.module)]
    done = subprocess.run(command, cwd=binary.sources(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"downloading {binary.module} failed:\n{done.stdout}{done.stderr}")
    original, copy = Path(json.loads(done.stdout)["Dir"]), scratch / "module"
    for place in (original, binary.replaced()):
        for path in place.rglob("*"):
            if path.is_file():
                there = copy / path.relative_to(place)
                there.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, there)
    wanted = (binary.sources() / "go.mod").read_text()
    # A replacement that is there, such as by another name of the module, would go before this one.
    wanted = re.sub(rf"^replace {re.escape(str(binary.module))} .*$", "", wanted, flags=re.MULTILINE)
    (scratch / "go.mod").write_text(f"{wanted}\nreplace {binary.module} => {copy}\n")
    shutil.copyfile(binary.sources() / "go.sum", scratch / "go.sum")
    return [f"-modfile={scratch / 'go.mod'}"]


def source_of(module: str, version: str, checksum: str) -> Path:
    """The directory of a module's source, in Go's own cache, whether or not a go.mod of the lab requires it.

    checksum: what the module is, as Go writes it in a go.sum.

    Raises:
        LabError: if it cannot be had, or is not what it was.
    """
    command = [find_go(), "mod", "download", "-json", f"{module}@v{version}"]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"{' '.join(command)}: {done.stdout.strip() or done.stderr.strip()}")
    said = json.loads(done.stdout)
    if said["Sum"] != checksum:
        raise LabError(f"{module} {version} is {said['Sum']}, and {checksum or 'nothing'} is expected")
    return Path(said["Dir"])


@functools.cache
def find_go() -> str:
    """The path of a usable Go.

    Raises:
        LabError: if there is none and it cannot be installed here.
    """
    if shutil.which("go") is None and os.geteuid() == 0 and shutil.which("apt-get"):
        say("    installing Go (apt-get)")
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], env=environment, stdout=subprocess.DEVNULL, check=False)
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "golang-go", "ca-certificates"]
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False)
    go = shutil.which("go")
    if go is None:
        raise LabError(f"Go is missing, and the lab's tools are built with it: {how_to_install(['golang-go'])}")
    text = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout.strip()
    found = re.match(r"go(\d+)\.(\d+)", text)
    if found is None or (int(found.group(1)), int(found.group(2))) < OLDEST_GO:
        raise LabError(
            f"{go} is {text or 'of unknown version'}: Go {OLDEST_GO[0]}.{OLDEST_GO[1]} or newer is needed. "
            "Install a newer one, for example from https://go.dev/dl or, on Debian, its backports"
        )
    return go


@contextlib.contextmanager
def _locked(path: Path, waiting: str) -> Iterator[None]:
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with ticking(waiting):
                fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _digest_of_tree(directory: Path) -> str:
    """Twelve hex digits over every file that can end up in a binary; the Python of the same part cannot."""
    digest = hashlib.sha256()
    for path in sorted(directory.rglob("*")):
        relative = path.relative_to(directory)
        if not path.is_file() or path.name.endswith("_test.go") or path.suffix in {".md", ".py", ".pyc"}:
            continue
        if any(part in {"testdata", "__pycache__"} or part.startswith(".") for part in relative.parts):
            continue
        digest.update(f"{relative}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]
