"""NetworkPolicies: what may come in and go out, in words."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pybernetes.aio import clock
from pybernetes.cli.describe.text import Lines, labels_and_annotations, selector

if TYPE_CHECKING:
    from pybernetes.cli.session import Session

Object = dict[str, Any]

_EVERY_POD = "<none> (Allowing the specific traffic to all pods in this namespace)"


def network_policy(session: Session, value: Object) -> str:
    """A policy; upstream shows no events of it."""
    metadata, spec = value["metadata"], value["spec"]
    created = datetime.datetime.fromtimestamp(int(clock.parse_rfc3339(metadata["creationTimestamp"])), datetime.UTC)
    w = Lines()
    w.add(0, f"Name:\t{metadata['name']}")
    w.add(0, f"Namespace:\t{metadata['namespace']}")
    w.add(0, f"Created on:\t{created:%Y-%m-%d %H:%M:%S} +0000 UTC")
    labels_and_annotations(w, metadata)
    w.add(0, "Spec:")
    w.add(1, f"PodSelector:     {_selected(spec.get('podSelector'), _EVERY_POD)}")
    types = spec.get("policyTypes") or ()
    for direction, peers, word in (("ingress", "from", "From"), ("egress", "to", "To")):
        if direction.capitalize() in types:
            w.add(1, f"Allowing {direction} traffic:")
            _rules(w, direction, spec.get(direction) or (), peers, word)
        else:
            w.add(1, f"Not affecting {direction} traffic")
    w.add(1, f"Policy Types: {', '.join(types)}")
    return w.render()


def _rules(w: Lines, direction: str, rules: Sequence[Object], key: str, word: str) -> None:
    if not rules:
        w.add(2, f"<none> (Selected pods are isolated for {direction} connectivity)")
    for number, rule in enumerate(rules):
        if number:
            w.add(2, "----------")
        if not rule.get("ports"):
            w.add(2, "To Port: <any> (traffic allowed to all ports)")
        for port in rule.get("ports") or ():
            protocol = port.get("protocol") or "TCP"
            if port.get("endPort"):
                w.add(2, f"To Port Range: {port['port']}-{port['endPort']}/{protocol}")
            else:
                w.add(2, f"To Port: {port.get('port', '<nil>')}/{protocol}")
        if not rule.get(key):
            side = "source" if direction == "ingress" else "destination"
            w.add(2, f"{word}: <any> (traffic not restricted by {side})")
        for peer in rule.get(key) or ():
            _peer(w, peer, word)


def _peer(w: Lines, peer: Object, word: str) -> None:
    w.add(2, f"{word}:")
    if block := peer.get("ipBlock"):
        w.add(3, "IPBlock:")
        w.add(4, f"CIDR: {block['cidr']}")
        w.add(4, f"Except: {', '.join(block.get('except') or ())}")
        return
    for key, title in (("namespaceSelector", "NamespaceSelector"), ("podSelector", "PodSelector")):
        if key in peer:
            w.add(3, f"{title}: {_selected(peer[key], '<none>')}")


def _selected(value: Object | None, nothing: str) -> str:
    return selector(value) if value and (value.get("matchLabels") or value.get("matchExpressions")) else nothing
