"""Subresources that are a conversation with somebody else: log, exec, attach, portforward, proxy."""

from __future__ import annotations

from typing import cast
from urllib.parse import urlencode

from pybernetes.api.core_v1 import Pod
from pybernetes.control_plane.apiserver.admission.attributes import Attributes
from pybernetes.control_plane.apiserver.authorization.attributes import Attributes as Action
from pybernetes.control_plane.apiserver.authorization.webhook import Undecided, settled
from pybernetes.control_plane.apiserver.call import Call, Result
from pybernetes.control_plane.apiserver.connect.links import rewriter
from pybernetes.control_plane.apiserver.connect.relay import Backend, relay
from pybernetes.control_plane.apiserver.connect.targets import split_name
from pybernetes.control_plane.apiserver.http import Request
from pybernetes.control_plane.apiserver.objects import AnyObject
from pybernetes.control_plane.apiserver.resource import Subresource
from pybernetes.control_plane.apiserver.subresources.options import options_of
from pybernetes.machinery import errors, field

_LOG_NUMBERS = ("sinceSeconds", "tailLines", "limitBytes")
_LOG_FLAGS = ("follow", "previous", "timestamps")


class PodStream(Subresource):
    """What the kubelet of the Pod's node serves."""

    verbs: tuple[str, ...] = ("create", "get")

    async def pod_of(self, call: Call) -> Pod:
        """The Pod, after the caches are fresh. Raises 404."""
        await self.core.cache.fresh()
        item = self.core.item("", "pods", call.info.namespace, call.info.name)
        if item is None:
            raise errors.not_found(("", "pods"), call.info.name)
        return cast(Pod, item.obj)

    async def admit(self, call: Call) -> None:
        """Admission of a CONNECT."""
        options = cast(AnyObject, options_of(self.kind, call))
        attributes = Attributes(
            "CONNECT", self.resource, call.info.namespace, call.info.name, options, None, call.user, self.name
        )
        attributes.annotations = call.annotations
        await self.core.admission.admit(attributes)
        await self.core.admission.validate(attributes)

    async def _may_create(self, call: Call) -> None:
        """A WebSocket begins with a GET, and whoever may only read must not run commands. Raises 403."""
        authorizer = self.core.patient_authorizer or self.core.authorizer
        user = call.user
        if call.method == "POST" or authorizer is None or user is None:
            return
        action = Action("create", "", "pods", call.info.namespace, call.info.name, self.name, version="v1")
        try:
            authorizer.require(user, action)
        except Undecided as missing:
            await settled(lambda: authorizer.require(user, action), missing)

    def backend(self, pod: Pod) -> Backend:
        """The kubelet. Raises 400 when the Pod has no node yet."""
        if not pod.spec.node_name:
            raise errors.bad_request(f"pod {pod.metadata.name} does not have a host assigned")
        return cast(Backend, self.core.connector.kubelet(pod.spec.node_name))

    def path(self, call: Call, pod: Pod) -> str:
        """The kubelet's path and query."""
        raise NotImplementedError

    async def handle(self, call: Call) -> Result | None:
        request = _request(call)
        await self._may_create(call)
        pod = await self.pod_of(call)
        target = self.path(call, pod)
        await self.admit(call)
        await relay(request, self.backend(pod), target.encode(), _dial_error)
        return None


class Exec(PodStream):
    name = "exec"
    kind = "PodExecOptions"

    def path(self, call: Call, pod: Pod) -> str:
        command = call.params.get("command")
        query: list[tuple[str, str]] = [("command", part) for part in command or ()]
        if not command:
            raise errors.invalid("", "PodExecOptions", "", [field.required("command", "")])
        return self.container_path(call, pod, query)

    def container_path(self, call: Call, pod: Pod, query: list[tuple[str, str]]) -> str:
        for ours, theirs in (("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")):
            if call.flag(ours):
                query.append((theirs, "1"))
        if not any(name in ("input", "output", "error") for name, _ in query):
            raise errors.bad_request("at least one of stdin, stdout, stderr must be specified")
        container = container_of(call, pod)
        name = f"{pod.metadata.namespace}/{pod.metadata.name}/{container}"
        return f"/{self.name}/{name}?{urlencode(query)}"


class Attach(Exec):
    name = "attach"
    kind = "PodAttachOptions"

    def path(self, call: Call, pod: Pod) -> str:
        return self.container_path(call, pod, [])


class PortForward(PodStream):
    name = "portforward"
    kind = "PodPortForwardOptions"

    def path(self, call: Call, pod: Pod) -> str:
        ports = [("port", port) for port in call.params.get("ports", ())]
        query = f"?{urlencode(ports)}" if ports else ""
        return f"/portForward/{pod.metadata.namespace}/{pod.metadata.name}{query}"


