"""Requests, classes and groups of Pods."""

from __future__ import annotations

import pytest

from pybernetes.api.core_v1 import Container, ContainerPort, Pod, PodCondition, PodSpec, PodStatus, ResourceRequirements
from pybernetes.api.core_v1.pod_status import ContainerStatus
from pybernetes.control_plane.scheduler.facts import Interner, normal_image, pod_requests
from pybernetes.machinery.meta import ObjectMeta

MI = 2**20


def container(name: str = "c", *, restart: str | None = None, **requests: str) -> Container:
    return Container(name=name, resources=ResourceRequirements(requests=requests or None), restart_policy=restart)


def pod(*containers: Container, init: list[Container] | None = None, **spec: object) -> Pod:
    return Pod(
        metadata=ObjectMeta(name="p", namespace="ns", uid="u"),
        spec=PodSpec(containers=[*containers], init_containers=init, **spec),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("made", "cpu", "memory"),
    [
        (pod(container(cpu="100m"), container(cpu="0.2", memory="1Mi")), 300, MI),
        (pod(container(cpu="1"), init=[container(cpu="3"), container(cpu="2")]), 3000, 0),
        (pod(container(cpu="1"), init=[container("s", restart="Always", cpu="500m")]), 1500, 0),
        # A sidecar runs beside later init containers: 500m + 2.
        (pod(container(cpu="1"), init=[container("s", restart="Always", cpu="500m"), container(cpu="2")]), 2500, 0),
        # but not beside earlier ones.
        (pod(container(cpu="1"), init=[container(cpu="2"), container("s", restart="Always", cpu="500m")]), 2000, 0),
        (pod(container(cpu="1"), overhead={"cpu": "250m", "memory": "10Mi"}), 1250, 10 * MI),
        (pod(container(cpu="1"), resources=ResourceRequirements(requests={"cpu": "4"})), 4000, 0),
        (
            pod(
                container(memory="1Mi"),
                resources=ResourceRequirements(requests={"cpu": "2"}),
                overhead={"cpu": "1"},
            ),
            3000,
            MI,
        ),
        (pod(container()), 0, 0),
    ],
)
def test_requests(made: Pod, cpu: int, memory: int) -> None:
    found = pod_requests(made)
    assert (found.get("cpu", 0), found.get("memory", 0)) == (cpu, memory)


def test_a_pod_being_resized_counts_with_the_larger_until_that_is_infeasible() -> None:
    made = pod(container(cpu="1"))
    status = ContainerStatus(name="c", allocated_resources={"cpu": "3"})
    made.status = PodStatus(container_statuses=[status])
    assert pod_requests(made)["cpu"] == 3000
    made.spec.containers[0] = container(cpu="5")
    assert pod_requests(made)["cpu"] == 5000
    made.status.conditions = [PodCondition(type="PodResizePending", status="True", reason="Infeasible")]
    assert pod_requests(made)["cpu"] == 3000


def test_scores_take_defaults_for_what_is_not_requested() -> None:
    facts = Interner().facts(pod(container(), container("d", cpu="0", memory="1Mi")))
    assert facts.pod_class.nonzero == (100, 200 * MI + MI)
    assert facts.pod_class.requests == {"memory": MI}


def test_replicas_share_class_and_group_whatever_their_names_and_volumes() -> None:
    interner = Interner()
    one, two = pod(container(cpu="1")), pod(container(cpu="1"))
    two.metadata.name, two.metadata.uid = "q", "v"
    two.spec.node_name = "somewhere"
    a, b = interner.facts(one), interner.facts(two)
    assert a.pod_class is b.pod_class and a.group is b.group
    two.spec.containers[0] = container(cpu="2")
    assert interner.facts(two).pod_class is not a.pod_class
    two.metadata.labels = {"x": "y"}
    assert interner.facts(two).group is not a.group
    one.metadata.deletion_timestamp = "2026-01-01T00:00:00Z"
    assert interner.facts(one).group.terminating


def test_host_ports_of_containers_and_sidecars() -> None:
    port = ContainerPort(container_port=1, host_port=80)
    side = Container(name="s", restart_policy="Always", ports=[ContainerPort(container_port=1, host_port=81)])
    init = Container(name="i", ports=[ContainerPort(container_port=1, host_port=82)])
    made = pod(Container(name="c", ports=[port]), init=[side, init])
    assert Interner().facts(made).pod_class.host_ports == (("0.0.0.0", "TCP", 80), ("0.0.0.0", "TCP", 81))


@pytest.mark.parametrize(
    ("name", "normal"),
    [
        ("web", "web:latest"),
        ("web:1", "web:1"),
        ("host:5000/web", "host:5000/web:latest"),
        ("a@sha256:00", "a@sha256:00"),
    ],
)
def test_images_have_a_tag(name: str, normal: str) -> None:
    assert normal_image(name) == normal
