"""`certs check|renew|upload`: the certificates of a cluster on this machine.

Nobody has to renew them: control plane and nodes do. The commands show that, do it now, and bring the control plane's
secrets into the cluster again for one more control plane.
"""

from __future__ import annotations

import argparse
import secrets
import sys

from pybernetes.aio import clock
from pybernetes.bootstrap import cluster as clusters
from pybernetes.bootstrap import kubeconfigs, membership, pki, renewal
from pybernetes.bootstrap.cluster import DEFAULT_NAME, Cluster, ClusterError
from pybernetes.bootstrap.phases import upload_certs
from pybernetes.bootstrap.phases.run import connection_of, with_client
from pybernetes.machinery.table import duration


def main(arguments: list[str]) -> int:
    """The command; the exit code: of `check`, 1 when something has expired."""
    options = _parser().parse_args(arguments[1:])
    try:
        return int(options.action(options))
    except membership.ERRORS as error:
        print(f"pybernetes certs {options.verb}: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pybernetes certs", description="Certificates.", allow_abbrev=False)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--name", default=DEFAULT_NAME, help="name of the cluster (default: %(default)s)")
    common.add_argument("--data-dir", metavar="DIR", help="the cluster's directory")
    verbs = parser.add_subparsers(dest="verb", required=True)
    check = verbs.add_parser("check", parents=[common], help="when each ends")
    check.set_defaults(action=_check)
    renew = verbs.add_parser("renew", parents=[common], help="make the control plane's anew, whatever is left of them")
    renew.set_defaults(action=_renew)
    upload = verbs.add_parser("upload", parents=[common], help="let one more control plane get the secrets")
    upload.add_argument("--certificate-key", default="", metavar="HEX", help="default: a new one")
    upload.set_defaults(action=_upload)
    return parser


def _find(options: argparse.Namespace) -> Cluster:
    cluster = clusters.find(options.name, options.data_dir)
    if cluster is None:
        raise ClusterError(f"no cluster \"{options.name}\"; 'pybernetes list' shows those on this machine")
    return cluster


def expirations(cluster: Cluster) -> list[pki.Expiry]:
    """All certificates on this machine, authorities last."""
    found = [*kubeconfigs.expirations(cluster.directory), *pki.expirations(cluster.pki)]
    for path in sorted(cluster.directory.glob("nodes/*/pki/*.pem")):
        found.append(pki.expiry(path.stem, path.read_bytes()))
    for path in sorted(cluster.directory.glob("nodes/*/kubelet.crt")):
        found.append(pki.expiry(f"{path.parent.name}/kubelet", path.read_bytes()))
    return sorted(found, key=lambda one: one.is_authority)


def table(found: list[pki.Expiry]) -> str:
    """In kubeadm's columns."""
    rows = [("CERTIFICATE", "EXPIRES", "RESIDUAL TIME", "SUBJECT")]
    for one in found:
        left = duration(one.remaining) if one.remaining > 0 else "<expired>"
        name = f"{one.name} (authority)" if one.is_authority else one.name
        rows.append((name, clock.format_rfc3339(one.not_after), left, one.subject))
    widths = [max(len(row[column]) for row in rows) + 3 for column in range(3)]
    return "".join("".join(map(str.ljust, row, widths)) + row[3] + "\n" for row in rows)


def _check(options: argparse.Namespace) -> int:
    found = expirations(_find(options))
    print(table(found), end="")
    return 1 if any(one.remaining <= 0 for one in found) else 0


def _renew(options: argparse.Namespace) -> int:
    cluster = _find(options)
    member = cluster.state.member
    if member is not None and not member.control_plane:
        raise ClusterError("a worker's certificates are renewed through the API, by its agent")
    written = renewal.renew(cluster, renew_before=float("inf"))
    print("\n".join(name for name in written if not name.endswith(".key")))
    print("They are in use within a minute; nothing has to be restarted.")
    return 0


def _upload(options: argparse.Namespace) -> int:
    cluster = _find(options)
    if cluster.state.member is None:
        raise ClusterError("this cluster has one machine; 'pybernetes init' makes one for several")
    text = options.certificate_key or secrets.token_hex(32)
    key = upload_certs.key_of(text)
    admin = connection_of(cluster.directory / "super-admin.conf")
    with_client(admin, lambda client: upload_certs.put_secret(client, cluster, key))
    print(f"For two hours a further control plane can join with --control-plane --certificate-key\n{text}")
    return 0
