"""How traffic gets in and on: Ingresses, their classes, and Endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pybernetes.cli.describe.text import Lines, annotation_lines, events, heading, pairs
from pybernetes.cli.errors import APIError

if TYPE_CHECKING:
    from pybernetes.cli.session import Session

Object = dict[str, Any]


def ingress(session: Session, value: Object) -> str:
    """An Ingress, with the addresses behind its backends."""
    metadata, spec = value["metadata"], value.get("spec") or {}
    w = Lines()
    w.add(0, f"Name:\t{metadata['name']}")
    pairs(w, 0, "Labels", metadata.get("labels"))
    w.add(0, f"Namespace:\t{metadata['namespace']}")
    points = ((value.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    w.add(0, f"Address:\t{','.join(p.get('ip') or p.get('hostname') or '' for p in points)}")
    w.add(0, f"Ingress Class:\t{spec.get('ingressClassName') or '<none>'}")
    default = spec.get("defaultBackend")
    w.add(0, f"Default backend:\t{_backend(session, metadata, default) if default else '<default>'}")
    if spec.get("tls"):
        w.add(0, "TLS:")
        for tls in spec["tls"]:
            hosts = ",".join(tls.get("hosts") or ())
            w.add(1, f"{tls['secretName']} terminates {hosts}" if tls.get("secretName") else f"SNI routes {hosts}")
    w.add(0, "Rules:")
    w.add(1, "Host\tPath\tBackends")
    w.add(1, "----\t----\t--------")
    for rule in spec.get("rules") or ():
        w.add(1, f"{rule.get('host') or '*'}\t")
        for path in (rule.get("http") or {}).get("paths") or ():
            w.add(2, f"\t{path.get('path', '')} \t{_backend(session, metadata, path['backend'])}")
    if not spec.get("rules"):
        w.add(1, f"*\t*\t{_backend(session, metadata, default) if default else '<default>'}")
    annotation_lines(w, metadata.get("annotations"))
    events(session, w, value)
    return w.render()


def _backend(session: Session, metadata: Object, backend: Object) -> str:
    if resource := backend.get("resource"):
        return f"APIGroup: {resource.get('apiGroup') or '<none>'}, Kind: {resource['kind']}, Name: {resource['name']}"
    service = backend["service"]
    port = service.get("port") or {}
    number = port.get("number") or port.get("name", "")
    return f"{service['name']}:{number} ({_addresses(session, metadata['namespace'], service['name'], number)})"


def _addresses(session: Session, namespace: str, name: str, port: Any) -> str:
    """The ready addresses behind a Service's port, three of them at the most."""
    try:
        service = session.get(session.resources.find("services"), namespace, name)
    except APIError as error:
        return f"<error: {error}>"
    named: Object = next((p for p in service["spec"].get("ports") or () if port in (p.get("port"), p.get("name"))), {})
    slices = session.list(
        session.resources.find("endpointslices"), namespace, selector=f"kubernetes.io/service-name={name}"
    )
    found = [
        f"{address}:{p.get('port')}"
        for s in slices
        for p in s.get("ports") or ()
        if (p.get("name") or "") == named.get("name", "")
        for e in s.get("endpoints") or ()
        if (e.get("conditions") or {}).get("ready", True)
        for address in e["addresses"]
    ]
    shown = ",".join(found[:3])
    return f"{shown} + {len(found) - 3} more..." if len(found) > 3 else shown


def ingress_class(session: Session, value: Object) -> str:
    """An IngressClass."""
    spec = value.get("spec") or {}
    w = Lines()
    heading(w, value["metadata"], namespace=False)
    w.add(0, f"Controller:\t{spec.get('controller', '')}")
    if parameters := spec.get("parameters"):
        w.add(0, "Parameters:")
        if parameters.get("apiGroup"):
            w.add(1, f"APIGroup:\t{parameters['apiGroup']}")
        w.add(1, f"Kind:\t{parameters['kind']}")
        w.add(1, f"Name:\t{parameters['name']}")
    events(session, w, value)
    return w.render()


def endpoints(session: Session, value: Object) -> str:
    """Endpoints."""
    w = Lines()
    heading(w, value["metadata"])
    w.add(0, "Subsets:")
    for subset in value.get("subsets") or ():
        for title, part in (("Addresses", "addresses"), ("NotReadyAddresses", "notReadyAddresses")):
            w.add(1, f"{title}:\t{','.join(a['ip'] for a in subset.get(part) or ()) or '<none>'}")
        if subset.get("ports"):
            _ports(w, 1, subset["ports"])
        w.raw("")
    events(session, w, value)
    return w.render()


def endpoint_slice(session: Session, value: Object) -> str:
    """An EndpointSlice."""
    w = Lines()
    heading(w, value["metadata"])
    w.add(0, f"AddressType:\t{value.get('addressType', '')}")
    if value.get("ports"):
        _ports(w, 0, value["ports"])
    else:
        w.add(0, "Ports: <unset>")
    if not value.get("endpoints"):
        w.add(0, "Endpoints: <none>")
    else:
        w.add(0, "Endpoints:")
        for e in value["endpoints"]:
            w.add(1, f"- Addresses:\t{', '.join(e['addresses'])}")
            w.add(2, "Conditions:")
            ready = (e.get("conditions") or {}).get("ready")
            w.add(3, f"Ready:\t{'<unset>' if ready is None else str(ready).lower()}")
            w.add(2, f"Hostname:\t{e.get('hostname') or '<unset>'}")
            if target := e.get("targetRef"):
                w.add(2, f"TargetRef:\t{target.get('kind', '')}/{target.get('name', '')}")
            w.add(2, f"NodeName:\t{e.get('nodeName') or '<unset>'}")
            w.add(2, f"Zone:\t{e.get('zone') or '<unset>'}")
    events(session, w, value)
    return w.render()


def _ports(w: Lines, level: int, ports: list[Object]) -> None:
    w.add(level, "Ports:")
    w.add(level + 1, "Name\tPort\tProtocol")
    w.add(level + 1, "----\t----\t--------")
    for p in ports:
        w.add(level + 1, f"{p.get('name') or '<unset>'}\t{p.get('port', '<unset>')}\t{p.get('protocol', '')}")
