"""CertificateApproval, CertificateSigning and CertificateSubjectRestriction: who may approve, sign and ask for what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from pybernetes.api.certificates_v1 import CertificateSigningRequest
from pybernetes.control_plane.apiserver.admission.attributes import Attributes, Plugin
from pybernetes.control_plane.apiserver.admission.scope import refuse
from pybernetes.control_plane.apiserver.authorization.attributes import Attributes as Action

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.core import Core

GROUP = "certificates.k8s.io"
MASTERS = "system:masters"


def _is_request(attributes: Attributes, operation: str, subresource: str) -> bool:
    kind = attributes.resource.kind
    return (
        attributes.operation == operation
        and kind.group == GROUP
        and kind.resource == "certificatesigningrequests"
        and attributes.subresource == subresource
    )


def may(core: Core, attributes: Attributes, verb: str, signer: str) -> bool:
    """Whether the user may do `verb` to a signer, by its name or by all of its domain."""
    if core.authorizer is None or attributes.user is None:
        return True  # nobody is judged (tests, AlwaysAllow)
    for name in (signer, f"{signer.partition('/')[0]}/*"):
        action = Action(verb, GROUP, "signers", name=name)
        if core.authorizer.authorize(attributes.user, action).allowed:
            return True
    return False


class CertificateApproval(Plugin):
    name = "CertificateApproval"
    fixed = True
    validates = True

    def __init__(self, core: Core) -> None:
        self._core = core

    def handles(self, attributes: Attributes) -> bool:
        return _is_request(attributes, "UPDATE", "approval")

    async def validate(self, attributes: Attributes) -> None:
        signer = cast(CertificateSigningRequest, attributes.old_obj).spec.signer_name
        if not may(self._core, attributes, "approve", signer):
            raise refuse(attributes, f'user not permitted to approve requests with signerName "{signer}"')


class CertificateSigning(Plugin):
    name = "CertificateSigning"
    fixed = True
    validates = True

    def __init__(self, core: Core) -> None:
        self._core = core

    def handles(self, attributes: Attributes) -> bool:
        return _is_request(attributes, "UPDATE", "status")

    async def validate(self, attributes: Attributes) -> None:
        new = cast(CertificateSigningRequest, attributes.obj)
        old = cast(CertificateSigningRequest, attributes.old_obj)
        if new.status.certificate == old.status.certificate and _failed(new) == _failed(old):
            return
        signer = old.spec.signer_name
        if not may(self._core, attributes, "sign", signer):
            raise refuse(attributes, f'user not permitted to sign requests with signerName "{signer}"')


def _failed(request: CertificateSigningRequest) -> list[Any]:
    return [c for c in request.status.conditions or () if c.type == "Failed"]


class CertificateSubjectRestriction(Plugin):
    name = "CertificateSubjectRestriction"
    fixed = True
    validates = True

    def handles(self, attributes: Attributes) -> bool:
        return _is_request(attributes, "CREATE", "")

    async def validate(self, attributes: Attributes) -> None:
        request = cast(CertificateSigningRequest, attributes.obj)
        if request.spec.signer_name != "kubernetes.io/kube-apiserver-client":
            return
        from base64 import b64decode

        from cryptography import x509
        from cryptography.x509.oid import NameOID

        try:
            parsed = x509.load_pem_x509_csr(b64decode(request.spec.request))
        except ValueError as error:
            raise refuse(attributes, f"failed to parse request: {error}") from None
        groups = [a.value for a in parsed.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
        if MASTERS in groups:
            text = "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"
            raise refuse(attributes, text)
