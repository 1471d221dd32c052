"""How much of a device a request uses up: pure (KEP-5075, consumable capacity).

A device that may be allocated several times gives a share of each of its capacities to each request. The device says
which amounts there can be; a request gets the next one that is enough, and without saying anything the default, or if
there is none, all of it.
"""

from __future__ import annotations

from pybernetes.api.resource_v1 import CapacityRequestPolicy, Device, DeviceSubRequest, ExactDeviceRequest
from pybernetes.machinery import quantity
from pybernetes.machinery.quantity import Quantity


def share(device: Device, part: ExactDeviceRequest | DeviceSubRequest) -> dict[str, Quantity] | None:
    """What a request uses of each capacity, {} of a device that is not shared; None when the device is not enough."""
    asked = (part.capacity.requests if part.capacity is not None else None) or {}
    offered = device.capacity or {}
    if not asked.keys() <= offered.keys():
        return None
    if not device.allow_multiple_allocations:
        enough = all(quantity.parse(asked[name]) <= quantity.parse(offered[name].value or "0") for name in asked)
        return {} if enough else None
    found: dict[str, Quantity] = {}
    for name, capacity in offered.items():
        total = quantity.parse(capacity.value or "0")
        amount = _amount(asked.get(name), total, capacity.request_policy)
        if amount is None or total < amount:
            return None
        found[name] = amount
    return found


def _amount(asked: str | None, total: Quantity, policy: CapacityRequestPolicy | None) -> Quantity | None:
    """The amount that a request gets; None when the policy has none that is enough."""
    if asked is None:
        return quantity.parse(policy.default) if policy is not None and policy.default is not None else total
    amount = quantity.parse(asked)
    if policy is None:
        return amount
    if policy.valid_values:
        return min((v for v in map(quantity.parse, policy.valid_values) if v >= amount), default=None)
    limits = policy.valid_range
    if limits is not None and limits.min is not None:
        least = quantity.parse(limits.min)
        step = quantity.parse(limits.step).milli if limits.step is not None else 0
        if amount <= least:
            amount = least
        elif step:
            amount = least + quantity.parse(limits.step or "0") * -(-(amount - least).milli // step)
        if limits.max is not None and amount > quantity.parse(limits.max):
            return None
    return amount
