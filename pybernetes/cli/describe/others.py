"""Services, namespaces, configuration, nodes, and the generic description of any other kind."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

from pybernetes.cli.describe.policies import limit_rows, scope_lines
from pybernetes.cli.describe.text import (
    Lines,
    age,
    annotation_lines,
    events,
    heading,
    labels_and_annotations,
    moment,
    pairs,
)
from pybernetes.cli.errors import APIError

if TYPE_CHECKING:
    from pybernetes.cli.session import Session

Object = dict[str, Any]


def service(session: Session, value: Object) -> str:
    """A Service and its endpoints."""
    metadata, spec = value["metadata"], value["spec"]
    w = Lines()
    heading(w, metadata)
    chosen = ",".join(f"{k}={v}" for k, v in sorted((spec.get("selector") or {}).items()))
    w.add(0, f"Selector:\t{chosen or '<none>'}")
    w.add(0, f"Type:\t{spec.get('type', '')}")
    if spec.get("ipFamilyPolicy"):
        w.add(0, f"IP Family Policy:\t{spec['ipFamilyPolicy']}")
    w.add(0, f"IP Families:\t{','.join(spec.get('ipFamilies') or ()) or '<none>'}")
    w.add(0, f"IP:\t{spec.get('clusterIP', '')}")
    w.add(0, f"IPs:\t{','.join(spec.get('clusterIPs') or ()) or '<none>'}")
    if spec.get("externalIPs"):
        w.add(0, f"External IPs:\t{','.join(spec['externalIPs'])}")
    if spec.get("externalName"):
        w.add(0, f"External Name:\t{spec['externalName']}")
    ingress = ((value.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    if ingress:
        w.add(0, "LoadBalancer Ingress:\t" + ", ".join(i.get("ip") or i.get("hostname", "") for i in ingress))
    slices = session.list(
        session.resources.find("endpointslices.discovery.k8s.io"),
        metadata["namespace"],
        selector=f"kubernetes.io/service-name={metadata['name']}",
    )
    for p in spec.get("ports") or ():
        w.add(0, f"Port:\t{p.get('name') or '<unset>'}\t{p['port']}/{p.get('protocol', 'TCP')}")
        w.add(0, f"TargetPort:\t{p.get('targetPort', '')}/{p.get('protocol', 'TCP')}")
        if p.get("nodePort"):
            w.add(0, f"NodePort:\t{p.get('name') or '<unset>'}\t{p['nodePort']}/{p.get('protocol', 'TCP')}")
        w.add(0, f"Endpoints:\t{_endpoints(slices, p.get('name') or '')}")
    w.add(0, f"Session Affinity:\t{spec.get('sessionAffinity', '')}")
    if spec.get("externalTrafficPolicy"):
        w.add(0, f"External Traffic Policy:\t{spec['externalTrafficPolicy']}")
    if spec.get("internalTrafficPolicy"):
        w.add(0, f"Internal Traffic Policy:\t{spec['internalTrafficPolicy']}")
    events(session, w, value)
    return w.render()


def _endpoints(slices: list[Object], name: str) -> str:
    if not slices:
        return "<none>"
    found: list[str] = []
    more = 0
    for s in slices:
        for port in s.get("ports") or ():
            if (port.get("name") or "") != name:
                continue
            for e in s.get("endpoints") or ():
                if (e.get("conditions") or {}).get("ready", True) is False:
                    continue
                for a in e["addresses"]:
                    if len(found) < 3:
                        found.append(f"[{a}]:{port['port']}" if ":" in a else f"{a}:{port['port']}")
                    else:
                        more += 1
    return ",".join(found) + (f" + {more} more..." if more else "")


def namespace(session: Session, value: Object) -> str:
    """A Namespace with its quotas and limits."""
    metadata = value["metadata"]
    w = Lines()
    heading(w, metadata, namespace=False)
    w.add(0, f"Status:\t{(value.get('status') or {}).get('phase', '')}")
    quotas = session.list(session.resources.find("resourcequotas"), metadata["name"])
    limits = session.list(session.resources.find("limitranges"), metadata["name"])
    w.raw("")
    if not quotas:
        w.add(0, "No resource quota.")
    else:
        w.add(0, "Resource Quotas")
        for q in quotas:
            w.add(1, f"Name:\t{q['metadata']['name']}")
            scope_lines(w, q, 1)
            w.add(1, "Resource\tUsed\tHard")
            w.add(1, "--------\t---\t---")
            status = q.get("status") or {}
            for key, hard in sorted((status.get("hard") or {}).items()):
                w.add(1, f"{key}\t{(status.get('used') or {}).get(key, '0')}\t{hard}")
    w.raw("")
    if not limits:
        w.add(0, "No LimitRange resource.")
    else:
        w.add(0, "Resource Limits")
        w.add(0, " Type\tResource\tMin\tMax\tDefault Request\tDefault Limit\tMax Limit/Request Ratio")
        w.add(0, " ----\t--------\t---\t---\t---------------\t-------------\t-----------------------")
        for limit in limits:
            for row in limit_rows(limit):
                w.add(0, f" {row}")
    return w.render()


def secret(session: Session, value: Object) -> str:
    """A Secret, without its content."""
    metadata = value["metadata"]
    w = Lines()
    heading(w, metadata)
    w.raw(f"\nType:\t{value.get('type', '')}\n\nData\n====")
    for key, data in sorted((value.get("data") or {}).items()):
        content = base64.b64decode(data or "")
        if key == "token" and value.get("type") == "kubernetes.io/service-account-token":
            w.raw(f"{key}:\t{content.decode()}")
        else:
            w.raw(f"{key}:\t{len(content)} bytes")
    return w.render()


def config_map(session: Session, value: Object) -> str:
    """A ConfigMap, with its content."""
    metadata = value["metadata"]
    w = Lines()
    heading(w, metadata)
    w.raw("\nData\n====")
    for key, text in sorted((value.get("data") or {}).items()):
        w.raw(f"{key}:\n----\n{text}\n")
    w.raw("\nBinaryData\n====")
    for key, data in sorted((value.get("binaryData") or {}).items()):
        w.raw(f"{key}: {len(base64.b64decode(data))} bytes")
    w.raw("")
    events(session, w, value)
    return w.render()


def service_account(session: Session, value: Object) -> str:
    """A ServiceAccount."""
    metadata = value["metadata"]
    w = Lines()
    heading(w, metadata)
    names = [s["name"] for s in value.get("imagePullSecrets") or ()]
    for index, name in enumerate(names or ["<none>"]):
        w.add(0, f"Image pull secrets:\t{name}" if not index else f"                   \t{name}")
    events(session, w, value)
    return w.render()


def node(session: Session, value: Object) -> str:
    """A Node: its state, what it offers, and what is asked of it."""
    metadata, spec, status = value["metadata"], value["spec"], value.get("status") or {}
    labels = metadata.get("labels") or {}
    w = Lines()
    w.add(0, f"Name:\t{metadata['name']}")
    roles = sorted(
        {k.removeprefix("node-role.kubernetes.io/") for k in labels if k.startswith("node-role.kubernetes.io/")}
        | ({labels["kubernetes.io/role"]} if labels.get("kubernetes.io/role") else set())
    )
    w.add(0, f"Roles:\t{','.join(roles) or '<none>'}")
    pairs(w, 0, "Labels", labels)
    annotation_lines(w, metadata.get("annotations"))
    w.add(0, f"CreationTimestamp:\t{moment(metadata['creationTimestamp'])}")
    taints = [
        f"{t['key']}={t['value']}:{t['effect']}" if t.get("value") else f"{t['key']}:{t['effect']}"
        for t in spec.get("taints") or ()
    ]
    for index, text in enumerate(sorted(taints) or ["<none>"]):
        w.add(0, f"Taints:\t{text}" if not index else f"\t{text}")
    w.add(0, f"Unschedulable:\t{'true' if spec.get('unschedulable') else 'false'}")
    try:
        lease = session.get(session.resources.find("leases.coordination.k8s.io"), "kube-node-lease", metadata["name"])
    except APIError:
        lease = {}
    w.add(0, "Lease:")
    held = lease.get("spec") or {}
    w.add(1, f"HolderIdentity:\t{held.get('holderIdentity', '<unset>')}")
    w.add(1, f"AcquireTime:\t{moment(held.get('acquireTime'))}")
    w.add(1, f"RenewTime:\t{moment(held.get('renewTime'))}")
    if status.get("conditions"):
        w.add(0, "Conditions:")
        w.add(1, "Type\tStatus\tLastHeartbeatTime\tLastTransitionTime\tReason\tMessage")
        w.add(1, "----\t------\t-----------------\t------------------\t------\t-------")
        for c in status["conditions"]:
            w.add(
                1,
                f"{c['type']} \t{c['status']} \t{moment(c.get('lastHeartbeatTime'))} \t"
                f"{moment(c.get('lastTransitionTime'))} \t{c.get('reason', '')} \t{c.get('message', '')}",
            )
    w.add(0, "Addresses:")
    for a in status.get("addresses") or ():
        w.add(1, f"{a['type']}:\t{a['address']}")
    for title in ("capacity", "allocatable"):
        if status.get(title):
            w.add(0, f"{title.title()}:")
            for key, amount in sorted(status[title].items()):
                w.add(1, f"{key}:\t{amount}")
    info = status.get("nodeInfo") or {}
    w.add(0, "System Info:")
    for title, key in (
        ("Machine ID", "machineID"),
        ("System UUID", "systemUUID"),
        ("Boot ID", "bootID"),
        ("Kernel Version", "kernelVersion"),
        ("OS Image", "osImage"),
        ("Operating System", "operatingSystem"),
        ("Architecture", "architecture"),
        ("Container Runtime Version", "containerRuntimeVersion"),
        ("Kubelet Version", "kubeletVersion"),
    ):
        w.add(1, f"{title}:\t{info.get(key, '')}")
    if spec.get("podCIDR"):
        w.add(0, f"PodCIDR:\t{spec['podCIDR']}")
    if spec.get("podCIDRs"):
        w.add(0, f"PodCIDRs:\t{','.join(spec['podCIDRs'])}")
    if spec.get("providerID"):
        w.add(0, f"ProviderID:\t{spec['providerID']}")
    _node_pods(session, w, value)
    events(session, w, {**value, "metadata": {"name": metadata["name"], "uid": ""}})
    return w.render()


def _node_pods(session: Session, w: Lines, value: Object) -> None:
    from pybernetes.machinery import quantity

    name = value["metadata"]["name"]
    fields = f"spec.nodeName={name},status.phase!=Succeeded,status.phase!=Failed"
    pods = session.list(session.resources.find("pods"), "", fields=fields)
    room = (value.get("status") or {}).get("allocatable") or {}
    pages = sorted(resource for resource in room if resource.startswith("hugepages-"))
    resources = ("cpu", "memory", "ephemeral-storage", *pages)
    w.add(0, f"Non-terminated Pods:\t({len(pods)} in total)")
    w.add(1, "Namespace\tName\t\tCPU Requests\tCPU Limits\tMemory Requests\tMemory Limits\tAge")
    w.add(1, "---------\t----\t\t------------\t----------\t---------------\t-------------\t---")
    totals: dict[tuple[str, str], str] = {}
    for p in pods:
        cells = []
        for resource in resources:
            for part in ("requests", "limits"):
                amount = _sum(p, resource, part)
                totals[resource, part] = quantity.add(totals.get((resource, part), "0"), amount)
                if resource in ("cpu", "memory"):
                    cells.append(f"{amount} ({_percent(amount, room.get(resource, '0'))}%)")
        w.add(
            1,
            f"{p['metadata']['namespace']}\t{p['metadata']['name']}\t\t{cells[0]}\t{cells[1]}\t{cells[2]}\t{cells[3]}\t"
            f"{age(p['metadata']['creationTimestamp'])}",
        )
    w.add(0, "Allocated resources:\n  (Total limits may be over 100 percent, i.e., overcommitted.)")
    w.add(1, "Resource\tRequests\tLimits")
    w.add(1, "--------\t--------\t------")
    for resource in resources:
        cells = []
        for part in ("requests", "limits"):
            amount = totals.get((resource, part), "0")
            cells.append(f"{amount} ({_percent(amount, room.get(resource, '0'))}%)")
        w.add(1, f"{resource}\t{cells[0]}\t{cells[1]}")


def _percent(amount: str, room: str) -> int:
    from pybernetes.machinery import quantity

    whole = quantity.milli(room)
    return int(quantity.milli(amount) * 100 / whole) if whole else 0


def _sum(pod: Object, resource: str, part: str) -> str:
    from pybernetes.machinery import quantity

    total = "0"
    for c in pod["spec"].get("containers") or ():
        amount = ((c.get("resources") or {}).get(part) or {}).get(resource)
        if amount:
            total = quantity.add(total, amount)
    for c in pod["spec"].get("initContainers") or ():
        amount = ((c.get("resources") or {}).get(part) or {}).get(resource)
        if amount and quantity.cmp(amount, total) > 0:
            total = amount
    return total


def rules(session: Session, value: Object) -> str:
    """A Role or ClusterRole."""
    metadata = value["metadata"]
    w = Lines()
    heading(w, metadata, namespace=False)
    w.add(0, "PolicyRule:")
    w.add(1, "Resources\tNon-Resource URLs\tResource Names\tVerbs")
    w.add(1, "---------\t-----------------\t--------------\t-----")
    rows: dict[tuple[str, str, str], list[str]] = {}
    for rule in value.get("rules") or ():
        names = f"[{' '.join(rule.get('resourceNames') or ())}]"
        for group in rule.get("apiGroups") or ():
            for r in rule.get("resources") or ():
                plain, slash, sub = r.partition("/")
                shown = f"{plain}.{group}{slash}{sub}" if group else r
                for only in rule.get("resourceNames") or [None]:
                    key = (shown, "[]", f"[{only}]" if only else "[]")
                    rows.setdefault(key, []).extend(v for v in rule["verbs"] if v not in rows.get(key, []))
        for url in rule.get("nonResourceURLs") or ():
            rows.setdefault(("", f"[{url}]", names), []).extend(rule["verbs"])
    for (resource, url, names), verbs in sorted(rows.items(), key=_rule_order):
        w.add(1, f"{resource}\t{url}\t{names}\t[{' '.join(verbs)}]")
    return w.render()


def _rule_order(row: tuple[tuple[str, str, str], list[str]]) -> str:
    """Upstream's order: by the rule as text, verbs first."""
    (resource, url, names), verbs = row
    plain, slash, sub = resource.partition("/")
    name, _, group = plain.partition(".")
    return f"[{' '.join(verbs)}],[{group}],[{name}{slash}{sub}],{names},{url}"


