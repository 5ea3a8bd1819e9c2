"""The configuration file of the simulated Proxmox VE."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic.alias_generators import to_camel

NodeName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)


class Host(_Strict):
    """One Proxmox node: logical CPUs, memory in MiB, release, and by how many seconds its clock is ahead."""

    cores: int = Field(gt=0)
    memory_mib: int = Field(alias="memoryMiB", gt=0)
    version: str = Field(default="9.0.10", pattern=r"^\d+\.\d+(\.\d+)?$")
    clock_ahead: float = 0


class Bridge(_Strict):
    """A bridge on `nodes` (on every node if that is empty), with the network cards that are its ports."""

    name: str = Field(pattern=r"^[a-zA-Z][a-zA-Z0-9_.-]{0,14}$")
    vlan_aware: bool = False
    ports: tuple[str, ...] = ("eno1",)
    active: bool = True
    nodes: tuple[NodeName, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _by_its_name(cls, value: object) -> object:
        return {"name": value} if isinstance(value, str) else value


class Datastore(_Strict):
    """A storage: one for all nodes if `shared`, else one on each of `nodes` (on every node if that is empty).

    `size_gib` is what each of them holds; without it nothing ever fills up.
    """

    type: Literal["dir", "nfs", "cifs", "zfspool", "lvm", "lvmthin", "rbd"]
    content: str = Field(min_length=1)
    shared: bool = False
    nodes: tuple[NodeName, ...] = ()
    size_gib: int | None = Field(default=None, alias="sizeGiB", gt=0)


class Settings(_Strict):
    """Where to listen, who may log in, and what the simulated site has."""

    host: str
    port: int = Field(default=8006, ge=0, le=65535)
    user: str = Field(default="root@pam", pattern=r"^[^@!\s]+@[^@!\s]+$")
    password: SecretStr
    privileges: tuple[str, ...] = ()
    """What the administrator of the site gave `user` everywhere; root@pam has everything anyway."""
    tokens: dict[str, SecretStr] = {}
    state_dir: Path
    control: Path
    nodes_control: Path | None = None
    time_scale: float = Field(default=0.02, ge=0)
    nodes: dict[NodeName, Host] = Field(min_length=1)
    datastores: dict[str, Datastore]
    bridges: tuple[Bridge, ...] = (Bridge(name="vmbr0"),)
