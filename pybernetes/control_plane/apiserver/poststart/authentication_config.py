"""ConfigMap kube-system/extension-apiserver-authentication: what aggregated servers need to trust our requests."""

from __future__ import annotations

import json

from pybernetes.api.core_v1 import ConfigMap
from pybernetes.control_plane.apiserver.poststart.setup import Setup
from pybernetes.machinery import codec
from pybernetes.machinery.meta import ObjectMeta


async def run(setup: Setup) -> None:
    data: dict[str, str] = {}
    if setup.client_ca:
        data["client-ca-file"] = setup.client_ca
    if setup.request_header_ca:
        data["requestheader-client-ca-file"] = setup.request_header_ca
        data["requestheader-allowed-names"] = json.dumps(["front-proxy-client"])
        data["requestheader-extra-headers-prefix"] = json.dumps(["X-Remote-Extra-"])
        data["requestheader-group-headers"] = json.dumps(["X-Remote-Group"])
        data["requestheader-uid-headers"] = json.dumps(["X-Remote-Uid"])
        data["requestheader-username-headers"] = json.dumps(["X-Remote-User"])
    wanted = ConfigMap(
        metadata=ObjectMeta(name="extension-apiserver-authentication", namespace="kube-system"), data=data or None
    )
    existing = setup.find(wanted)
    if existing is None:
        await setup.ensure([wanted])
    elif isinstance(existing, ConfigMap) and existing.data != wanted.data:
        changed: ConfigMap = codec.copy(existing)
        changed.data = wanted.data
        await setup.write("PUT", changed)