def priority_class(session: Session, value: Object) -> str:
    """A PriorityClass."""
    metadata = value["metadata"]
    w = Lines()
    w.add(0, f"Name:\t{metadata['name']}")
    w.add(0, f"Value:\t{value.get('value', 0)}")
    w.add(0, f"GlobalDefault:\t{'true' if value.get('globalDefault') else 'false'}")
    w.add(0, f"PreemptionPolicy:\t{value.get('preemptionPolicy', '')}")
    w.add(0, f"Description:\t{value.get('description', '')}")
    annotation_lines(w, metadata.get("annotations"))
    events(session, w, value)
    return w.render()


def binding(session: Session, value: Object) -> str:
    """A RoleBinding or ClusterRoleBinding."""
    metadata = value["metadata"]
    w = Lines()
    heading(w, metadata, namespace=False)
    w.add(0, "Role:")
    w.add(1, f"Kind:\t{value['roleRef']['kind']}")
    w.add(1, f"Name:\t{value['roleRef']['name']}")
    w.add(0, "Subjects:")
    w.add(1, "Kind\tName\tNamespace")
    w.add(1, "----\t----\t---------")
    for s in value.get("subjects") or ():
        w.add(1, f"{s['kind']}\t{s['name']}\t{s.get('namespace', '')}")
    return w.render()


