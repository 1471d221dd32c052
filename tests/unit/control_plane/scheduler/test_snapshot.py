"""What the snapshot counts when placed Pods change."""

from __future__ import annotations

from pybernetes.api.core_v1 import Container, Node, NodeStatus, Pod, PodSpec, ResourceRequirements
from pybernetes.control_plane.scheduler.snapshot import Snapshot
from pybernetes.machinery.meta import ObjectMeta


def pod(**labels: str) -> Pod:
    container = Container(name="c", resources=ResourceRequirements(requests={"cpu": "1"}))
    metadata = ObjectMeta(name="p", namespace="n", uid="p", labels=labels)
    return Pod(metadata=metadata, spec=PodSpec(containers=[container]))


def test_other_labels_take_nothing_more_of_a_node() -> None:
    snapshot = Snapshot()
    snapshot.set_node(Node(metadata=ObjectMeta(name="a"), status=NodeStatus(allocatable={"cpu": "4", "pods": "9"})))
    row = snapshot.nodes.rows["a"]
    before, after = snapshot.facts(pod(app="x")), snapshot.facts(pod(app="x", zone="z"))
    snapshot.place(before, "a")
    position, requested = snapshot.nodes.log_end, snapshot.nodes.requested[:, row].tolist()
    snapshot.place(after, "a")
    assert (before.group.rows, after.group.rows) == ({}, {row: 1})
    assert snapshot.nodes.log_end == position  # whoever knows the node need not look again
    assert snapshot.starts == {"a": 1}  # but who may be pushed out is another question now: budgets go by labels
    assert snapshot.nodes.requested[:, row].tolist() == requested
    assert snapshot.remove("p") is after
    assert after.group.rows == {}
    assert not snapshot.nodes.requested[:, row].any()
