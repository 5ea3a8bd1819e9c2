"""An account in Proxmox for one program: role, user, API token and the paths where they apply.

Owns these four kinds of object, all made through the Proxmox API; no SSH. Does not own what the token is used for.
The token has no rights of its own: it acts as its user, who has no password and exists only for this token.
Must exist before: what `after` names; Proxmox accepts rights on paths whose datastores and pools do not exist yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_proxmoxve as proxmox

TOKEN_NAME = "api"  # noqa: S105 - the name of a token, not a token


@dataclass(frozen=True, kw_only=True)
class ProxmoxAccountArgs:
    """Arguments of `ProxmoxAccount`.

    account: name of both role and user, such as prod-csi; the user is in the realm `pve`.
    comment: what the account is for, shown in Proxmox's list of users.
    privileges: Proxmox privileges, such as VM.Audit.
    paths: where they apply, such as /storage/local-zfs; never "/". One below /vms would not outlive its VM.
    after: what Proxmox removes the entries of together with itself, such as a pool.
    hooks: what runs around each operation in Proxmox.
    """

    account: str
    comment: str
    privileges: Sequence[str]
    paths: Sequence[str]
    after: Sequence[pulumi.Resource] = ()
    hooks: pulumi.ResourceHookBinding | None = None

    def __post_init__(self) -> None:
        if not self.privileges or not self.paths:
            raise ValueError(
                f"account {self.account}: an account without privileges or paths can do nothing; name both"
            )
        if "/" in self.paths:
            raise ValueError(f"account {self.account}: path / gives rights over the whole site; name what it needs")
        if fleeting := [path for path in self.paths if path.startswith("/vms/")]:
            raise ValueError(
                f"account {self.account}: Proxmox removes what is granted on {', '.join(fleeting)} together with the "
                "VM; name the pool that the VM is made in"
            )


class ProxmoxAccount(pulumi.ComponentResource):
    """A least-privilege account with an API token."""

    token_id: pulumi.Output[str]
    """`user@realm!token`."""

    token_secret: pulumi.Output[str]
    """The token's UUID; a secret."""

    def __init__(self, name: str, args: ProxmoxAccountArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:proxmox:ProxmoxAccount", name, None, opts)
        child = pulumi.ResourceOptions(parent=self, hooks=args.hooks)
        role = proxmox.RoleLegacy(f"{name}-role", role_id=args.account, privileges=sorted(args.privileges), opts=child)
        user = proxmox.UserLegacy(
            f"{name}-user",
            user_id=f"{args.account}@pve",
            comment=args.comment,
            enabled=True,
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True, hooks=args.hooks),
        )
        token = proxmox.user.Token(
            f"{name}-token",
            user_id=user.user_id,
            token_name=TOKEN_NAME,
            comment=args.comment,
            privileges_separation=False,
            # Proxmox deletes a user's tokens with the user. The provider must not: it fails on a token that has been
            # revoked (measured; Proxmox answers 500), and neither a destroy nor a replacement would ever get past it.
            opts=pulumi.ResourceOptions(
                parent=self, delete_before_replace=True, retain_on_delete=True, hooks=args.hooks
            ),
        )
        for path in args.paths:
            proxmox.Acl(
                f"{name}-acl{path.replace('/', '-')}",
                path=path,
                role_id=role.role_id,
                user_id=user.user_id,
                propagate=True,
                opts=pulumi.ResourceOptions(parent=self, hooks=args.hooks, depends_on=list(args.after)),
            )
        self.token_id = token.id
        # The provider gives "user@realm!token=uuid".
        self.token_secret = pulumi.Output.secret(token.value.apply(lambda value: value.rpartition("=")[2]))
        self.register_outputs({"token_id": self.token_id, "token_secret": self.token_secret})
