"""Objects that are mostly only stored: what the conformance descriptions ask of them."""

from __future__ import annotations

import base64

from pybernetes.aio import clock

from .place import Place, Wire, condition, refused, template

LEASE = {"holderIdentity": "h", "leaseDurationSeconds": 30, "acquireTime": "2026-01-01T00:00:00.000000Z"}


async def test_lifecycles() -> None:
    """Create, list everywhere by label, patch, watch, delete, delete as a collection."""
    bodies: dict[str, Wire] = {
        "ConfigMap": {"data": {"k": "v"}},
        "Secret": {"data": {"k": "dmFsdWU="}, "type": "Opaque"},
        "PodTemplate": {"template": template()},
        "Lease": {"spec": LEASE},
        "ServiceAccount": {},
        "RuntimeClass": {"handler": "h"},
        "Endpoints": {"subsets": [{"addresses": [{"ip": "10.0.0.24"}], "ports": [{"name": "http", "port": 80}]}]},
        "EndpointSlice": {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": []},
        "PersistentVolumeClaim": {
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": "x",
                "resources": {"requests": {"storage": "1Gi"}},
            }
        },
    }
    async with Place.open(nodes=0) as place:
        for kind, body in bodies.items():
            await place.collection(kind, lambda name, body=body: body)  # type: ignore[misc]


async def test_configmaps_and_secrets() -> None:
    async with Place.open(nodes=0) as place:
        for kind, value, other in (("ConfigMap", "v", "w"), ("Secret", "dg==", "dw==")):
            with refused(422, "a valid config key"):
                await place.create(kind, "bad", data={"": value})
            await place.create(kind, "c", data={"k": value})
            await place.patch(kind, "c", {"data": {"k2": other}, "metadata": {"labels": {"p": "1"}}})
            assert (await place.get(kind, "c"))["data"] == {"k": value, "k2": other}
            await place.change(kind, "c", lambda c: c.update(immutable=True))
            with refused(422, "field is immutable when `immutable` is set"):
                await place.change(kind, "c", lambda c, other=other: c["data"].update(k=other))  # type: ignore[misc]
            with refused(422, "field is immutable when `immutable` is set"):
                await place.change(kind, "c", lambda c: c.pop("immutable"))
            await place.change(kind, "c", lambda c: c["metadata"].setdefault("labels", {}).update(q="1"))
            await place.delete(kind, "c")
            await place.gone(kind, "c")


async def test_podtemplate_replaced_and_lease_updated() -> None:
    async with Place.open(nodes=0) as place:
        await place.create("PodTemplate", "t", template=template())
        await place.change("PodTemplate", "t", lambda t: t["metadata"].update(annotations={"updated": "true"}))
        assert (await place.get("PodTemplate", "t"))["metadata"]["annotations"] == {"updated": "true"}
        await place.create("Lease", "l", spec=LEASE)
        await place.change("Lease", "l", lambda o: o["spec"].update(leaseTransitions=1, holderIdentity="h2"))
        await place.patch("Lease", "l", {"spec": {"holderIdentity": "h3"}})
        spec = (await place.get("Lease", "l"))["spec"]
        assert spec == {**LEASE, "leaseTransitions": 1, "holderIdentity": "h3"}


async def test_events() -> None:
    async with Place.open(nodes=0) as place:
        about = {"kind": "Pod", "name": "p", "namespace": "here", "apiVersion": "v1"}
        await place.create(
            "Event", "e", involvedObject=about, reason="R", message="m", type="Normal", source={"component": "c"}
        )
        assert [e["metadata"]["name"] for e in await place.list("Event", fields="source=c")] == ["e"]
        await place.patch("Event", "e", {"message": "patched"})
        assert (await place.get("Event", "e"))["message"] == "patched"
        new = place.client.dynamic("events.k8s.io/v1", "Event")
        same = await new.get("e", "here")
        assert (same["note"], same["regarding"]["name"], same["deprecatedSource"]) == (
            "patched",
            "p",
            {"component": "c"},
        )
        moment = "2026-01-01T00:00:00.000000Z"
        body = {
            "apiVersion": "events.k8s.io/v1", "kind": "Event",
            "metadata": {"name": "n", "namespace": "here", "labels": {"t": "1"}}, "regarding": about, "action": "Do",
            "reason": "Test", "type": "Normal", "note": "This is n", "eventTime": moment,
            "reportingController": "test-controller", "reportingInstance": "i",
        }  # fmt: skip
        await new.create(body)
        found = (await new.list("here", field_selector="reportingController=test-controller")).items
        assert [e["metadata"]["name"] for e in found] == ["n"]
        series = {"series": {"count": 2, "lastObservedTime": moment}}
        assert (await new.patch("n", "here", series, type="strategic"))["series"] == series["series"]
        event = await new.get("n", "here")
        event["series"]["count"] = 100
        assert (await new.update(event))["series"]["count"] == 100
        assert (await place.get("Event", "n"))["message"] == "This is n"
        await new.delete_collection("here", label_selector="t=1")
        assert await place.names("Event", "") >= {"e"}
        assert not (await new.list("here", label_selector="t=1")).items
        await place.change("Event", "e", lambda e: e.update(series={"count": 100, "lastObservedTime": moment}))
        assert (await new.get("e", "here"))["series"]["count"] == 100
        await place.delete("Event", "e")
        for name in ("e1", "e2", "e3"):
            await place.create(
                "Event", name, involvedObject=about, reason="R", message=name, metadata={"labels": {"t": "2"}}
            )
        assert await place.names("Event", "t=2") == {"e1", "e2", "e3"}
        await place.of("Event").delete_collection("here", label_selector="t=2")
        assert not await place.list("Event", "t=2", everywhere=True)


