"""The node's own API: logs, exec, attach and port-forward for the API server, statistics and metrics for scrapers."""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, cast

import msgspec

from pybernetes.aio import clock, files
from pybernetes.aio.tasks import Nursery, Ready
from pybernetes.machinery.exposition import CONTENT_TYPE
from pybernetes.machinery.meta import Status
from pybernetes.node.cri import CRIError, Unsupported
from pybernetes.node.kubelet import inspection, logs, metrics, stats, streaming
from pybernetes.node.kubelet.host import offload
from pybernetes.node.kubelet.http_server import HTTPServer, Refusal, Request, Response
from pybernetes.node.kubelet.restarts import find_container
from pybernetes.node.kubelet.server_auth import Gate
from pybernetes.node.kubelet.state import EXITED, RUNNING, Run
from pybernetes.node.kubelet.volumes import provisioned
from pybernetes.node.kubelet.worker import PodWorker

if TYPE_CHECKING:
    from pybernetes.node.kubelet.kubelet import Kubelet

log = logging.getLogger(__name__)

JSON = "application/json"
#: What /statusz names.
PATHS = ("/configz", "/flagz", "/healthz", "/logs", "/metrics", "/pods", "/stats/summary")


class Server:
    """`run()` until cancelled; `ready` carries `host:port`."""

    def __init__(self, kubelet: Kubelet) -> None:
        self.ready: Ready[str] = Ready()
        self._kubelet = kubelet
        self._started = clock.timestamp()
        self._asked = 0  # how often whether we are well
        self._gate = Gate(kubelet.client, kubelet.config.node_name)

    async def run(self) -> None:
        config = self._kubelet.config
        context = self._tls()
        server = HTTPServer(self._handle, config.address, config.port, context)
        async with Nursery("kubelet-server") as nursery:
            task = nursery.start(server.run(), "http")
            nursery.start(self._keep_certificate(context), "certificate")
            nursery.start(self._announce(server), "ready")
            await task

    async def _announce(self, server: HTTPServer) -> None:
        await server.started.wait()
        self.ready.set(server.address)

    def _tls(self) -> ssl.SSLContext:
        config = self._kubelet.config
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if config.client_ca is not None:
            context.load_verify_locations(config.client_ca)
            context.verify_mode = ssl.CERT_OPTIONAL
        return context

    async def _keep_certificate(self, context: ssl.SSLContext) -> None:
        """The certificate as it is in its files, now and after each renewal. Before the first one nobody gets in."""
        config = self._kubelet.config
        assert config.tls_cert is not None and config.tls_key is not None
        watched = files.Watched({config.tls_cert, config.tls_key}, 0.25)
        while True:
            try:
                context.load_cert_chain(config.tls_cert, config.tls_key)
            except FileNotFoundError:
                log.info("waiting for the serving certificate %s", config.tls_cert)
            except OSError as error:  # ssl.SSLError is one: the two files are being replaced
                log.warning("serving certificate %s: %s", config.tls_cert, error)
            else:
                watched.interval = files.INTERVAL
            await watched.change()

    async def _handle(self, request: Request) -> Response:
        await self._gate.check(request)
        kind, *rest = request.path.strip("/").split("/")
        try:
            match kind, rest:
                case "healthz", _:
                    self._asked += 1
                    return Response(body=b"ok")
                case "containerLogs", [namespace, pod, container]:
                    try:
                        answer = self._logs(request, namespace, pod, container)
                    except Refusal as refusal:
                        return _status(refusal)
                    if request.header("upgrade").lower() == "websocket" and answer.body is not None:
                        return await streaming.send_messages(request, answer.body)
                    return answer
                case "exec", [namespace, pod, container] | [namespace, pod, _, container]:
                    return await self._exec(request, namespace, pod, container)
                case "attach", [namespace, pod, container] | [namespace, pod, _, container]:
                    return await self._attach(request, namespace, pod, container)
                case "portForward", [namespace, pod] | [namespace, pod, _]:
                    return await self._port_forward(request, namespace, pod)
                case "run", [namespace, pod, container] | [namespace, pod, _, container]:
                    return await self._run_command(request, namespace, pod, container)
                case provisioned.PATH, [name]:
                    return await self._volume(request, name)
                case "pods", []:
                    return self._pods(running_only=False)
                case "runningpods", []:
                    return self._pods(running_only=True)
                case "configz", []:
                    return self._config()
                case "logs", below:
                    slash = "/" if request.path.endswith("/") and below else ""
                    path = "/".join(below) + slash
                    if not below and not request.path.endswith("/"):
                        return Response(301, headers={"Location": "/logs/"})
                    config = self._kubelet.config
                    return cast(
                        Response, await offload(config, inspection.system_log, config.system_log_dir, path, config)
                    )
                case "statusz", []:
                    return inspection.statusz(self._started, PATHS)
                case "flagz", []:
                    return inspection.flagz(self._kubelet.config)
                case "stats", ["summary"]:
                    return Response(body=msgspec.json.encode(await stats.summary(self._kubelet)), content_type=JSON)
                case "metrics", []:
                    return Response(body=metrics.own(self._kubelet), content_type=CONTENT_TYPE)
                case "metrics", ["resource"]:
                    return Response(body=await metrics.resources(self._kubelet), content_type=CONTENT_TYPE)
                case "metrics", ["probes"]:
                    return Response(body=metrics.probes(self._kubelet), content_type=CONTENT_TYPE)
                case "metrics", ["cadvisor"]:
                    return Response(body=await metrics.cadvisor(self._kubelet), content_type=CONTENT_TYPE)
                case "metrics", ["slis"]:
                    return Response(body=metrics.slis(self._asked), content_type=CONTENT_TYPE)
        except Unsupported as error:
            raise Refusal(501, error.message) from None
        except CRIError as error:
            raise Refusal(500, error.message) from None
        raise Refusal(404, "404 page not found\n")

    # --- logs ---

    def _worker(self, namespace: str, name: str) -> PodWorker:
        worker = self._kubelet.find(namespace, name)
        if worker is None:
            raise Refusal(404, f'pod "{name}" does not exist')
        return worker

    def _logs(self, request: Request, namespace: str, name: str, container: str) -> Response:
        worker = self._worker(namespace, name)
        run = self._run_for_logs(worker, container, previous=request.flag("previous"))
        options = log_options(request)
        path = self._kubelet.host.paths.log_file(namespace, name, worker.pod.metadata.uid, container, run.restart_count)
        if not path.exists():
            if not options.follow or run.state != RUNNING:
                return Response(body=b"")
            path.parent.mkdir(parents=True, exist_ok=True)
        if options.follow:
            body = _limited(logs.follow(path, options, lambda: run.state == EXITED), options.limit_bytes)
        else:
            body = _from(logs.limited(_blocks(logs.read(path, options)), options.limit_bytes))
        return Response(body=body)

    def _run_for_logs(self, worker: PodWorker, container: str, *, previous: bool) -> Run:
        pod = worker.pod.metadata.name
        if find_container(worker.pod, container) is None:
            raise Refusal(404, f'container "{container}" in pod "{pod}" is not available')
        if previous:
            runs = worker.state.runs.get(container, [])
            ended = [run for run in runs[:-1] if run.state == EXITED]
            if runs and runs[-1].state == EXITED:
                ended = [run for run in runs if run.state == EXITED]
            if not ended:
                raise Refusal(400, f'previous terminated container "{container}" in pod "{pod}" not found')
            return ended[-1]
        run = worker.state.latest(container)
        if run is None:
            trouble = worker.state.trouble.get(container)
            reason = trouble.reason if trouble else "ContainerCreating"
            if not trouble and worker.pod.spec.init_containers:
                reason = "PodInitializing"
            if reason in ("ErrImagePull", "ImagePullBackOff"):
                text = "trying and failing to pull image"
                raise Refusal(400, f'container "{container}" in pod "{pod}" is waiting to start: {text}')
            raise Refusal(400, f'container "{container}" in pod "{pod}" is waiting to start: {reason}')
        return run

    # --- streams ---

    def _running(self, namespace: str, name: str, container: str) -> tuple[PodWorker, Run]:
        worker = self._worker(namespace, name)
        run = worker.state.latest(container)
        if run is None or run.state != RUNNING:
            raise Refusal(404, f'container not found ("{container}")')
        return worker, run

    async def _exec(self, request: Request, namespace: str, name: str, container: str) -> Response:
        _, run = self._running(namespace, name, container)
        streams = _streams(request)
        command = request.query.get("command", [])
        url = await self._kubelet.runtime.exec_url(run.id, command, **streams._asdict())
        return await streaming.hand_over(request, url, streams)

    async def _attach(self, request: Request, namespace: str, name: str, container: str) -> Response:
        worker, run = self._running(namespace, name, container)
        spec = find_container(worker.pod, container)
        streams = _streams(request)
        tty = bool(spec and spec.tty)  # what the container has, whatever the caller thinks
        streams = streams._replace(tty=tty, stderr=streams.stderr and not tty)
        url = await self._kubelet.runtime.attach_url(run.id, **streams._asdict())
        return await streaming.hand_over(request, url, streams)

    async def _port_forward(self, request: Request, namespace: str, name: str) -> Response:
        worker = self._worker(namespace, name)
        box = worker.state.sandbox
        if box is None or not box.ready:
            raise Refusal(404, f'sandbox of pod "{name}" not found')
        ports = [int(p) for values in request.query.get("port", []) for p in values.split(",") if p.isdigit()]
        return await streaming.hand_over(request, await self._kubelet.runtime.port_forward_url(box.id, ports))

    async def _run_command(self, request: Request, namespace: str, name: str, container: str) -> Response:
        _, run = self._running(namespace, name, container)
        command = request.arg("cmd").split()
        result = await self._kubelet.runtime.exec_sync(run.id, command, 0)
        if result.exit_code:
            raise Refusal(500, f"command '{' '.join(command)}' exited with {result.exit_code}")
        return Response(body=result.stdout + result.stderr)

    # --- disks ---

    async def _volume(self, request: Request, name: str) -> Response:
        """Make or remove a volume of the built-in StorageClass."""
        config = self._kubelet.config
        if config.volume_dir is None or request.method not in ("PUT", "DELETE"):
            raise Refusal(405, "method not allowed")
        try:
            if request.method == "DELETE":
                await offload(config, provisioned.remove, config.volume_dir, name, request.arg("path"))
                return Response()
            path = await offload(config, provisioned.make, config.volume_dir, name)
        except LookupError as error:
            raise Refusal(409, str(error)) from None
        except OSError as error:
            raise Refusal(500, str(error)) from None
        return Response(body=msgspec.json.encode(provisioned.Made(path)), content_type=JSON)

    # --- what there is ---

    def _pods(self, *, running_only: bool) -> Response:
        items = []
        for worker in self._kubelet.workers.values():
            if not running_only or worker.state.running():
                items.append(msgspec.structs.replace(worker.pod, status=worker.status))
        body = msgspec.json.encode({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})
        return Response(body=body, content_type=JSON)

    def _config(self) -> Response:
        config = self._kubelet.config
        shown = {
            "kubeletconfig": {
                "kind": "KubeletConfiguration",
                "apiVersion": "kubelet.config.k8s.io/v1beta1",
                "address": config.address,
                "port": config.port,
                "clusterDomain": config.cluster_domain,
                "clusterDNS": list(config.cluster_dns),
                "maxPods": config.max_pods,
                "evictionHard": config.eviction_hard,
                "imageGCHighThresholdPercent": config.image_gc_high,
                "imageGCLowThresholdPercent": config.image_gc_low,
                "containerLogMaxFiles": config.log_max_files,
                "nodeLeaseDurationSeconds": config.lease_duration,
                "staticPodPath": str(config.manifest_dir or ""),
            }
        }
        return Response(body=msgspec.json.encode(shown), content_type=JSON)


