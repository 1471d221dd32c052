"""`certificatesigningrequests/approval`: the decision, as conditions; they are all that it changes."""

from __future__ import annotations

from typing import cast

from pybernetes.aio import clock
from pybernetes.api.certificates_v1 import CertificateSigningRequest
from pybernetes.control_plane.apiserver.call import Call
from pybernetes.control_plane.apiserver.objects import AnyObject
from pybernetes.control_plane.apiserver.subresources.parts import Part
from pybernetes.machinery.field import FieldError


class Approval(Part):
    name = "approval"

    def prepare(self, new: AnyObject, old: AnyObject, call: Call) -> None:
        csr, before = cast(CertificateSigningRequest, new), cast(CertificateSigningRequest, old)
        csr.spec = before.spec
        known = {c.type: c for c in before.status.conditions or ()}
        now = clock.rfc3339()
        for condition in csr.status.conditions or ():
            earlier = known.get(condition.type)
            if condition.last_update_time is None:
                condition.last_update_time = now
            if condition.last_transition_time is None:
                same = earlier is not None and earlier.status == condition.status
                condition.last_transition_time = earlier.last_transition_time if same and earlier else now
        csr.status.certificate = before.status.certificate

    def validate(self, new: AnyObject, old: AnyObject) -> list[FieldError]:
        return self.resource.strategy.validate_status(new, old)
