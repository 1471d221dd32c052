"""Small pure parts: quality of service, cgroups, credentials, logs, security contexts, status patches, files."""

from __future__ import annotations

import base64
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from pybernetes.api.core_v1 import (
    Node,
    NodeCondition,
    NodeSpec,
    NodeStatus,
    NodeSystemInfo,
    PodCondition,
    PodStatus,
    Secret,
)
from pybernetes.node.cri import types as t
from pybernetes.node.cri.image_names import parse
from pybernetes.node.kubelet import logs, machine, node_events, qos
from pybernetes.node.kubelet.cgroups import Cgroups, pod_limits
from pybernetes.node.kubelet.configs import signal_number
from pybernetes.node.kubelet.environment import ConfigError
from pybernetes.node.kubelet.executor import unsupported
from pybernetes.node.kubelet.housekeeping import eviction_rank, rotate
from pybernetes.node.kubelet.images import credentials_for
from pybernetes.node.kubelet.mounts import _open_below
from pybernetes.node.kubelet.security import container_context, forbidden_sysctl
from pybernetes.node.kubelet.server_auth import caller_of_certificate, subresource_of
from pybernetes.node.kubelet.volumes import atomic
from pybernetes.node.kubelet.volumes.atomic import File
from pybernetes.node.kubelet.volumes.content import shared_with_group
from pybernetes.node.kubelet.volumes.context import root_mode
from pybernetes.node.kubelet.worker import status_patch
from tests.unit.node.kubelet.world import pod


def limited(requests: dict[str, str], limits: dict[str, str] | None = None) -> dict[str, Any]:
    return {"name": "main", "resources": {"requests": requests, "limits": limits or {}}}


@pytest.mark.parametrize(
    ("container", "kind", "score"),
    [
        ({"name": "main"}, "BestEffort", 1000),
        (limited({"cpu": "1"}), "Burstable", 999),
        (limited({"memory": "4Gi"}), "Burstable", 500),
        (limited({"cpu": "1", "memory": "1Gi"}, {"cpu": "1000m", "memory": "1Gi"}), "Guaranteed", -997),
    ],
)
def test_quality_of_service(container: dict[str, Any], kind: str, score: int) -> None:
    one = pod("p", container)
    assert qos.qos_class(one) == kind
    assert qos.oom_score_adj(one, one.spec.containers[0], 8 << 30) == score


def test_pod_totals() -> None:
    side = {"image": "x", "restartPolicy": "Always", "resources": {"requests": {"cpu": "200m"}}}
    init = {"image": "x", "resources": {"requests": {"cpu": "900m"}}}
    one = pod(
        "p", {**limited({"cpu": "500m"}), "name": "a"}, {**limited({"cpu": "300m"}), "name": "b"},
        initContainers=[{**side, "name": "s"}, {**init, "name": "i"}], overhead={"cpu": "50m"},
    )  # fmt: skip
    assert qos.pod_total(one, "cpu").milli == 1150  # the init container beside the sidecar, and overhead
    assert pod_limits(one) == (1177, 0, 0)
    both = pod("p", limited({}, {"cpu": "500m", "memory": "64Mi"}))
    assert pod_limits(both)[1:] == (50_000, 64 << 20)
    assert (qos.cpu_shares(0), qos.cpu_shares(1000), qos.cpu_weight(2), qos.cpu_weight(262144)) == (2, 1024, 1, 10000)


