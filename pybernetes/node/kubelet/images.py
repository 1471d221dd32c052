"""Getting images: presence, pull policy, credentials, back-off, and what users are told of it.

A failed pull shows as ErrImagePull for a moment and as ImagePullBackOff while it waits: 10 s, doubling to 300 s. One
image is pulled once at a time however many containers wait for it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from pybernetes.aio import clock
from pybernetes.api.core_v1 import Pod, Secret
from pybernetes.node.cri import ContainerRuntime, CRIError, Unavailable
from pybernetes.node.cri import types as t
from pybernetes.node.cri.image_names import Reference, parse
from pybernetes.node.kubelet.restarts import INITIAL_BACK_OFF, MAX_BACK_OFF

#: How long ErrImagePull is shown before ImagePullBackOff, seconds.
SHOWN = 2.0
#: For how long the sight of an image counts, seconds: no image that is new here is removed as quickly.
GLIMPSE = 5.0

Tell = Callable[[str, str, str], None]


class ImageTrouble(Exception):
    """The image is not there: the waiting reason, its message, and when to ask again (Unix seconds)."""

    def __init__(self, reason: str, message: str, retry_at: float) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.retry_at = retry_at


class Images:
    """`ensure` for one container; shared by all pods of the node."""

    def __init__(self, runtime: ContainerRuntime, parallel: int = 4) -> None:
        self._runtime = runtime
        self._slots = asyncio.Semaphore(parallel)
        self._back_off: dict[tuple[str, str], tuple[float, float, str]] = {}  # (uid, image): delay, until, last error
        self._flying: dict[tuple[str, str], asyncio.Future[None]] = {}
        self._glimpsed: dict[tuple[str, str], tuple[float, t.Image]] = {}  # (uid, image): when it was seen, and it
        #: When an image was last seen in use, for garbage collection.
        self.used_at: dict[str, float] = {}

    async def ensure(
        self, pod: Pod, image: str, policy: str, secrets: Callable[[], Awaitable[Sequence[Secret]]], tell: Tell
    ) -> t.Image:
        """The image, present. `tell(type, reason, message)` records events. Raises ImageTrouble."""
        now = clock.timestamp()
        try:
            reference = parse(image)
        except ValueError:
            message = (
                f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}": '
                "invalid reference format"
            )
            tell("Warning", "InspectFailed", message)
            raise ImageTrouble("InvalidImageName", message, now + 300) from None
        try:
            seen, present = self._glimpsed.pop((pod.metadata.uid, image), (0.0, None))
            if present is None or now - seen > GLIMPSE:
                present = await self._runtime.image_status(image)
        except Unavailable:
            raise
        except CRIError as error:
            message = f'Failed to inspect image "{image}": {error.message}'
            tell("Warning", "InspectFailed", message)
            raise ImageTrouble("ImageInspectError", message, now + INITIAL_BACK_OFF) from None
        policy = policy or ("Always" if reference.tag == "latest" else "IfNotPresent")
        if present is not None and policy != "Always":
            self.used_at[present.id] = now
            tell(
                "Normal",
                "Pulled",
                f'Container image "{image}" already present on machine and can be accessed by the pod',
            )
            return present
        if policy == "Never":
            message = f'Container image "{image}" is not present with pull policy of Never'
            tell("Warning", "ErrImageNeverPull", message)
            raise ImageTrouble("ErrImageNeverPull", message, now + INITIAL_BACK_OFF)
        self._check_back_off(pod, image, now, tell)
        await self._pull(pod, image, reference, await secrets(), tell)
        found = await self._runtime.image_status(image)
        if found is None:
            raise ImageTrouble("ErrImagePull", f'image "{image}" disappeared after it was pulled', now + SHOWN)
        self.used_at[found.id] = clock.timestamp()
        return found

    async def glimpse(self, pod: Pod, image: str) -> None:
        """Look for an image while there is time, so that `ensure` need not ask if it is there."""
        with contextlib.suppress(CRIError):
            if found := await self._runtime.image_status(image):
                self._glimpsed[pod.metadata.uid, image] = clock.timestamp(), found

    def forget(self, uid: str) -> None:
        """The pod is gone."""
        for table in (self._back_off, self._glimpsed):
            for key in [key for key in table if key[0] == uid]:
                del table[key]

    def _check_back_off(self, pod: Pod, image: str, now: float, tell: Tell) -> None:
        entry = self._back_off.get((pod.metadata.uid, image))
        if entry is not None and now < entry[1]:
            message = f'Back-off pulling image "{image}"'
            tell("Normal", "BackOff", message)
            raise ImageTrouble("ImagePullBackOff", f"{message}: ErrImagePull: {entry[2]}", entry[1])

    async def _pull(self, pod: Pod, image: str, reference: Reference, secrets: Sequence[Secret], tell: Tell) -> None:
        tell("Normal", "Pulling", f'Pulling image "{image}"')
        asked = clock.monotonic()
        credentials = [*credentials_for(reference, secrets), None]
        last: CRIError | None = None
        for auth in credentials:
            try:
                started = await self._pull_once(image, auth)
            except Unavailable:
                raise
            except CRIError as error:
                last = error
                continue
            took, total = clock.monotonic() - started, clock.monotonic() - asked
            status = await self._runtime.image_status(image)
            size = status.size if status else 0
            tell(
                "Normal",
                "Pulled",
                f'Successfully pulled image "{image}" in {_seconds(took)} ({_seconds(total)} including waiting). '
                f"Image size: {size} bytes.",
            )
            self._back_off.pop((pod.metadata.uid, image), None)
            return
        assert last is not None
        now = clock.timestamp()
        old = self._back_off.get((pod.metadata.uid, image))
        delay = min(old[0] * 2, MAX_BACK_OFF) if old else INITIAL_BACK_OFF
        self._back_off[pod.metadata.uid, image] = (delay, now + delay, last.message)
        tell("Warning", "Failed", f'Failed to pull image "{image}": {last.message}')
        raise ImageTrouble("ErrImagePull", last.message, now + SHOWN)

    async def _pull_once(self, image: str, auth: t.AuthConfig | None) -> float:
        """Pull, or wait for the same pull of another container; when it began."""
        key = (image, repr(auth))
        if (flying := self._flying.get(key)) is not None:
            started = clock.monotonic()
            await asyncio.shield(flying)
            return started
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody else may be waiting
        self._flying[key] = future
        try:
            async with self._slots:
                started = clock.monotonic()
                await self._runtime.pull_image(image, auth)
            future.set_result(None)
            return started
        except CRIError as error:
            future.set_exception(error)
            raise
        finally:
            del self._flying[key]
            if not future.done():  # cancelled: whoever waits asks again
                future.set_exception(CRIError("the pull was interrupted"))


def _seconds(value: float) -> str:
    return f"{value:.3f}s" if value >= 1 else f"{value * 1000:.0f}ms"


def credentials_for(reference: Reference, secrets: Sequence[Secret]) -> list[t.AuthConfig]:
    """Credentials in pull secrets that fit the registry (and repository path) of an image, best match first. Pure."""
    found: list[tuple[int, t.AuthConfig]] = []
    for secret in secrets:
        data = secret.data or {}
        try:
            if ".dockerconfigjson" in data:
                table: Any = json.loads(base64.b64decode(data[".dockerconfigjson"])).get("auths", {})
            elif ".dockercfg" in data:
                table = json.loads(base64.b64decode(data[".dockercfg"]))
            else:
                continue
            for server, entry in table.items():
                host, _, path = server.removeprefix("https://").removeprefix("http://").partition("/")
                path = "" if path.rstrip("/") in ("v1", "v2") else path.rstrip("/")
                if _matches(host, reference.domain) and f"{reference.path}/".startswith(f"{path}/" if path else ""):
                    found.append((len(path), _auth(entry, server)))
        except (ValueError, AttributeError, binascii.Error):
            continue
    return [auth for _, auth in sorted(found, key=lambda pair: -pair[0])]


def _matches(pattern: str, domain: str) -> bool:
    if pattern in ("index.docker.io", "registry-1.docker.io"):
        pattern = "docker.io"
    left, right = pattern.split("."), domain.split(".")
    return pattern == domain or (
        len(left) == len(right) and all(a == b or a == "*" for a, b in zip(left, right, strict=True))
    )


def _auth(entry: dict[str, str], server: str) -> t.AuthConfig:
    user, password = entry.get("username", ""), entry.get("password", "")
    if not user and entry.get("auth"):
        user, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
    return t.AuthConfig(
        username=user, password=password, identity_token=entry.get("identitytoken", ""), server_address=server
    )
