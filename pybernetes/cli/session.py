"""One command's view of the cluster: kubeconfig, connection, discovery and the basic requests, each made when first
used."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pybernetes.cli.errors import APIError, CLIError
from pybernetes.cli.preferences import Preferences
from pybernetes.cli.rawhttp import HTTP, Reply

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.resources import Resource, Resources
    from pybernetes.cli.websocket import WebSocket
    from pybernetes.client.kubeconfig import Connection, Kubeconfig

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


def wall_clock() -> float:
    """Unix seconds."""
    from pybernetes.aio import clock

    return clock.timestamp()


def pause(seconds: float) -> None:
    """Wait: this program is one thread that asks and prints."""
    import threading

    threading.Event().wait(seconds)


class Session:
    """What a verb works with."""

    def __init__(self, flags: Flags) -> None:
        self.flags = flags
        self.out = sys.stdout
        self.err = sys.stderr
        self.preferences = Preferences()
        #: False when `describe` shows several objects.
        self.show_events = True

    @cached_property
    def kubeconfig(self) -> Kubeconfig:
        """The merged kubeconfig files."""
        from pybernetes.client import kubeconfig
        from pybernetes.client.errors import ConfigError

        explicit = self.flags.text("kubeconfig")
        try:
            return kubeconfig.load(kubeconfig.paths(explicit), explicit=bool(explicit))
        except ConfigError as error:
            raise CLIError(str(error)) from None

    @cached_property
    def connection(self) -> Connection:
        """Where and as whom, flags over kubeconfig. Raises CLIError."""
        from dataclasses import replace

        from pybernetes.client import kubeconfig
        from pybernetes.client.errors import ConfigError
        from pybernetes.client.kubeconfig import Connection

        flags = self.flags
        server = flags.text("server")
        user = flags.text("user") if flags.declared["user"].kind == "=" else ""  # a subject of `create rolebinding`
        if server and "://" not in server:
            server = f"http://{server}"
        try:
            if self.kubeconfig.clusters or flags.text("kubeconfig") or server:
                if not self.kubeconfig.contexts and server:
                    found = Connection(server.rstrip("/"))
                else:
                    found = self.kubeconfig.connection(
                        flags.text("context"), cluster=flags.text("cluster"), user=user, server=server
                    )
            else:
                try:
                    found = kubeconfig.in_cluster()
                except ConfigError:
                    found = Connection("http://localhost:8080")
        except ConfigError as error:
            raise CLIError(str(error)) from None
        changes: dict[str, Any] = {}
        for flag, name in (
            ("token", "token"),
            ("username", "username"),
            ("password", "password"),
            ("as", "impersonate"),
            ("as-uid", "impersonate_uid"),
            ("tls-server-name", "tls_server_name"),
        ):
            if flags.given(flag):
                changes[name] = flags.text(flag)
        if flags.given("token"):
            changes.update(token_file="", exec_plugin=None)
        if flags.many("as-group"):
            changes["impersonate_groups"] = tuple(flags.many("as-group"))
        if flags.many("as-user-extra"):
            extra: dict[str, list[str]] = {}
            for pair in flags.many("as-user-extra"):
                key, _, value = pair.partition("=")
                extra.setdefault(key, []).append(value)
            changes["impersonate_extra"] = tuple((k, tuple(v)) for k, v in extra.items())
        if flags.on("insecure-skip-tls-verify"):
            changes.update(insecure=True, ca=None)
        for flag, name in (
            ("certificate-authority", "ca"),
            ("client-certificate", "client_certificate"),
            ("client-key", "client_key"),
        ):
            if path := flags.text(flag):
                try:
                    with open(path, "rb") as file:
                        changes[name] = file.read()
                except OSError as error:
                    raise CLIError(f"unable to read {flag} {path}: {error.strerror}") from None
        if flags.given("proxy-url"):
            changes["proxy_url"] = flags.text("proxy-url")
        made = replace(found, **changes)
        if made.exec_plugin is not None:
            self.preferences.check_plugin(made.exec_plugin.command)
        return made

    @property
    def namespace(self) -> str:
        """The namespace of this command."""
        return self.flags.text("namespace") or self.connection.namespace

    @cached_property
    def http(self) -> HTTP:
        """The connection to the server."""
        timeout = seconds(self.flags.text("request-timeout")) or None
        return HTTP(self.connection, timeout=timeout, verbosity=self.flags.number("v"))

    @cached_property
    def resources(self) -> Resources:
        """Discovery."""
        from pybernetes.cli.resources import Resources

        home = os.environ.get("HOME") or os.path.expanduser("~")
        cache = os.environ.get("KUBECACHEDIR") or os.path.join(home, ".kube", "cache")
        return Resources(self.http, self.flags.text("cache-dir") or cache)

    # Requests

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: dict[str, str] | list[tuple[str, str]] | None = None,
        content: str = JSON,
        accept: str = JSON,
    ) -> Any:
        """One request with a JSON answer. Raises APIError."""
        reply = self.open(method, path, body, query=query, content=content, accept=accept)
        data = reply.read()
        return json.loads(data) if data else None

    def open(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: dict[str, str] | list[tuple[str, str]] | None = None,
        content: str = JSON,
        accept: str = JSON,
        http: HTTP | None = None,
    ) -> Reply:
        """One request; the answer before its body is read. Raises APIError for one that is not a success."""
        reply = (http or self.http).request(
            method,
            _with_query(path, query),
            body if isinstance(body, bytes) or body is None else json.dumps(body, sort_keys=True).encode(),
            {"Accept": accept, **({"Content-Type": content} if body is not None else {})},
        )
        if reply.code >= 300:
            raise self.error(reply)
        return reply

    def error(self, reply: Reply) -> APIError:
        """The APIError of an answer."""
        data = reply.read()
        try:
            status = json.loads(data)
            if isinstance(status, dict) and status.get("kind") == "Status":
                return APIError(status, reply.code)
        except ValueError:
            pass
        return APIError({"message": data.decode("utf-8", "replace").strip(), "code": reply.code}, reply.code)

    def upgrade(
        self,
        path: str,
        query: list[tuple[str, str]],
        protocols: tuple[str, ...] = ("v5.channel.k8s.io", "v4.channel.k8s.io"),
    ) -> WebSocket:
        """A WebSocket on a connection of its own. Raises APIError."""
        from pybernetes.cli.websocket import WebSocket

        found = self.http.another().upgrade(_with_query(path, query), protocols)
        if isinstance(found, WebSocket):
            return found
        error = self.error(found)
        if not error.reason:
            raise CLIError(f"unable to upgrade connection: {error}")
        raise error

    def get(self, resource: Resource, namespace: str, name: str, subresource: str = "") -> dict[str, Any]:
        """One object. Raises APIError."""
        found = self.call("GET", resource.path(namespace, name, subresource))
        assert isinstance(found, dict)
        return found

    def list(self, resource: Resource, namespace: str, *, selector: str = "", fields: str = "") -> list[dict[str, Any]]:
        """All objects of a collection, their apiVersion and kind filled in. Raises APIError."""
        query = {"labelSelector": selector, "fieldSelector": fields, "limit": "500"}
        items: list[dict[str, Any]] = []
        while True:
            with listing(resource, selector, fields):
                page = self.call("GET", resource.path(namespace), query={k: v for k, v in query.items() if v})
            kind = (page.get("kind") or "List").removesuffix("List") or resource.kind
            for item in page.get("items") or ():
                items.append({"apiVersion": page.get("apiVersion"), "kind": kind, **item})
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return items
            query["continue"] = token

    def watch(self, path: str, query: dict[str, str], *, accept: str = JSON) -> Iterator[dict[str, Any]]:
        """The events of a watch until the server ends it. Raises APIError."""
        http = self.http.another()
        try:
            reply = self.open("GET", path, query={**query, "watch": "true"}, accept=accept, http=http)
            for line in reply.lines():
                if line.strip():
                    yield json.loads(line)
        except EOFError:
            return
        finally:
            http.close()

    # Printing

    def say(self, text: str) -> None:
        """A line on standard output."""
        self.out.write(text + "\n")

    def warn(self, text: str) -> None:
        """A line on standard error."""
        self.out.flush()
        self.err.write(text + "\n")


@contextmanager
def listing(resource: Resource, selector: str, fields: str) -> Iterator[None]:
    """Errors inside say what was looked for."""
    try:
        yield
    except APIError as error:
        if error.reason not in ("BadRequest", "NotFound"):
            raise
        what = f'Unable to list "{resource.gvr}"'
        if selector or fields:
            matches = f'match label selector "{selector}", field selector "{fields}"'
            what = f'Unable to find "{resource.gvr}" that {matches}'
        raise error.within(what) from None


def _with_query(path: str, query: dict[str, str] | list[tuple[str, str]] | None) -> str:
    if not query:
        return path
    from urllib.parse import urlencode

    return f"{path}?{urlencode(query)}"


_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(text: str) -> float:
    """Go's durations (`1h30m`, `5s`, `0`) in seconds; a plain number is seconds. Raises CLIError."""
    import re

    if re.fullmatch(r"-?\d+(\.\d+)?", text):
        return float(text)
    sign = -1.0 if text.startswith("-") else 1.0
    parts = re.findall(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)", text)
    if not parts or "".join(a + b for a, b in parts) != text.lstrip("+-"):
        raise CLIError(f'time: invalid duration "{text}"')
    return sign * sum(float(number) * _UNITS[unit] for number, unit in parts)
