"""Whom to trust, from a token and a hash alone.

The machine knows nothing of the cluster but the line that a person copied. So it first asks without trust for the
public cluster-info, and believes it only if it is signed with the token and names an authority of the pinned hash;
then it asks again over TLS of that authority, and only then shows the token. The clock is compared with the server's
before anything that depends on it, for a wrong one looks like everything else: bad certificates, expired tokens.
"""

from __future__ import annotations

import email.utils
import http.client
import json
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Any

from pybernetes.aio import clock
from pybernetes.api.core_v1 import ConfigMap, Node
from pybernetes.bootstrap import join_tokens, pki
from pybernetes.bootstrap.cluster import ClusterError
from pybernetes.bootstrap.join_tokens import TokenError
from pybernetes.bootstrap.phases.run import Run
from pybernetes.client.client import Client
from pybernetes.client.errors import Unavailable
from pybernetes.client.http import HTTPTransport
from pybernetes.client.kubeconfig import Connection
from pybernetes.machinery.errors import StatusError

_PATH = "/api/v1/namespaces/kube-public/configmaps/cluster-info"
#: Seconds by which clocks may differ: certificates are made valid from five minutes before.
MAX_SKEW = 300.0
#: Seconds to wait for a server that does not answer yet, and for the signature of a token that was just made.
PATIENCE = 4.0


@dataclass(frozen=True)
class Info:
    """cluster-info as a server gave it, and the Date of its answer (Unix seconds; None without one)."""

    data: dict[str, str]
    date: float | None


def run(run: Run) -> None:
    """Set the connection, the authority and the cluster's configuration."""
    options = run.options
    host, port = split_endpoint(options.endpoint)
    authority = trusted(host, port, options)
    run.authority = authority
    run.connection = Connection(f"https://{options.endpoint}", ca=authority, token=options.token)
    run.settings = _ask(run.connection, options.node_name)
    run.say("discovery", f"{options.endpoint} is the cluster of the token, its authority is {_hashes(authority)[0]}")


def trusted(host: str, port: int, options: Any) -> bytes:
    """The CA (PEM) to trust. Raises ClusterError."""
    pins = options.discovery_token_ca_cert_hash or []
    if not pins and not options.discovery_token_unsafe_skip_ca_verification:
        raise ClusterError(
            "--discovery-token-ca-cert-hash is missing: it ties the cluster's certificate to the one you mean; "
            "'pybernetes token create --print-join-command' on a control plane prints the whole line"
        )
    for pin in pins:
        if not pin.startswith("sha256:") or len(pin) != 71:
            raise ClusterError(f"--discovery-token-ca-cert-hash {pin}: not of the form sha256:<64 hex digits>")
    blind = ssl.create_default_context()
    blind.check_hostname = False
    blind.verify_mode = ssl.CERT_NONE
    info, content = _signed_info(host, port, blind, options.token)
    if problem := clock_problem(info.date, clock.timestamp()):
        raise ClusterError(problem)
    authority = authority_of(content)
    if pins and not set(_hashes(authority)) & {pin.lower() for pin in pins}:
        raise ClusterError(
            f"the cluster at {host}:{port} has the CA certificate {_hashes(authority)[0]}, not {', '.join(pins)}: "
            "either the hash is mistyped or belongs to another cluster, or somebody between here and there "
            "answers in its place"
        )
    sure = ssl.create_default_context(cadata=authority.decode())
    again = fetch(host, port, sure)
    if again.data.get("kubeconfig") != content:
        raise ClusterError(f"{host}:{port} tells another cluster-info over verified TLS; somebody is in between")
    return authority