def _status(refusal: Refusal) -> Response:
    """A refusal as an API Status: the API server passes answers for logs on as they are, and kubectl reads them."""
    reason = {400: "BadRequest", 404: "NotFound"}.get(refusal.status, "InternalError")
    status = Status(status="Failure", message=refusal.text, reason=reason, code=refusal.status)
    return Response(refusal.status, msgspec.json.encode(status), JSON)


def _streams(request: Request) -> streaming.Streams:
    """What the caller wants; the kubelet's names (`input`) and the API's (`stdin`) both count."""
    stdin = request.flag("input") or request.flag("stdin")
    stdout = request.flag("output") or request.flag("stdout")
    stderr = request.flag("error") or request.flag("stderr")
    tty = request.flag("tty")
    if not (stdin or stdout or stderr):
        raise Refusal(400, "you must specify at least 1 of stdin, stdout, stderr")
    return streaming.Streams(stdin, stdout, stderr and not tty, tty)


def log_options(request: Request) -> logs.LogOptions:
    """The options of a log request. Raises Refusal."""

    def number(name: str) -> int | None:
        text = request.arg(name)
        if not text:
            return None
        try:
            return int(text)
        except ValueError:
            raise Refusal(400, f"invalid {name}: {text!r}") from None

    since = None
    if (seconds := number("sinceSeconds")) is not None:
        since = clock.timestamp() - seconds
    elif text := request.arg("sinceTime"):
        try:
            since = clock.parse_rfc3339(text)
        except ValueError:
            raise Refusal(400, f"invalid sinceTime: {text!r}") from None
    stream = request.arg("stream")
    return logs.LogOptions(
        follow=request.flag("follow"),
        timestamps=request.flag("timestamps"),
        tail_lines=number("tailLines"),
        since=since,
        limit_bytes=number("limitBytes"),
        stream="" if stream in ("", "All") else stream.lower(),
    )


def _blocks(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Lines joined to pieces worth a packet."""
    piece: list[bytes] = []
    size = 0
    for line in lines:
        piece.append(line)
        size += len(line)
        if size >= 32 * 1024:
            yield b"".join(piece)
            piece, size = [], 0
    if piece:
        yield b"".join(piece)


async def _from(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def _limited(chunks: AsyncIterator[bytes], limit: int | None) -> AsyncIterator[bytes]:
    left = limit
    async for chunk in chunks:
        if left is None:
            yield chunk
            continue
        if chunk[:left]:
            yield chunk[:left]
        left -= len(chunk)
        if left <= 0:
            return


__all__ = ["Server", "log_options"]