class Log(PodStream):
    name = "log"
    verbs = ("get",)

    def path(self, call: Call, pod: Pod) -> str:
        _check_log(call)
        container = container_of(call, pod)
        query: list[tuple[str, str]] = [(name, "true") for name in _LOG_FLAGS if call.flag(name)]
        query += [(name, call.param(name)) for name in (*_LOG_NUMBERS, "sinceTime", "stream") if call.param(name)]
        path = f"/containerLogs/{pod.metadata.namespace}/{pod.metadata.name}/{container}"
        return f"{path}?{urlencode(query)}" if query else path

    async def handle(self, call: Call) -> Result | None:
        pod = await self.pod_of(call)
        target = self.path(call, pod)
        if not pod.spec.node_name:
            return Result(204, raw=b"", media_type=b"text/plain")
        await relay(_request(call), self.backend(pod), target.encode(), _log_error)
        return None


def _check_log(call: Call) -> None:
    wrong: list[field.FieldError] = []
    for name in _LOG_NUMBERS:
        value = call.integer(name)
        least = 0 if name == "tailLines" else 1
        if value is not None and value < least:
            text = "must be greater than or equal to 0" if least == 0 else "must be greater than 0"
            wrong.append(field.invalid(name, value, text))
    if call.param("sinceSeconds") and call.param("sinceTime"):
        wrong.append(field.forbidden("", "at most one of `sinceTime` or `sinceSeconds` may be specified"))
    if wrong:
        raise errors.invalid("", "PodLogOptions", call.info.name, wrong)


def container_of(call: Call, pod: Pod) -> str:
    """The container that is meant. Raises 400."""
    wanted = call.param("container")
    names = [c.name for c in pod.spec.containers]
    init = [c.name for c in pod.spec.init_containers or ()]
    if wanted:
        others = [c.name for c in pod.spec.ephemeral_containers or ()]
        if wanted not in (*names, *init, *others):
            raise errors.bad_request(f"container {wanted} is not valid for pod {pod.metadata.name}")
        return wanted
    if len(names) == 1:
        return names[0]
    text = f"a container name must be specified for pod {pod.metadata.name}, choose one of: [{' '.join(names)}]"
    if init:
        text += f" or one of the init containers: [{' '.join(init)}]"
    raise errors.bad_request(text)


class Proxy(Subresource):
    """Any request, to the root of something or to a path below."""

    name = "proxy"
    verbs = ("create", "delete", "get", "patch", "update")
    any_method = True

    def backend(self, call: Call) -> Backend:
        raise NotImplementedError

    async def handle(self, call: Call) -> Result | None:
        request = _request(call)
        await self.core.cache.fresh()
        backend = self.backend(call)
        below = call.path.partition(f"/{call.info.name}/proxy")[2]
        options = cast(AnyObject, options_of(self.kind, call, below))
        attributes = Attributes(
            "CONNECT", self.resource, call.info.namespace, call.info.name, options, None, call.user, "proxy"
        )
        attributes.annotations = call.annotations
        await self.core.admission.admit(attributes)
        await self.core.admission.validate(attributes)
        path = call.path
        prefix, _, rest = path.partition(f"/{call.info.name}/proxy")
        prefix += f"/{call.info.name}/proxy"
        if not rest and call.method in ("GET", "HEAD") and not request.header(b"upgrade"):
            location = prefix + "/" + (f"?{request.query}" if request.query else "")
            return Result(301, raw=b"", media_type=b"text/html", headers=((b"Location", location.encode()),))
        # Goes on as it was sent. The prefix is counted off, for "/proxy" may begin a namespace's name as well.
        raw_rest = request.raw_path.split(b"/", prefix.count("/") + 1)[prefix.count("/") + 1 :]
        target = b"/" + b"".join(raw_rest) + (b"?" + request.raw_query if request.raw_query else b"")
        extra = (
            (b"X-Forwarded-Uri", path.encode()),
            (b"X-Forwarded-Host", request.header(b"host")),
            (b"X-Forwarded-Proto", b"https"),
        )
        await relay(request, backend, target, _service_error, extra=extra, rewrite=rewriter(prefix, backend.authority))
        return None


class NodeProxy(Proxy):
    kind = "NodeProxyOptions"

    def backend(self, call: Call) -> Backend:
        scheme, name, port = split_name(call.info.name)
        return cast(Backend, self.core.connector.kubelet(name, int(port) if port.isdigit() else 0, scheme))


class PodProxy(Proxy):
    kind = "PodProxyOptions"

    def backend(self, call: Call) -> Backend:
        scheme, name, port = split_name(call.info.name)
        return cast(Backend, self.core.connector.pod(call.info.namespace, name, scheme, port))


class ServiceProxy(Proxy):
    kind = "ServiceProxyOptions"

    def backend(self, call: Call) -> Backend:
        scheme, name, port = split_name(call.info.name)
        return cast(Backend, self.core.connector.service(call.info.namespace, name, scheme, port))


def _request(call: Call) -> Request:
    if call.request is None:
        raise errors.bad_request("streams are not available in process: connect over HTTP")
    return call.request


def _dial_error(error: Exception) -> errors.StatusError:
    return errors.internal(f"error dialing backend: {error}")


def _log_error(error: Exception) -> errors.StatusError:
    return errors.internal(f"error reading the log: {error}")


def _service_error(error: Exception) -> errors.StatusError:
    return errors.service_unavailable(f"error trying to reach service: {error}")
