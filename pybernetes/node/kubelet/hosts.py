"""Names inside a pod: its hostname, /etc/hosts and resolver configuration. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pybernetes.api.core_v1 import Pod

MAX_SEARCHES = 32
MAX_SEARCH_CHARACTERS = 2048
MAX_NAMESERVERS = 3
MAX_HOSTNAME = 64

HEADER = "# Kubernetes-managed hosts file.\n"
HEADER_HOST_NETWORK = "# Kubernetes-managed hosts file (host network).\n"


class Resolver(NamedTuple):
    """What goes into resolv.conf; all empty: the runtime's own."""

    servers: list[str]
    searches: list[str]
    options: list[str]


def pod_domain(pod: Pod, cluster_domain: str) -> str:
    """`SUBDOMAIN.NAMESPACE.svc.DOMAIN` of a pod with a subdomain, else ""; an overridden hostname is the whole name."""
    subdomain = "" if pod.spec.hostname_override else pod.spec.subdomain
    return f"{subdomain}.{pod.metadata.namespace}.svc.{cluster_domain}" if subdomain else ""


def hostname(pod: Pod, cluster_domain: str) -> str:
    """The pod's hostname. Raises ValueError when the FQDN is asked for and too long for the kernel."""
    spec = pod.spec
    if spec.hostname_override:
        return spec.hostname_override
    name = spec.hostname or pod.metadata.name[:63].rstrip("-.")
    domain = pod_domain(pod, cluster_domain)
    if spec.set_hostname_as_fqdn and domain:
        full = f"{name}.{domain}"
        if len(full) > MAX_HOSTNAME:
            raise ValueError(
                f"failed to construct FQDN from pod hostname and cluster domain, FQDN {full} is too long "
                f"({MAX_HOSTNAME} characters is the max, {len(full)} characters requested)"
            )
        return full
    return name


def hosts_file(pod: Pod, ips: Sequence[str], name: str, cluster_domain: str, host_file: str = "") -> str:
    """The content of a managed /etc/hosts; `host_file` is the node's own, for pods in its network."""
    if pod.spec.host_network:
        lines = [HEADER_HOST_NETWORK, host_file]
    else:
        lines = [
            HEADER,
            "127.0.0.1\tlocalhost\n",
            "::1\tlocalhost ip6-localhost ip6-loopback\n",
            "fe00::0\tip6-localnet\n",
            "fe00::0\tip6-mcastprefix\n",
            "fe00::1\tip6-allnodes\n",
            "fe00::2\tip6-allrouters\n",
        ]
        domain = pod_domain(pod, cluster_domain)
        short = name.partition(".")[0] if pod.spec.set_hostname_as_fqdn else name
        for ip in ips:
            lines.append(f"{ip}\t{short}.{domain}\t{short}\n" if domain else f"{ip}\t{name}\n")
    aliases = pod.spec.host_aliases or ()
    if aliases:
        lines.append("\n# Entries added by HostAliases.\n")
        lines.extend(f"{alias.ip}\t{chr(9).join(alias.hostnames or ())}\n" for alias in aliases)
    return "".join(lines)


def parse_resolv_conf(text: str) -> Resolver:
    """A resolv.conf: the last `search` line counts."""
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        words = line.split("#")[0].split()
        if not words:
            continue
        if words[0] == "nameserver" and len(words) > 1:
            servers.append(words[1])
        elif words[0] == "search":
            searches = [w.rstrip(".") or "." for w in words[1:]]
        elif words[0] == "options":
            options = words[1:]
    return Resolver(servers, searches, options)


def resolver(pod: Pod, node: Resolver, cluster_dns: Sequence[str], cluster_domain: str) -> Resolver:
    """The resolver configuration by dnsPolicy and dnsConfig."""
    policy = pod.spec.dns_policy or "ClusterFirst"
    cluster = policy == "ClusterFirstWithHostNet" or (policy == "ClusterFirst" and not pod.spec.host_network)
    if policy == "None":
        found = Resolver([], [], [])
    elif cluster and cluster_dns:
        searches = [node_search for node_search in node.searches if node_search != "."]
        if cluster_domain:
            namespace = pod.metadata.namespace
            searches = [f"{namespace}.svc.{cluster_domain}", f"svc.{cluster_domain}", cluster_domain, *searches]
        found = Resolver(list(cluster_dns), searches, ["ndots:5"])
    else:
        found = Resolver(list(node.servers), list(node.searches), list(node.options))
    own = pod.spec.dns_config
    if own is not None:
        options = dict(_option(text) for text in found.options)
        for option in own.options or ():
            options[option.name or ""] = option.value
        found = Resolver(
            _unique([*found.servers, *(own.nameservers or ())]),
            _unique([*found.searches, *(own.searches or ())]),
            [f"{k}:{v}" if v is not None else k for k, v in options.items()],
        )
    return Resolver(found.servers[:MAX_NAMESERVERS], _fit(_unique(found.searches)), found.options)


def _option(text: str) -> tuple[str, str | None]:
    name, colon, value = text.partition(":")
    return name, value if colon else None


def _unique(items: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(items))


def _fit(searches: list[str]) -> list[str]:
    """As many as the resolver library takes."""
    chosen, size = [], 0
    for domain in searches[:MAX_SEARCHES]:
        size += len(domain) + 1
        if size - 1 > MAX_SEARCH_CHARACTERS:
            break
        chosen.append(domain)
    return chosen
