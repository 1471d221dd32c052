"""What an object tells of its own name is right also when the server made the name."""

from __future__ import annotations

from pybernetes.api.batch_v1 import Job, JobSpec
from pybernetes.api.core_v1 import Container, Namespace, PodSpec, PodTemplateSpec
from pybernetes.machinery.meta import ObjectMeta
from tests.suites.api_server import client_of, running


async def test_labels_of_a_generated_name() -> None:
    async with running() as server:
        client = client_of(server)
        space = await client.resource(Namespace).create(Namespace(metadata=ObjectMeta(generate_name="team-")))
        assert space.metadata.labels == {"kubernetes.io/metadata.name": space.metadata.name}
        pod = PodSpec(restart_policy="Never", containers=[Container(name="c", image="i")])
        job = await client.resource(Job).create(
            Job(
                metadata=ObjectMeta(generate_name="work-", namespace="default"),
                spec=JobSpec(template=PodTemplateSpec(spec=pod)),
            )
        )
        assert job.metadata.name.startswith("work-")
        template = job.spec.template.metadata
        assert template is not None and template.labels is not None
        assert template.labels["batch.kubernetes.io/job-name"] == template.labels["job-name"] == job.metadata.name
