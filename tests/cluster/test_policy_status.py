"""Type checking of ValidatingAdmissionPolicies, and what they do."""

from __future__ import annotations

from pybernetes.aio import clock

from .place import Place, Wire, refused, workload


def policy(*expressions: str, resource: str = "deployments", group: str = "apps", version: str = "v1") -> Wire:
    rule = {"apiGroups": [group], "apiVersions": [version], "operations": ["CREATE", "UPDATE"], "resources": [resource]}
    return {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": text} for text in expressions],
    }


KIND = "ValidatingAdmissionPolicy"


async def test_expressions_are_checked_against_the_kinds_they_are_for() -> None:
    async with Place.open(nodes=0) as place:
        spec = policy("object.spec.replicas > 1", "variables.x == 1")
        spec["variables"] = [{"name": "x", "expression": "object.spec.replicas"}]
        await place.create(KIND, "good", spec=spec)
        found = await place.until(KIND, "good", lambda p: p["status"].get("observedGeneration") == 1)
        assert found["status"]["typeChecking"] == {}
        await place.create(KIND, "bad", spec=policy("object.spec.replicas > 1", "object.spec.replicaz > 1"))
        found = await place.until(KIND, "bad", lambda p: p["status"].get("observedGeneration") == 1)
        (warning,) = found["status"]["typeChecking"]["expressionWarnings"]
        assert warning["fieldRef"] == "spec.validations[1].expression"
        assert warning["warning"].startswith("apps/v1, Kind=Deployment: ")
        assert "undefined field 'replicaz'" in warning["warning"]
        await place.patch(KIND, "bad", {"spec": policy("object.spec.replicas > 1")}, "merge")
        found = await place.until(KIND, "bad", lambda p: p["status"].get("observedGeneration") == 2)
        assert found["status"]["typeChecking"] == {}


async def test_a_policy_denies() -> None:
    async with Place.open(nodes=0) as place:
        await place.create(KIND, "odd", spec=policy("object.spec.replicas % 2 == 1"))
        binding = {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": "odd"},
            "spec": {"policyName": "odd", "validationActions": ["Deny"]},
        }
        await place.client.dynamic("admissionregistration.k8s.io/v1", binding["kind"]).create(binding)  # type: ignore[arg-type]
        await clock.sleep(1)
        with refused(422, "failed expression: object.spec.replicas % 2 == 1"):
            await place.create("Deployment", "two", spec=workload(replicas=2))
        await place.create("Deployment", "three", spec=workload(replicas=3))
