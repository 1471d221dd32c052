"""Endpoints, slices, mirroring, ServiceAccounts and tokens: what the conformance descriptions ask of them."""

from __future__ import annotations

import base64

import aiohttp
import pytest

from pybernetes.aio import clock
from pybernetes.api.authentication_v1 import TokenRequest, TokenRequestSpec, TokenReview, TokenReviewSpec

from .place import Place, Wire, template

NAME = "kubernetes.io/service-name"


def addresses(endpoints: Wire) -> list[tuple[list[str], list[int]]]:
    return [
        ([a["ip"] for a in s.get("addresses") or []], [p["port"] for p in s.get("ports") or []])
        for s in endpoints.get("subsets") or []
    ]


async def test_endpoints_api() -> None:
    async with Place.open(nodes=0) as place:
        subsets = [{"addresses": [{"ip": "10.0.0.24"}], "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}]
        await place.create("Endpoints", "e", subsets=subsets, metadata={"labels": {"static": "true"}})
        assert len(await place.list("Endpoints", "static=true", everywhere=True)) == 1
        await place.change("Endpoints", "e", lambda e: e["metadata"]["labels"].update(service="updated"))
        body = {
            "metadata": {"labels": {"service": "patched"}},
            "subsets": [{**subsets[0], "addresses": [{"ip": "10.0.0.25"}]}],
        }
        await place.patch("Endpoints", "e", body)
        assert addresses(await place.get("Endpoints", "e")) == [(["10.0.0.25"], [80])]
        await place.of("Endpoints").delete_collection("here", label_selector="static=true")
        await place.gone("Endpoints", "e")


async def test_services_without_and_with_pods() -> None:
    async with Place.open() as place:
        ports = [{"name": "example", "port": 80, "targetPort": 3000}]
        await place.create("Service", "s", spec={"selector": {"app": "a"}, "ports": ports})
        await place.until("Endpoints", "s", lambda e: not e.get("subsets"))
        (piece,) = await place.until_listed("EndpointSlice", lambda found: len(found) == 1, f"{NAME}=s")
        assert (
            piece["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] == "endpointslice-controller.k8s.io"
        )
        await place.delete("EndpointSlice", piece["metadata"]["name"])
        await clock.sleep(1)
        await place.until_listed("EndpointSlice", lambda found: len(found) == 1, f"{NAME}=s")
        await place.delete("Service", "s")
        await place.gone("Endpoints", "s", 90)
        await place.until_listed("EndpointSlice", lambda found: not found, f"{NAME}=s", 90)

        for name in ("pod1", "pod2"):
            spec = template()["spec"]
            if name == "pod1":
                spec["containers"][0]["ports"] = [{"name": "example-name", "containerPort": 3000, "protocol": "TCP"}]
            else:
                spec["containers"][0]["ports"] = [
                    {"name": "example-name", "containerPort": 3001, "protocol": "TCP"},
                    {"name": "other-port", "containerPort": 3002, "protocol": "TCP"},
                ]
            await place.create("Pod", name, spec=spec, metadata={"labels": {name: "yes", "both": "yes"}})
        await place.create("Service", "one", spec={"selector": {"pod1": "yes"}, "ports": ports})
        two = [
            {"name": "http", "port": 80, "targetPort": "example-name"},
            {"name": "other", "port": 81, "targetPort": "other-port"},
        ]
        spec = {"selector": {"both": "yes"}, "ports": two, "publishNotReadyAddresses": True}
        await place.create("Service", "both", spec=spec)
        await place.running(2)
        ip = {p["metadata"]["name"]: p["status"]["podIP"] for p in await place.list("Pod")}
        await place.until("Endpoints", "one", lambda e: addresses(e) == [([ip["pod1"]], [3000])])
        expected = [([ip["pod1"]], [3000]), ([ip["pod2"]], [3001, 3002])]
        await place.until(
            "Endpoints",
            "both",
            lambda e: (
                sorted(
                    (a, p)
                    for s in e["subsets"]
                    for a in [x["ip"] for x in s["addresses"]]
                    for p in [x["port"] for x in s["ports"]]
                )
                == sorted((a, p) for many, numbers in expected for a in many for p in numbers)
            ),
        )
        (piece,) = await place.list("EndpointSlice", f"{NAME}=one")
        assert piece["endpoints"][0]["targetRef"]["name"] == "pod1"
        assert piece["endpoints"][0]["conditions"] == {"ready": True, "serving": True, "terminating": False}
        assert [p["port"] for p in piece["ports"]] == [3000]
        slices = await place.until_listed("EndpointSlice", lambda found: len(found) == 2, f"{NAME}=both")
        assert sorted(len(s["ports"]) for s in slices) in ([1, 2], [2, 2])


async def test_a_service_changes_its_type_by_updates() -> None:
    """Who reads a Service, changes its type and writes it back leaves what belongs to the old type: it goes."""
    async with Place.open(nodes=0) as place:

        async def changed(**spec: object) -> Wire:
            def edit(service: Wire) -> None:
                service["spec"].update(spec)
                service["spec"] = {key: value for key, value in service["spec"].items() if value is not None}

            await place.change("Service", "s", edit)
            found: Wire = (await place.get("Service", "s"))["spec"]
            return found

        def node_ports(spec: Wire) -> list[int]:
            return [port["nodePort"] for port in spec["ports"] if "nodePort" in port]

        both = [{"name": kind.lower(), "port": 80, "protocol": kind, "targetPort": 9376} for kind in ("TCP", "UDP")]
        await place.create("Service", "s", spec={"selector": {"x": "y"}, "ports": both[:1]})
        assert "clusterIP" not in await changed(type="ExternalName", externalName="foo.example.com")
        address = (await changed(type="ClusterIP", externalName=None))["clusterIP"]
        spec = await changed(type="NodePort", externalTrafficPolicy="Local")
        assert spec["clusterIP"] == address and len(node_ports(spec)) == 1
        balanced = await changed(type="LoadBalancer")
        assert node_ports(balanced) == node_ports(spec) and balanced["healthCheckNodePort"]
        spec = await changed(type="ClusterIP")
        assert not node_ports(spec) and not spec.keys() & {"healthCheckNodePort", "externalTrafficPolicy"}
        spec = await changed(type="NodePort", ports=both)
        assert len(node_ports(spec)) == 2 and len({*node_ports(spec)}) == 1
        assert (await changed(sessionAffinity="ClientIP"))["sessionAffinityConfig"]
        assert "sessionAffinityConfig" not in await changed(sessionAffinity="None")
        spec = await changed(type="ExternalName", externalName="foo.example.com")
        assert not node_ports(spec) and not spec.keys() & {"clusterIP", "clusterIPs", "ipFamilies"}


async def test_traffic_distribution() -> None:
    """Hints say whose traffic each ready endpoint is for; kube-proxy reads nothing else."""
    async with Place.open(nodes=2) as place:
        for i, node in enumerate(await place.list("Node", everywhere=True)):
            zone = {"metadata": {"labels": {"topology.kubernetes.io/zone": f"z{i}"}}}
            await place.of("Node").patch(node["metadata"]["name"], "", zone)
        for name in ("pod1", "pod2"):
            await place.create("Pod", name, spec=template()["spec"], metadata={"labels": {"app": "a"}})
        await place.running(2)
        spec = {"selector": {"app": "a"}, "ports": [{"port": 80}], "trafficDistribution": "PreferSameZone"}
        await place.create("Service", "s", spec=spec)

        def hinted(found: list[Wire], *kinds: str) -> bool:
            endpoints = [e for piece in found for e in piece.get("endpoints") or []]
            wanted = [{"forZones": [{"name": e.get("zone")}], "forNodes": [{"name": e["nodeName"]}]} for e in endpoints]
            return len(endpoints) == 2 and all(
                e.get("hints", {}) == {kind: w[kind] for kind in kinds} for e, w in zip(endpoints, wanted, strict=True)
            )

        await place.until_listed("EndpointSlice", lambda found: hinted(found, "forZones"), f"{NAME}=s")
        await place.patch("Service", "s", {"spec": {"trafficDistribution": "PreferSameNode"}})
        await place.until_listed("EndpointSlice", lambda found: hinted(found, "forZones", "forNodes"), f"{NAME}=s")
        await place.patch("Service", "s", {"spec": {"trafficDistribution": None}})
        await place.until_listed("EndpointSlice", lambda found: hinted(found), f"{NAME}=s")


async def test_topology_mode() -> None:
    """The annotation shares endpoints out by the zones' processors, tells so, and goes before trafficDistribution."""
    mode = "service.kubernetes.io/topology-mode"
    async with Place.open(nodes=2) as place:
        nodes = [node["metadata"]["name"] for node in await place.list("Node", everywhere=True)]
        for i, node in enumerate(nodes):
            await place.of("Node").patch(node, "", {"metadata": {"labels": {"topology.kubernetes.io/zone": f"z{i}"}}})
        for i in range(4):  # three in the first zone, one in the second
            spec = {**template()["spec"], "nodeName": nodes[i // 3]}
            await place.create("Pod", f"pod{i}", spec=spec, metadata={"labels": {"app": "a"}})
        await place.running(4)
        spec = {"selector": {"app": "a"}, "ports": [{"port": 80}], "trafficDistribution": "PreferSameZone"}
        await place.create("Service", "s", spec=spec, metadata={"annotations": {mode: "Auto"}})

        def zones(found: list[Wire]) -> list[str]:
            endpoints = [e for piece in found for e in piece.get("endpoints") or []]
            return sorted(zone["name"] for e in endpoints for zone in e.get("hints", {}).get("forZones", []))

        await place.until_listed("EndpointSlice", lambda found: zones(found) == ["z0", "z0", "z1", "z1"], f"{NAME}=s")

        def told(reason: str, message: str) -> object:
            return lambda found: any(e["reason"] == reason and e["message"] == message for e in found)

        enabled = "Topology Aware Hints has been enabled, addressType: IPv4"
        await place.until_listed("Event", told("TopologyAwareHintsEnabled", enabled))
        await place.of("Node").patch(nodes[1], "", {"metadata": {"labels": {"topology.kubernetes.io/zone": "z0"}}})
        await place.until_listed("EndpointSlice", lambda found: zones(found) == [], f"{NAME}=s")
        lacking = "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes"
        lacking += ", addressType: IPv4"
        await place.until_listed("Event", told("TopologyAwareHintsDisabled", lacking))
        await place.patch("Service", "s", {"metadata": {"annotations": {mode: None}}})
        await place.until_listed("EndpointSlice", lambda found: zones(found) == ["z0"] * 4, f"{NAME}=s")


async def test_mirroring() -> None:
    async with Place.open(nodes=0) as place:
        await place.create("Service", "s", spec={"ports": [{"name": "example", "port": 80}]})
        subsets = [{"addresses": [{"ip": "10.1.2.3"}], "ports": [{"name": "example", "port": 80, "protocol": "TCP"}]}]
        await place.create("Endpoints", "s", subsets=subsets)

        def mirrored(ip: str, port: int) -> object:
            def good(found: list[Wire]) -> bool:
                return [(s["endpoints"][0]["addresses"], s["ports"][0]["port"]) for s in found] == [([ip], port)]

            return good

        (piece,) = await place.until_listed("EndpointSlice", mirrored("10.1.2.3", 80), f"{NAME}=s", 12)
        labels = piece["metadata"]["labels"]
        assert labels["endpointslice.kubernetes.io/managed-by"] == "endpointslicemirroring-controller.k8s.io"

        def move(e: Wire) -> None:
            e["subsets"][0]["addresses"][0]["ip"] = "10.2.3.4"
            e["subsets"][0]["ports"][0]["port"] = 9090

        await place.change("Endpoints", "s", move)
        await place.until_listed("EndpointSlice", mirrored("10.2.3.4", 9090), f"{NAME}=s", 12)
        await place.delete("Endpoints", "s")
        await place.until_listed("EndpointSlice", lambda found: not found, f"{NAME}=s", 12)


async def test_many_services_get_endpoints_at_once() -> None:
    async with Place.open() as place:
        await place.create("ReplicationController", "rc", spec={"replicas": 1, "template": template()})
        await place.running(1)
        for i in range(200):
            began = clock.monotonic()
            await place.create("Service", f"s{i}", spec={"selector": {"app": "a"}, "ports": [{"port": 80}]})
            await place.until("Endpoints", f"s{i}", addresses)
            assert clock.monotonic() - began < 5


async def test_service_accounts() -> None:
    async with Place.open(nodes=0) as place:
        await place.create("ServiceAccount", "a", automountServiceAccountToken=False, metadata={"labels": {"s": "1"}})
        await place.patch("ServiceAccount", "a", {"automountServiceAccountToken": True})
        await place.change("ServiceAccount", "a", lambda a: a.update(automountServiceAccountToken=False))
        assert (await place.list("ServiceAccount", "s=1", everywhere=True))[0]["automountServiceAccountToken"] is False
        await place.create("ServiceAccount", "mounts")

        def mounted(pod: Wire) -> bool:
            return any(v["name"].startswith("kube-api-access-") for v in pod["spec"].get("volumes") or ())

        for account, by_account in (("a", False), ("mounts", True)):
            for asked in (None, True, False):
                spec = {**template()["spec"], "serviceAccountName": account}
                if asked is not None:
                    spec["automountServiceAccountToken"] = asked
                pod = await place.create("Pod", f"{account}-{asked}".lower(), spec=spec)
                assert mounted(pod) is (by_account if asked is None else asked)


async def test_root_ca_is_published_again() -> None:
    async with Place.open(nodes=0) as place:
        original = (await place.until("ConfigMap", "kube-root-ca.crt", lambda c: c["data"]["ca.crt"]))["data"]
        await place.delete("ConfigMap", "kube-root-ca.crt")
        await place.until("ConfigMap", "kube-root-ca.crt", lambda c: c["data"] == original, 30)
        await place.change("ConfigMap", "kube-root-ca.crt", lambda c: c.update(data={"ca.crt": ""}))
        await place.until("ConfigMap", "kube-root-ca.crt", lambda c: c["data"] == original, 30)


async def test_tokens() -> None:
    async with Place.open(nodes=0, serve=True) as place:
        await place.create("ServiceAccount", "a")
        request = TokenRequest(spec=TokenRequestSpec(expiration_seconds=600))
        answer = await place.of("ServiceAccount").create_subresource("a", "here", "token", request)
        review = await place.client.resource(TokenReview).create(
            TokenReview(spec=TokenReviewSpec(token=answer.status.token))
        )
        assert review.status is not None
        assert review.status.authenticated
        assert review.status.user is not None
        assert review.status.user.username == "system:serviceaccount:here:a"
        assert review.status.user.groups == [
            "system:serviceaccounts", "system:serviceaccounts:here", "system:authenticated",
        ]  # fmt: skip
        annotation = {"annotations": {"kubernetes.io/service-account.name": "a"}}
        await place.create("Secret", "long", type="kubernetes.io/service-account-token", metadata=annotation)
        await place.until("Secret", "long", lambda s: s["data"]["token"] and s["data"]["ca.crt"])


@pytest.mark.real_time
async def test_use_of_a_generated_token_is_noted() -> None:
    label, invalid = "kubernetes.io/legacy-token-last-used", "kubernetes.io/legacy-token-invalid-since"
    async with Place.open(nodes=0, serve=True) as place:
        await place.create("ServiceAccount", "robot", secrets=[{"name": "old"}])
        for name in ("old", "made"):
            annotation = {"annotations": {"kubernetes.io/service-account.name": "robot"}}
            await place.create("Secret", name, type="kubernetes.io/service-account-token", metadata=annotation)

        async def ask(name: str) -> tuple[int, str]:
            secret = await place.until("Secret", name, lambda s: s.get("data", {}).get("token"))
            headers = {"Authorization": "Bearer " + base64.b64decode(secret["data"]["token"]).decode()}
            url = place.cluster.server + "/version"
            async with aiohttp.ClientSession() as session, session.get(url, headers=headers, ssl=False) as got:
                return got.status, got.headers.get("Warning", "")

        async def review(token: str) -> tuple[int, str]:
            """By an administrator, whose own token is a manual one."""
            admin = await place.until("Secret", "made", lambda s: s["data"]["token"])
            headers = {"Authorization": "Bearer " + base64.b64decode(admin["data"]["token"]).decode()}
            url = place.cluster.server + "/apis/authentication.k8s.io/v1/tokenreviews"
            body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
            async with (
                aiohttp.ClientSession() as session,
                session.post(url, headers=headers, json=body, ssl=False) as got,
            ):
                return got.status, got.headers.get("Warning", "")

        binding = {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "robot"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": "robot", "namespace": "here"}],
        }  # fmt: skip
        await place.client.dynamic("rbac.authorization.k8s.io/v1", "ClusterRoleBinding").create(binding)
        status, warning = await ask("old")
        assert status == 200 and "instead of auto-generated secret-based tokens" in warning
        assert await ask("made") == (200, "")
        secret = await place.get("Secret", "old")
        token = base64.b64decode(secret["data"]["token"]).decode()
        status, warning = await review(token)  # whoever has it looked at hears the same
        assert status == 201 and "instead of auto-generated secret-based tokens" in warning
        today = clock.rfc3339()[:10]
        for name in ("old", "made"):
            await place.until("Secret", name, lambda s: s["metadata"].get("labels", {}).get(label, "") >= today)
        await place.patch("Secret", "old", {"metadata": {"labels": {invalid: today, label: "2020-01-01"}}})
        assert await ask("old") == (401, "")
        await place.until("Secret", "old", lambda s: s["metadata"]["labels"][label] >= today)
        await place.patch("Secret", "old", {"metadata": {"labels": {invalid: None}}})
        assert (await ask("old"))[0] == 200
