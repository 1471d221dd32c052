"""Which address families a Service gets: the defaults that depend on the cluster's configuration. Pure.

`settle(service, old, families)` fills in ipFamilyPolicy and ipFamilies and refuses what the cluster cannot give, by
upstream's rules and texts (KEP-563).
"""

from __future__ import annotations

from collections.abc import Sequence

from pybernetes.api.core_v1 import Service
from pybernetes.machinery import errors, field
from pybernetes.machinery.field import FieldError, Path

SPEC = Path("spec")
_OTHER = {"IPv4": "IPv6", "IPv6": "IPv4"}


def family_of(address: str) -> str:
    return "IPv6" if ":" in address else "IPv4"


def settle(service: Service, old: Service | None, families: Sequence[str]) -> None:
    """Complete the family fields of a Service in place. families: the cluster's, the default first. Raises Invalid."""
    spec = service.spec
    if spec.type == "ExternalName" or _kept_dual(service, old):
        return
    headless = spec.cluster_ip == "None" and not spec.selector
    if spec.ip_family_policy is None:
        if old is not None and old.spec.ip_family_policy is not None:
            spec.ip_family_policy = old.spec.ip_family_policy
        else:
            spec.ip_family_policy = "RequireDualStack" if headless else "SingleStack"
    found = _mismatches(service)
    _refuse(service, found)
    if old is not None:
        _trim(service, old, found)
    policy = spec.ip_family_policy
    if policy == "SingleStack":
        at, text = SPEC.child("ipFamilyPolicy"), "must be 'RequireDualStack' or 'PreferDualStack' when multiple "
        if len(spec.cluster_ips or ()) == 2:
            found.append(field.invalid(at, policy, f"{text}cluster IPs are specified"))
        if len(spec.ip_families or ()) == 2:
            found.append(field.invalid(at, policy, f"{text}IP families are specified"))
    wanted = [*(spec.ip_families or ())]
    for i, address in enumerate(spec.cluster_ips or ()):
        if address == "None":
            break
        if i >= len(wanted):
            if (family := family_of(address)) in families:
                wanted.append(family)
            else:
                text = f"{family} is not configured on this cluster"
                found.append(field.invalid(SPEC.child("clusterIPs").index(i), spec.cluster_ips, text))
    _refuse(service, found)
    if not headless:
        if policy == "RequireDualStack" and len(families) < 2:
            text = "this cluster is not configured for dual-stack services"
            found.append(field.invalid(SPEC.child("ipFamilyPolicy"), policy, text))
        for i, family in enumerate(wanted):
            if family not in families:
                at = SPEC.child("ipFamilies").index(i)
                found.append(field.invalid(at, family, "not configured on this cluster"))
        _refuse(service, found)
    if not wanted:
        wanted = [families[0]]
    if policy != "SingleStack" and len(wanted) == 1 and (headless or len(families) == 2):
        wanted.append(_OTHER[wanted[0]])
    spec.ip_families = wanted


def _refuse(service: Service, found: list[FieldError]) -> None:
    if found:
        raise errors.invalid("", "Service", service.metadata.name, found)


def _kept_dual(service: Service, old: Service | None) -> bool:
    """A PreferDualStack Service stays as it is while the user changes nothing about it, whatever the cluster became."""
    if old is None:
        return False
    now, was = service.spec, old.spec
    return (
        now.type != "ExternalName"
        and was.type != "ExternalName"
        and now.ip_family_policy == was.ip_family_policy == "PreferDualStack"
        and now.cluster_ips == was.cluster_ips
        and now.ip_families == was.ip_families
    )


def _mismatches(service: Service) -> list[FieldError]:
    """Addresses whose family is not the one that stands beside them."""
    spec = service.spec
    found: list[FieldError] = []
    listed = spec.cluster_ips or []
    families = spec.ip_families or []
    for i, (address, family) in enumerate(zip(listed, families, strict=False)):
        if address not in ("None", "") and family_of(address) != family:
            text = f"expected an {family} value as indicated by `ipFamilies[{i}]`"
            found.append(field.invalid(SPEC.child("clusterIPs").index(i), address, text))
    if len(listed) == 2 and "None" not in listed and family_of(listed[0]) == family_of(listed[1]):
        text = "may specify no more than one IP for each IP family"
        found.append(field.invalid(SPEC.child("clusterIPs"), listed, text))
    return found


def _trim(service: Service, old: Service, found: list[FieldError]) -> None:
    """Going back to one family drops the second; dropping it without saying so is refused."""
    spec, before = service.spec, old.spec
    listed, families = spec.cluster_ips or [], spec.ip_families or []
    if spec.ip_family_policy == "SingleStack":
        if listed == (before.cluster_ips or []) and len(listed) > 1:
            spec.cluster_ips = listed[:1]
        if families == (before.ip_families or []) and len(families) > 1:
            spec.ip_families = families[:1]
        return
    at, text = SPEC.child("ipFamilyPolicy"), "must be 'SingleStack' to release the secondary "
    if listed and len(listed) == 1 and len(before.cluster_ips or ()) == 2 and listed[0] == before.cluster_ips[0]:  # type: ignore[index]
        found.append(field.invalid(at, spec.ip_family_policy, f"{text}cluster IP"))
    if families and len(families) == 1 and len(before.ip_families or ()) == 2:
        found.append(field.invalid(at, spec.ip_family_policy, f"{text}IP family"))