def test_cgroups_of_version_2(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory\n")
    groups = Cgroups("pods", tmp_path)
    one = pod("p", limited({"cpu": "1"}, {"cpu": "2"}), metadata={"uid": "u1"})
    assert groups.ensure(one) == "/pods/burstable/podu1"
    base = tmp_path / "pods" / "burstable" / "podu1"
    assert (base / "cpu.max").read_text() == "200000 100000" and (base / "memory.max").read_text() == "max"
    assert groups.pods() == {"u1"}
    two = pod("q", limited({"cpu": "500m"}), metadata={"uid": "u2"})
    groups.ensure(two)
    weights = {name: (tmp_path / name / "cpu.weight") for name in ("pods", "pods/burstable", "pods/besteffort")}
    groups.ensure(pod("r", metadata={"uid": "u3"}))
    assert weights["pods/burstable"].read_text() == str(qos.cpu_weight(1536))
    assert weights["pods/besteffort"].read_text() == "1"
    assert weights["pods"].read_text() == str(qos.cpu_weight((os.cpu_count() or 1) * 1024))
    groups.remove("u2")
    assert weights["pods/burstable"].read_text() == str(qos.cpu_weight(1024))
    assert Cgroups(None).ensure(one) == ""


def test_credentials() -> None:
    def secret(auths: dict[str, Any]) -> Secret:
        text = base64.b64encode(json.dumps({"auths": auths}).encode()).decode()
        return Secret(data={".dockerconfigjson": text})

    both = base64.b64encode(b"me:pw").decode()
    secrets = [
        secret({"https://index.docker.io/v1/": {"auth": both}, "*.example.org": {"username": "w", "password": "x"}}),
        secret({"r.example.org/team": {"username": "t", "password": "y"}}),
        Secret(data={".dockerconfigjson": "!!"}),
    ]
    assert [c.username for c in credentials_for(parse("busybox"), secrets)] == ["me"]
    assert [c.username for c in credentials_for(parse("r.example.org/team/app:1"), secrets)] == ["t", "w"]
    assert [c.username for c in credentials_for(parse("r.example.org/teams/app:1"), secrets)] == ["w"]


LOG = b"""2026-01-01T00:00:01Z stdout F one
2026-01-01T00:00:02Z stderr F two
2026-01-01T00:00:03.5Z stdout P thr
2026-01-01T00:00:03.6Z stdout F ee
2026-01-01T00:00:04Z stdout F four
"""


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, b"one\ntwo\nthree\nfour\n"),
        ({"tail_lines": 2}, b"three\nfour\n"),
        ({"tail_lines": 0}, b""),
        ({"tail_lines": 9}, b"one\ntwo\nthree\nfour\n"),
        ({"stream": "stderr", "tail_lines": 1}, b"two\n"),
        ({"since": 1767225604.0}, b"four\n"),
        ({"timestamps": True, "tail_lines": 1}, b"2026-01-01T00:00:04Z four\n"),
    ],
)
def test_logs(tmp_path: Path, options: dict[str, Any], text: bytes) -> None:
    path = tmp_path / "0.log"
    path.write_bytes(LOG)
    assert b"".join(logs.read(path, logs.LogOptions(**options))) == text


def test_long_log_tail(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_bytes(b"".join(b"2026-01-01T00:00:01Z stdout F line %d\n" % i for i in range(20_000)))
    assert b"".join(logs.read(path, logs.LogOptions(tail_lines=3))) == b"line 19997\nline 19998\nline 19999\n"
    assert len(b"".join(logs.read(path, logs.LogOptions(tail_lines=5000))).splitlines()) == 5000
    assert b"".join(logs.limited(iter([b"abc", b"def"]), 4)) == b"abcd"
    rotate(path, 2)
    assert not path.exists() and len(list(tmp_path.iterdir())) == 1


def test_security_context(tmp_path: Path) -> None:
    image = t.Image(id="i", uid=0)
    one = pod("p", {"name": "main", "securityContext": {"runAsNonRoot": True}}, metadata={"uid": "u"})
    with pytest.raises(ConfigError, match="container has runAsNonRoot and image will run as root"):
        container_context(one, one.spec.containers[0], image, tmp_path)
    with pytest.raises(ConfigError, match=r"image has non-numeric user \(nobody\)"):
        container_context(one, one.spec.containers[0], t.Image(id="i", username="nobody"), tmp_path)
    container = {
        "name": "main",
        "securityContext": {
            "runAsUser": 5, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]},
            "seccompProfile": {"type": "Localhost", "localhostProfile": "p.json"}, "readOnlyRootFilesystem": True,
        },
    }  # fmt: skip
    one = pod(
        "p", container, securityContext={"runAsUser": 1, "runAsGroup": 2, "fsGroup": 3, "supplementalGroups": [4]}
    )
    context = container_context(one, one.spec.containers[0], image, tmp_path)
    assert (context.run_as_user, context.run_as_group, context.supplemental_groups) == (5, 2, [4, 3])
    assert context.no_new_privs and context.readonly_rootfs and "/proc/kcore" in context.masked_paths
    assert context.seccomp and context.seccomp.localhost_ref == str(tmp_path / "p.json")
    assert context.capabilities and context.capabilities.drop_capabilities == ["ALL"]


