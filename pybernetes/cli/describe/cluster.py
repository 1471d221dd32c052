"""Descriptions of what belongs to the cluster as a whole: address ranges, certificate requests, the nodes' drivers."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from pybernetes.cli.describe.text import Lines, events, heading, moment, pairs
from pybernetes.machinery.table import duration

if TYPE_CHECKING:
    from pybernetes.cli.session import Session

Object = dict[str, Any]


def service_cidr(session: Session, value: Object) -> str:
    """A ServiceCIDR."""
    w = Lines()
    heading(w, value["metadata"], namespace=False)
    w.add(0, f"CIDRs:\t{', '.join((value.get('spec') or {}).get('cidrs') or ())}")
    if conditions := (value.get("status") or {}).get("conditions"):
        w.add(0, "Status:")
        w.add(0, "Conditions:")
        w.add(1, "Type\tStatus\tLastTransitionTime\tReason\tMessage")
        w.add(1, "----\t------\t------------------\t------\t-------")
        for one in conditions:
            when = moment(one.get("lastTransitionTime"))
            w.add(1, f"{one['type']}\t{one['status']}\t{when}\t{one.get('reason', '')}\t{one.get('message', '')}")
    events(session, w, value)
    return w.render()


def ip_address(session: Session, value: Object) -> str:
    """An IPAddress."""
    w = Lines()
    heading(w, value["metadata"], namespace=False)
    if parent := (value.get("spec") or {}).get("parentRef"):
        w.add(0, "Parent Reference:")
        for title in ("Group", "Resource", "Namespace", "Name"):
            w.add(1, f"{title}:\t{parent.get(title.lower(), '')}")
    events(session, w, value)
    return w.render()


def csi_node(session: Session, value: Object) -> str:
    """A CSINode."""
    w = Lines()
    heading(w, value["metadata"], namespace=False)
    w.add(0, f"CreationTimestamp:\t{moment(value['metadata'].get('creationTimestamp'))}")
    w.add(0, "Spec:")
    drivers = (value.get("spec") or {}).get("drivers") or ()
    if drivers:
        w.add(1, "Drivers:")
    for driver in drivers:
        w.add(2, f"{driver['name']}:")
        w.add(3, f"Node ID:\t{driver.get('nodeID', '')}")
        count = (driver.get("allocatable") or {}).get("count")
        if count is not None:
            w.add(3, "Allocatables:")
            w.add(4, f"Count:\t{count}")
        if keys := driver.get("topologyKeys"):
            w.add(3, f"Topology Keys:\t[{' '.join(keys)}]")
    events(session, w, value)
    return w.render()


def signing_request(session: Session, value: Object) -> str:
    """A CertificateSigningRequest."""
    metadata, spec, status = value["metadata"], value.get("spec") or {}, value.get("status") or {}
    w = Lines()
    w.add(0, f"Name:\t{metadata['name']}")
    pairs(w, 0, "Labels", metadata.get("labels"))
    pairs(w, 0, "Annotations", metadata.get("annotations"))
    w.add(0, f"CreationTimestamp:\t{moment(metadata.get('creationTimestamp'))}")
    w.add(0, f"Requesting User:\t{spec.get('username', '')}")
    if spec.get("signerName"):
        w.add(0, f"Signer:\t{spec['signerName']}")
    if spec.get("expirationSeconds"):
        w.add(0, f"Requested Duration:\t{duration(spec['expirationSeconds'])}")
    types = [one["type"] for one in status.get("conditions") or ()] or ["Pending"]
    w.add(0, f"Status:\t{','.join([*types, *(['Issued'] if status.get('certificate') else [])])}")
    _request(w, base64.b64decode(spec.get("request") or ""))
    events(session, w, value)
    return w.render()


def _request(w: Lines, pem: bytes) -> None:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    request = x509.load_pem_x509_csr(pem)

    def values(oid: x509.ObjectIdentifier) -> list[str]:
        return [str(attribute.value) for attribute in request.subject.get_attributes_for_oid(oid)]

    w.add(0, "Subject:")
    w.add(0, f"\tCommon Name:\t{''.join(values(NameOID.COMMON_NAME)[-1:])}")
    w.add(0, f"\tSerial Number:\t{''.join(values(NameOID.SERIAL_NUMBER)[-1:])}")
    for title, oid in (
        ("Organization", NameOID.ORGANIZATION_NAME),
        ("Organizational Unit", NameOID.ORGANIZATIONAL_UNIT_NAME),
        ("Country", NameOID.COUNTRY_NAME),
        ("Locality", NameOID.LOCALITY_NAME),
        ("Province", NameOID.STATE_OR_PROVINCE_NAME),
        ("StreetAddress", NameOID.STREET_ADDRESS),
        ("PostalCode", NameOID.POSTAL_CODE),
    ):
        _list(w, title, values(oid))
    try:
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return
    w.add(0, "Subject Alternative Names:")
    _list(w, "DNS Names", names.get_values_for_type(x509.DNSName))
    _list(w, "Email Addresses", names.get_values_for_type(x509.RFC822Name))
    _list(w, "URIs", names.get_values_for_type(x509.UniformResourceIdentifier))
    _list(w, "IP Addresses", [str(address) for address in names.get_values_for_type(x509.IPAddress)])


def _list(w: Lines, title: str, values: list[str]) -> None:
    for number, value in enumerate(values):
        w.add(0, f"\t{title}:\t{value}" if not number else f"\t\t{value}")