async def test_runtimeclass() -> None:
    async with Place.open() as place:
        with refused(403, 'RuntimeClass "nope" not found'):
            await place.create("Pod", "p", spec={**template()["spec"], "runtimeClassName": "nope"}, dry_run=True)
        overhead = {"overhead": {"podFixed": {"cpu": "10m", "memory": "1Mi"}}}
        await place.create("RuntimeClass", "plain", handler="test-handler")
        await place.create("RuntimeClass", "heavy", handler="test-handler", **overhead)
        for name in ("plain", "heavy"):
            await place.create("Pod", name, spec={**template()["spec"], "runtimeClassName": name})
            pod = await place.until("Pod", name, lambda p: (condition(p, "PodScheduled") or {}).get("status") == "True")
            assert pod["spec"].get("overhead") == (overhead["overhead"]["podFixed"] if name == "heavy" else None)
        await place.delete("RuntimeClass", "plain")
        await place.gone("RuntimeClass", "plain")
        with refused(403, 'RuntimeClass "plain" not found'):
            await place.create("Pod", "p", spec={**template()["spec"], "runtimeClassName": "plain"}, dry_run=True)


async def test_persistent_volumes() -> None:
    async with Place.open(nodes=0) as place:
        csi = {"driver": "d.example.com", "volumeHandle": "h"}
        spec = {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "csi": csi, "storageClassName": "sc",
            "persistentVolumeReclaimPolicy": "Retain",
        }  # fmt: skip
        claim = {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "sc",
            "resources": {"requests": {"storage": "1Gi"}},
        }
        await place.create("PersistentVolume", "v", spec=spec, metadata={"labels": {"e2e": "v"}})
        await place.create("PersistentVolumeClaim", "c", spec=claim, metadata={"labels": {"e2e": "c"}})
        await place.until("PersistentVolumeClaim", "c", lambda c: c["status"]["phase"] == "Bound")
        for kind, name in (("PersistentVolume", "v"), ("PersistentVolumeClaim", "c")):
            await place.patch(kind, name, {"metadata": {"labels": {name: "patched"}}})
            assert len(await place.list(kind, f"{name}=patched", everywhere=True)) == 1
            found = await place.get(kind, name)
            assert any("protection" in f for f in found["metadata"]["finalizers"])
        await place.status_endpoints("PersistentVolumeClaim", "c")
        body = {"message": "StatusUpdated", "reason": "E2E"}
        await place.status_endpoints_plain("PersistentVolume", "v", body)
        await place.delete("PersistentVolumeClaim", "c")
        await place.gone("PersistentVolumeClaim", "c", 30)
        await place.until("PersistentVolume", "v", lambda v: v["status"]["phase"] == "Released")
        await place.of("PersistentVolume").delete_collection(label_selector="e2e=v")
        await place.gone("PersistentVolume", "v", 30)


def csr_pem() -> str:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "e2e.example.com")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return base64.b64encode(request.public_bytes(serialization.Encoding.PEM)).decode()


async def test_certificate_signing_requests() -> None:
    async with Place.open(nodes=0) as place:
        kind = "CertificateSigningRequest"
        pem = csr_pem()
        spec = {
            "request": pem,
            "signerName": "example.com/e2e",
            "expirationSeconds": 3600,
            "usages": ["digital signature", "key encipherment", "server auth"],
        }
        version = (await place.of(kind).list()).resource_version
        made = await place.create(kind, "", metadata={"generateName": "e2e-"}, spec=spec)
        name = made["metadata"]["name"]
        assert made["spec"]["username"] == "kubernetes-admin"
        assert [c["metadata"]["name"] for c in await place.list(kind, fields="spec.signerName=example.com/e2e")] == [
            name
        ]
        assert [c["metadata"]["name"] for c in await place.list(kind, fields=f"metadata.name={name}")] == [name]
        await place.patch(kind, name, {"metadata": {"annotations": {"patched": "true"}}}, "merge")
        now = clock.rfc3339()
        approved = {"type": "Approved", "status": "True", "reason": "E2E", "message": "m", "lastUpdateTime": now}
        got = await place.of(kind).get_subresource(name, "", "approval")
        assert got.metadata.name == name
        patched = await place.patch(
            kind,
            name,
            {"metadata": {"annotations": {"patchedapproval": "true"}}, "status": {"conditions": [approved]}},
            "merge",
            "approval",
        )
        assert condition(patched, "Approved")
        assert patched["metadata"]["annotations"]["patchedapproval"] == "true"
        updated = await place.change(
            kind,
            name,
            lambda c: c["status"]["conditions"].append(
                {"type": "Other", "status": "True", "reason": "x", "message": "y"}
            ),
            "approval",
        )
        assert condition(updated, "Other")
        new = {"type": "ApprovedStatus", "status": "True"}
        status = await place.change(
            kind, name, lambda c: c["status"]["conditions"].append({**new, "reason": "r", "message": "m"}), "status"
        )
        assert condition(status, "ApprovedStatus")
        assert await place.of(kind).get_subresource(name, "", "status")

        async def end() -> None:
            await place.delete(kind, name)

        seen = await place.events_of(kind, version, end)
        assert seen[0][0] == "ADDED"
        assert seen[-1][0] == "DELETED"
        for i in range(2):
            await place.create(kind, f"c{i}", spec=spec, metadata={"labels": {"g": "1"}})
        await place.of(kind).delete_collection(field_selector="spec.signerName=example.com/e2e")
        assert not await place.list(kind)