def test_signals_by_name() -> None:
    numbers = [signal_number(name) for name in ("SIGTERM", "SIGUSR1", "SIGRTMIN+3", "SIGRTMAX-1")]
    assert numbers == [15, 10, signal.SIGRTMIN + 3, signal.SIGRTMAX - 1]
    with pytest.raises(ValueError, match="unknown signal"):
        signal_number("SIGNONE")


def test_refusals() -> None:
    bad = pod("p", securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "1"}]})
    assert forbidden_sysctl(bad, ()) == 'forbidden sysctl: "kernel.msgmax" not allowlisted'
    assert forbidden_sysctl(bad, ("kernel.msg*",)) == ""
    assert "user namespaces" in unsupported(pod("p", hostUsers=False))
    assert "volumeDevices" in unsupported(pod("p", {"name": "a", "volumeDevices": [{"name": "x", "devicePath": "/d"}]}))
    assert unsupported(pod("p")) == ""


def test_status_patch_says_only_what_changed() -> None:
    old = PodStatus(
        phase="Pending", message="gone", pod_ips=None, nominated_node_name="n",
        conditions=[PodCondition(type="Ready", status="False", reason="X"), PodCondition(type="mine", status="True")],
    )  # fmt: skip
    new = PodStatus(phase="Running", conditions=[PodCondition(type="Ready", status="True")])
    assert status_patch("u", old, new) == {
        "metadata": {"uid": "u"},
        "status": {
            "phase": "Running",
            "message": None,
            "conditions": [
                {"type": "Ready", "status": "True", "lastProbeTime": None, "lastTransitionTime": None, "reason": None}
            ],
        },
    }
    refused = PodStatus(phase="Failed", message="gone", reason="SysctlForbidden")
    assert status_patch("u", old, refused)["status"] == {"phase": "Failed", "reason": "SysctlForbidden"}


def test_eviction_rank() -> None:
    over = pod("a", limited({"memory": "1Mi"}))
    under = pod("b", limited({"memory": "1Gi"}))
    assert eviction_rank(over, "memory", 10 << 20) > eviction_rank(under, "memory", 100 << 20)
    important = pod("c", limited({"memory": "1Mi"}), priority=1000)
    assert eviction_rank(over, "memory", 10 << 20) > eviction_rank(important, "memory", 20 << 20)


def test_atomic_writer(tmp_path: Path) -> None:
    volume = tmp_path / "v"
    assert atomic.write(volume, {"a": File(b"1", 0o644), "d/e/f": File(b"2", 0o600)})
    first = os.readlink(volume / "..data")
    assert not atomic.write(volume, {"a": File(b"1", 0o644), "d/e/f": File(b"2", 0o600)})
    assert os.readlink(volume / "a") == "..data/a" and (volume / "d" / "e" / "f").read_bytes() == b"2"
    assert atomic.write(volume, {"a": File(b"3", 0o644), "b": File(b"4", 0o644)})
    assert os.readlink(volume / "..data") != first and not (volume / first).exists() and not (volume / "d").exists()
    assert (volume / "a").read_bytes() == b"3"
    for path in ("../x", "/x", "", "a/../../x", "..x"):
        with pytest.raises(ValueError, match="invalid path"):
            atomic.write(volume, {path: File(b"", 0o644)})


