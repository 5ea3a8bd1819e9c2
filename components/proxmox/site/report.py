"""One report of everything at a site that stands in this stack's way.

Owns the order and the form of the findings, which is that of refused settings: the setting, what is wrong, the remedy.
Does not own the rules (`hosts`, `names`, `rights`, `addresses`).
"""

from __future__ import annotations

from collections.abc import Iterator

from components.proxmox.api import ProxmoxError
from components.proxmox.site import addresses, hosts, names, rights, survey
from components.proxmox.site.answers import CLUSTER, FORBIDDEN, Answers, Api
from components.proxmox.site.plan import PlannedSite


class SiteRefusedError(ProxmoxError):
    """The site was refused; `findings` has one line per reason, and the message contains them all."""

    def __init__(self, endpoint: str, findings: list[str]) -> None:
        self.findings = tuple(findings)
        super().__init__(
            f"the site at {endpoint} was refused, and nothing was made there:\n" + "\n".join(self.findings)
        )


async def refuse(api: Api, plan: PlannedSite, *known: str) -> None:
    """Ask the site, and raise SiteRefusedError with all findings, those that are `known` already among them."""
    answers = await survey.take(api, plan)
    findings = [*known, *_unanswered(answers), *rights.findings(plan, answers, api.who)]
    findings += [*hosts.findings(plan, answers), *names.findings(plan, answers)]
    findings += await addresses.findings(plan, answers)
    # What Proxmox refused to show follows from a privilege, which is named; unless it is none of those known here.
    if not findings:
        findings += [f"homelab:site: {error}" for path, error in answers.failed.items() if path != CLUSTER]
    if findings:
        raise SiteRefusedError(api.endpoint, findings)


def _unanswered(answers: Answers) -> Iterator[str]:
    for error in answers.failed.values():
        if error.status != FORBIDDEN:
            yield f"homelab:site: {error}"
