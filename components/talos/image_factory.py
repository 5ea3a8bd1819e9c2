"""Has the Image Factory build an image before Proxmox VE downloads it.

Owns one check, in `up` and never in a preview: before a file of an image is made, the factory is asked for the image
until it has it. Does not own the schematic nor the files (`components/proxmox/talos_image.py`).

The factory builds an image when it is first asked for, by HEAD too, and answers when that is done; the build goes on if
whoever asked gives up, for 20 minutes at most (Builder in
https://github.com/siderolabs/image-factory/blob/v1.5.0/internal/asset/asset.go). A download in Proxmox begins with such
a HEAD, sent by the host that gets the file. But the host that serves the API passes the question on and waits for 30 s
(proxy_request in https://github.com/proxmox/pve-http-server/blob/master/src/PVE/APIServer/AnyEvent.pm), so on every
other host of the site a new image would fail with "596 Connection timed out".
"""

from __future__ import annotations

import asyncio
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field

import pulumi

from components.kit.hook_inputs import known

DEADLINE = 1500.0
"""Seconds: the longest build, and five minutes in which others are built before it."""

_ANSWER = 15.0
"""Seconds that one request waits for an answer; each ends with a line that tells how long it has been."""

_PAUSE = 5.0
"""Seconds before a factory that could not answer is asked again."""


class ImageFactoryError(Exception):
    """The factory has no such image, or not in time; the message names the image and what to do."""


@dataclass(frozen=True)
class ImageBuilds:
    """The images that the factory was asked for in this update, each once, for however many hosts.

    deadline: seconds until an image has to be there. answer, pause: see `_ANSWER` and `_PAUSE`.
    """

    deadline: float = DEADLINE
    answer: float = _ANSWER
    pause: float = _PAUSE
    _asked: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    def before_create(self) -> pulumi.ResourceHook:
        """For each file of an image; the URL is its input `url`."""

        async def image_is_built(args: pulumi.ResourceHookArgs) -> None:
            await self.built(str(await known((args.new_inputs or {}).get("url"))))

        return pulumi.ResourceHook("image-is-built", image_is_built)

    async def built(self, url: str) -> None:
        """Returns when the factory has the image at `url`.

        Raises ImageFactoryError when it refuses to build it, or has not built it before the deadline.
        """
        if url not in self._asked:
            self._asked[url] = asyncio.ensure_future(self._build(url))
        await asyncio.shield(self._asked[url])

    async def _build(self, url: str) -> None:
        started = time.monotonic()
        while (reason := await asyncio.to_thread(_missing, url, self.answer)) is not None:
            waited = time.monotonic() - started
            if waited > self.deadline:
                raise ImageFactoryError(
                    f"the Image Factory has no image at {url} after {waited:.0f} s ({reason}); run `pulumi up` again, "
                    "which goes on from there, or name another factory in homelab:talos.factory"
                )
            pulumi.log.info(f"waiting for the Image Factory to build {url}: {reason} ({waited:.0f} s)")
            if reason != _BUILDING:
                await asyncio.sleep(self.pause)


_BUILDING = "no answer yet"


def _missing(url: str, answer: float) -> str | None:
    """Why the image at `url` is not there yet; None if it is.

    Raises ImageFactoryError when waiting will not help.
    """
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=answer):
            return None
    except urllib.error.HTTPError as error:
        if error.code < 500:
            raise ImageFactoryError(
                f"the Image Factory refuses the image at {url} ({error.code} {error.reason}); "
                "check homelab:versions.talos, homelab:talos.extensions and homelab:talos.factory"
            ) from None
        return f"{error.code} {error.reason}"
    except (OSError, TimeoutError) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise ImageFactoryError(
                f"the certificate of the Image Factory at {url} is not accepted: {reason}"
            ) from None
        return _BUILDING if isinstance(reason, TimeoutError) else str(reason)