def generic(session: Session, value: Object) -> str:
    """Any kind: every field, its name spelled out."""
    metadata = value["metadata"]
    w = Lines()
    w.add(0, f"Name:\t{metadata['name']}")
    w.add(0, f"Namespace:\t{metadata.get('namespace', '')}")
    labels_and_annotations(w, metadata)
    shown = {k: v for k, v in value.items() if k != "metadata"}
    hidden = {"managedFields", "name", "namespace", "labels", "annotations"}
    shown["metadata"] = {k: v for k, v in metadata.items() if k not in hidden}
    _fields(w, 0, shown)
    events(session, w, value)
    return w.render()


def _fields(w: Lines, level: int, value: Object) -> None:
    names = {key: smart_label(key) for key in value}
    for key in sorted(value):
        item = value[key]
        if isinstance(item, dict):
            w.add(level, f"{names[key]}:")
            _fields(w, level + 1, item)
        elif isinstance(item, list):
            w.add(level, f"{names[key]}:")
            for entry in item:
                if isinstance(entry, dict):
                    _fields(w, level + 1, entry)
                else:
                    w.add(level + 1, _plain(entry))
        else:
            w.add(level, f"{names[key]}:\t{_plain(item)}")


def _plain(value: Any) -> str:
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


_SHORT = ("API", "GUID", "UID", "URL")


def smart_label(name: str) -> str:
    """`apiVersion` -> `API Version`; names with digits or dots stay."""
    if not re.fullmatch(r"[A-Za-z-]+", name):
        return name
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", re.sub("-+", lambda found: f" {found[0]} ", name))
    spaced = re.sub(r"(?<![A-Z])([A-Z])(?=[A-Z][a-z])", r"\1 ", spaced)  # of two capitals the second begins a word
    return " ".join(w.upper() if w.upper() in _SHORT else w[:1].upper() + w[1:] for w in spaced.split())
