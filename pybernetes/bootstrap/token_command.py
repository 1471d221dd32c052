"""`token create|list|delete|generate`: the join tokens of a cluster."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from pybernetes.aio import clock
from pybernetes.api.core_v1 import Secret
from pybernetes.bootstrap import cluster as clusters
from pybernetes.bootstrap import join_tokens, membership
from pybernetes.bootstrap.cluster import DEFAULT_NAME, Cluster, ClusterError
from pybernetes.bootstrap.join_tokens import Token
from pybernetes.bootstrap.phases.run import connection_of, with_client
from pybernetes.client.client import Client
from pybernetes.client.kubeconfig import Connection
from pybernetes.machinery.table import duration as age


def main(arguments: list[str]) -> int:
    """The command; the exit code."""
    options = _parser().parse_args(arguments[1:])
    try:
        options.action(options)
    except membership.ERRORS as error:
        print(f"pybernetes token {options.verb}: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pybernetes token", description="Join tokens.", allow_abbrev=False)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--name", default=DEFAULT_NAME, help="name of the cluster (default: %(default)s)")
    common.add_argument("--data-dir", metavar="DIR", help="the cluster's directory")
    common.add_argument("--kubeconfig", metavar="FILE", help="default: the cluster's admin.conf")
    verbs = parser.add_subparsers(dest="verb", required=True)
    create = verbs.add_parser("create", parents=[common], help="make one, and print it")
    create.add_argument("token", nargs="?", default="", help="default: a new one")
    create.add_argument("--ttl", default="24h0m0s", metavar="DURATION", help="0: for ever (default: %(default)s)")
    create.add_argument("--usages", default=",".join(join_tokens.USAGES), help="default: %(default)s")
    create.add_argument("--groups", default=join_tokens.NODE_GROUP, help="default: %(default)s")
    create.add_argument("--description", default="")
    create.add_argument("--print-join-command", action="store_true", help="print the whole line for a worker")
    create.set_defaults(action=_create)
    verbs.add_parser("list", parents=[common], help="those there are").set_defaults(action=_list)
    delete = verbs.add_parser("delete", parents=[common], help="let tokens end now")
    delete.add_argument("tokens", nargs="+", metavar="TOKEN", help="whole or its id")
    delete.set_defaults(action=_delete)
    verbs.add_parser("generate", help="print a token without making it one").set_defaults(action=_generate)
    return parser


def _cluster(options: argparse.Namespace) -> Cluster:
    cluster = clusters.find(options.name, options.data_dir)
    if cluster is None or cluster.state.member is None:
        raise ClusterError(f"no cluster \"{options.name}\" that 'pybernetes init' made on this machine")
    return cluster


def _connection(options: argparse.Namespace) -> Connection:
    return connection_of(Path(options.kubeconfig or _cluster(options).directory / "admin.conf"))


def _create(options: argparse.Namespace) -> None:
    token_id, secret = join_tokens.split(options.token or join_tokens.generate())
    ttl = join_tokens.duration(options.ttl)
    usages = tuple(filter(None, options.usages.split(",")))
    if unknown := set(usages) - set(join_tokens.USAGES):
        raise ClusterError(f"--usages: {', '.join(sorted(unknown))} unknown; there are {', '.join(join_tokens.USAGES)}")
    groups = tuple(filter(None, options.groups.split(",")))
    for group in groups:
        if not group.startswith("system:bootstrappers:"):
            raise ClusterError(f"--groups: {group!r} does not begin with system:bootstrappers:")
    token = Token(
        token_id, secret, clock.timestamp() + ttl if ttl else None, usages, groups, description=options.description
    )

    async def create(client: Client) -> None:
        await client.resource(Secret).create(join_tokens.secret_of(token))

    with_client(_connection(options), create)
    print(membership.join_line(_cluster(options), token.text) if options.print_join_command else token.text)


def _list(options: argparse.Namespace) -> None:
    print(table(with_client(_connection(options), tokens)), end="")


async def tokens(client: Client) -> list[Token]:
    """All tokens of the cluster, by id."""
    page = await client.resource(Secret).list(join_tokens.NAMESPACE, field_selector=f"type={join_tokens.TYPE}")
    return sorted((found for found in map(join_tokens.token_of, page.items) if found), key=lambda token: token.id)


def table(found: Iterable[Token]) -> str:
    """In kubeadm's columns."""
    rows = [("TOKEN", "TTL", "EXPIRES", "USAGES", "DESCRIPTION", "EXTRA GROUPS")]
    for token in found:
        left, end = "<forever>", "<never>"
        if token.expires is not None:
            remaining = token.expires - clock.timestamp()
            left = age(remaining) if remaining > 0 else "<invalid>"
            end = clock.format_rfc3339(token.expires)
        usages = ",".join(sorted(token.usages)) or "<none>"
        rows.append((token.text, left, end, usages, token.description or "<none>", ",".join(token.groups) or "<none>"))
    widths = [max(len(row[column]) for row in rows) + 3 for column in range(5)]
    return "".join("".join(map(str.ljust, row, widths)) + row[5] + "\n" for row in rows)


def _delete(options: argparse.Namespace) -> None:
    ids = [text if len(text) == 6 and text.isalnum() else join_tokens.split(text)[0] for text in options.tokens]

    async def delete(client: Client) -> None:
        for token_id in ids:
            await client.resource(Secret).delete(f"bootstrap-token-{token_id}", join_tokens.NAMESPACE)
            print(f'bootstrap token "{token_id}" deleted')

    with_client(_connection(options), delete)


def _generate(options: argparse.Namespace) -> None:
    print(join_tokens.generate())