def test_modes_of_volumes() -> None:
    assert [root_mode(-1, tmpfs=False), root_mode(5, tmpfs=False)] == [0o777, 0o2777]
    assert [root_mode(-1, tmpfs=True), root_mode(5, tmpfs=True)] == [0o1777, 0o3777]
    files = {"a": File(b"", 0o400), "b": File(b"", 0o644), "c": File(b"", 0)}
    assert shared_with_group(files, -1) == files
    assert {name: file.mode for name, file in shared_with_group(files, 5).items()} == {
        "a": 0o440, "b": 0o644, "c": 0o440
    }  # fmt: skip


def test_sub_paths_stay_inside(tmp_path: Path) -> None:
    volume = tmp_path / "v"
    atomic.write(volume, {"a": File(b"1", 0o644)})
    os.close(_open_below(volume, "a", create=True))  # through ..data, which stays inside
    os.close(_open_below(volume, "new/dir", create=True))
    assert (volume / "new" / "dir").is_dir()
    (volume / "out").symlink_to("/etc")
    with pytest.raises(ConfigError, match="leads out of the volume"):
        _open_below(volume, "out/passwd", create=True)


def test_callers() -> None:
    subject = ((("commonName", "kube-apiserver"),), (("organizationName", "system:masters"),))
    caller = caller_of_certificate({"subject": subject})
    assert caller and (caller.name, caller.groups) == ("kube-apiserver", ("system:masters",))
    assert caller_of_certificate({}) is None
    assert [subresource_of(p) for p in ("/exec/a/b/c", "/metrics/x", "/pods", "/stats/summary")] == [
        "proxy", "metrics", "pods", "stats",
    ]  # fmt: skip


def test_what_a_node_tells_of_itself() -> None:
    def conditions(**statuses: str) -> list[dict[str, str]]:
        return [{"type": kind, "status": status} for kind, status in statuses.items()]

    known = {"Ready": NodeCondition(type="Ready", status="Unknown")}
    assert node_events.changes({}, conditions(MemoryPressure="False", Ready="False")) == ["NodeHasSufficientMemory"]
    assert node_events.changes({}, conditions(Ready="True")) == ["NodeReady"]
    assert node_events.changes(known, conditions(Ready="True", DiskPressure="True")) == [
        "NodeReady",
        "NodeHasDiskPressure",
    ]
    known = {"Ready": NodeCondition(type="Ready", status="True")}
    assert node_events.changes(known, conditions(Ready="True")) == []
    assert node_events.changes(known, conditions(Ready="False")) == ["NodeNotReady"]
    described = Node(status=NodeStatus(node_info=NodeSystemInfo(boot_id="a")))
    assert node_events.rebooted(described, "b") and not node_events.rebooted(described, "a")
    assert not node_events.rebooted(None, "b") and not node_events.rebooted(Node(), "b")
    open_, closed = Node(), Node(spec=NodeSpec(unschedulable=True))
    assert node_events.schedulable(open_, closed) == "NodeNotSchedulable"
    assert node_events.schedulable(closed, open_) == "NodeSchedulable"
    assert node_events.schedulable(closed, closed) == node_events.schedulable(None, open_) == ""


def test_what_eviction_keeps_free_is_not_for_pods() -> None:
    capacity = {"memory": "1Gi", "ephemeral-storage": "1001Ki", "cpu": "2"}
    hard = {"memory.available": "100Mi", "nodefs.available": "10%", "nodefs.inodesFree": "5%"}
    assert machine.thresholds(capacity, hard) == {"memory": "100Mi", "ephemeral-storage": "102502"}
    assert machine.thresholds({"cpu": "2"}, hard) == {}