def split_endpoint(text: str) -> tuple[str, int]:
    """(host, port) of `HOST:PORT`."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit():
        raise ClusterError(f"{text!r} is not HOST:PORT of an API server; example: 192.0.2.10:6443")
    return host.strip("[]"), int(port)


def _signed_info(host: str, port: int, context: ssl.SSLContext, token: str) -> tuple[Info, str]:
    end = clock.monotonic() + PATIENCE
    while True:
        try:
            info = fetch(host, port, context)
            # A wrong clock here, or an expired token there, ends in a missing signature: the clock goes first.
            if problem := clock_problem(info.date, clock.timestamp()):
                raise ClusterError(problem)
            return info, join_tokens.verified_kubeconfig(info.data, token)
        except TokenError as error:
            if clock.monotonic() > end - PATIENCE / 2:
                raise ClusterError(str(error)) from error
        except _NotYet as error:
            if clock.monotonic() > end:
                raise ClusterError(str(error)) from error
        time.sleep(0.5)  # another machine: there is nothing to wait on


class _NotYet(ClusterError):
    """The server may be on its way up."""


def fetch(host: str, port: int, context: ssl.SSLContext) -> Info:
    """cluster-info, asked for as nobody. Raises ClusterError that says what to look at."""
    where = f"https://{host}:{port}"
    connection = http.client.HTTPSConnection(host, port, timeout=10, context=context)
    try:
        connection.request("GET", _PATH, headers={"Accept": "application/json"})
        answer = connection.getresponse()
        body, date = answer.read(), answer.headers.get("Date")
    except ssl.SSLCertVerificationError as error:
        raise ClusterError(
            f"{where}: its certificate is not good for this address or this time ({error.verify_message}); "
            "is the address one of those that 'init' was told, and is the clock right?"
        ) from error
    except ssl.SSLError as error:
        raise ClusterError(f"{where} does not speak TLS ({error.reason}); is it the API server's port?") from error
    except (TimeoutError, socket.gaierror) as error:
        reason = "no answer" if isinstance(error, TimeoutError) else error.strerror
        raise ClusterError(f"cannot reach {where}: {reason}; is the address right, does a firewall stop it?") from error
    except OSError as error:
        raise _NotYet(
            f"cannot reach {where}: {(error.strerror or str(error)).lower()}; "
            "does the control plane run there ('pybernetes status'), and can this machine reach it?"
        ) from error
    finally:
        connection.close()
    if answer.status == 404:
        raise _NotYet(f"{where} publishes no cluster-info; was it made with 'pybernetes init' or kubeadm?")
    if answer.status != 200:
        raise ClusterError(f"{where}{_PATH}: {answer.status} {answer.reason}")
    try:
        data = json.loads(body)["data"]
    except (ValueError, KeyError, TypeError) as error:
        raise ClusterError(f"{where} is no API server: what it answers is no ConfigMap") from error
    return Info(data, email.utils.parsedate_to_datetime(date).timestamp() if date else None)


def clock_problem(server: float | None, own: float) -> str:
    """What to say about two clocks (Unix seconds) that differ too much; "" when they agree."""
    if server is None or abs(own - server) <= MAX_SKEW:
        return ""
    seconds = abs(own - server)
    amount = f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds / 60:.0f} minutes"
    return (
        f"the clock of this machine is {amount} {'ahead of' if own > server else 'behind'} that of the API server "
        f"({clock.format_rfc3339(own)} here, {clock.format_rfc3339(server)} there): certificates would not be valid; "
        "set it right, for example with 'timedatectl set-ntp true', and join again"
    )


def authority_of(kubeconfig: str) -> bytes:
    """The CA (PEM) in a kubeconfig's text. Raises ClusterError."""
    import base64

    import yaml

    try:
        data = yaml.safe_load(kubeconfig)["clusters"][0]["cluster"]["certificate-authority-data"]
        return base64.b64decode(data)
    except (yaml.YAMLError, LookupError, TypeError, ValueError) as error:
        raise ClusterError("cluster-info holds no CA certificate") from error


def _hashes(authority: bytes) -> list[str]:
    end = b"-----END CERTIFICATE-----"
    return [pki.certificate_hash(part + end) for part in authority.split(end)[:-1]]


def _ask(connection: Connection, node: str) -> dict[str, Any]:
    """The ClusterConfiguration, as the bearer of the token; the name of the node must be free."""

    async def ask() -> dict[str, Any]:
        async with HTTPTransport(connection) as transport:
            client = Client(transport)
            config = (await client.resource(ConfigMap).get("kubeadm-config", "kube-system")).data or {}
            try:
                present = await client.resource(Node).get(node)
            except StatusError as error:
                if error.code != 404:
                    raise
            else:
                if any(c.type == "Ready" and c.status == "True" for c in present.status.conditions or ()):
                    raise ClusterError(
                        f"the cluster has a Ready node of the name {node!r} already; join with another --node-name, "
                        f"or 'kubectl delete node {node}' first"
                    )
        import yaml

        found: dict[str, Any] = yaml.safe_load(config["ClusterConfiguration"])
        return {**found, **{key: config.get(key, "") for key in ("store", "network", "load-balancer", "ingress")}}

    import asyncio

    try:
        return asyncio.run(ask())
    except StatusError as error:
        if error.code == 401:
            raise ClusterError("the token has expired, or may not authenticate; make a new one") from error
        raise ClusterError(f"{connection.server}: {error.message}") from error
    except Unavailable as error:
        raise ClusterError(f"cannot reach {connection.server}: {error}") from error
