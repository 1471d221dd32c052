"""Certificate signing requests: approve those of kubelets, sign what is approved, clean up what is old.

Signing is injected (`Config.sign`): which key signs for which signer is decided where the cluster is assembled.
Approval of kubelets' requests asks the API server whether the requester may have such a certificate, as upstream does.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pybernetes.aio import clock
from pybernetes.api.authorization_v1 import ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec
from pybernetes.api.certificates_v1 import CertificateSigningRequest, CertificateSigningRequestCondition
from pybernetes.api.core_v1 import Node
from pybernetes.client.client import Client
from pybernetes.client.controller import Controller, RequeueAfter
from pybernetes.client.events import EventRecorder
from pybernetes.client.factory import InformerFactory
from pybernetes.machinery import codec
from pybernetes.machinery.errors import StatusError

log = logging.getLogger(__name__)

KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING = "kubernetes.io/kubelet-serving"
CLIENT = "kubernetes.io/kube-apiserver-client"
LEGACY = "kubernetes.io/legacy-unknown"
#: Who a node's network part (proxy, DNS, policies) is.
NETWORK_USER = "system:kube-proxy"
SIGNERS = (KUBELET_CLIENT, KUBELET_SERVING, CLIENT, LEGACY)
_CLIENT_USAGES = ({"key encipherment", "digital signature", "client auth"}, {"digital signature", "client auth"})
_SERVING_USAGES = ({"key encipherment", "digital signature", "server auth"}, {"digital signature", "server auth"})
_HOUR = 3600.0


@dataclass(frozen=True)
class Config:
    """What signs. `sign(request_pem, signer_name, usages, seconds)` returns the PEM chain, or raises ValueError."""

    sign: Callable[[bytes, str, tuple[str, ...], int], bytes]
    duration: int = 365 * 24 * 3600  #: seconds a certificate is valid when the request does not say; and at most


def has(request: CertificateSigningRequest, type_: str) -> bool:
    """Whether it has that condition: Approved, Denied or Failed."""
    return any(c.type == type_ for c in request.status.conditions or ())


def expires(request: CertificateSigningRequest) -> float | None:
    """When it is to be cleaned up (Unix seconds): decided ones after an hour, undecided after a day."""
    created = request.metadata.creation_timestamp
    since: list[float] = []
    for condition in request.status.conditions or ():
        decided = condition.type in ("Denied", "Failed") or (
            condition.type == "Approved" and request.status.certificate
        )
        if decided and (at := condition.last_update_time or condition.last_transition_time or created):
            since.append(clock.parse_rfc3339(at) + _HOUR)
    if since:
        return min(since)
    if has(request, "Approved"):
        return None if created is None else clock.parse_rfc3339(created) + _HOUR
    return None if created is None else clock.parse_rfc3339(created) + 24 * _HOUR


def subject_problem(request: CertificateSigningRequest, pem: bytes) -> str:
    """Why a kubelet's request is not what its signer allows; "" when it is. Parses the request."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    parsed = x509.load_pem_x509_csr(pem)
    names = parsed.subject
    organizations = [a.value for a in names.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    common = [str(a.value) for a in names.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if organizations != ["system:nodes"]:
        return "subject organization is not system:nodes"
    if not common or not common[0].startswith("system:node:"):
        return "subject common name does not begin with system:node: "
    try:
        san = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        san = None
    usages = {*(request.spec.usages or ())}
    if request.spec.signer_name == KUBELET_CLIENT:
        if san:
            return "DNS, IP, email and URI subjectAltNames are not allowed"
        return "" if usages in _CLIENT_USAGES else "usages did not match"
    if request.spec.username != common[0]:
        return "subject common name is not the requesting user"
    if san is None or not [n for n in san if isinstance(n, x509.DNSName | x509.IPAddress)]:
        return "DNS or IP subjectAltName is required"
    if [n for n in san if not isinstance(n, x509.DNSName | x509.IPAddress)]:
        return "email and URI subjectAltNames are not allowed"
    return "" if usages in _SERVING_USAGES else "usages did not match"


def common_name(pem: bytes) -> str:
    """The common name that a request asks for."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    names = x509.load_pem_x509_csr(pem).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if len(names) == 1 else ""


def subject_names(pem: bytes) -> set[str]:
    """The DNS names and IP addresses that a request asks for."""
    from cryptography import x509

    extensions = x509.load_pem_x509_csr(pem).extensions
    return {str(n.value) for n in extensions.get_extension_for_class(x509.SubjectAlternativeName).value}


def network_problem(request: CertificateSigningRequest, pem: bytes) -> str:
    """Why a request is not that of a node's network part; "" when it is."""
    from cryptography import x509

    parsed = x509.load_pem_x509_csr(pem)
    if len(list(parsed.subject)) != 1 or common_name(pem) != NETWORK_USER:
        return f"subject is not {NETWORK_USER} alone"
    if len(list(parsed.extensions)):
        return "extensions are not allowed"
    return "" if {*(request.spec.usages or ())} in _CLIENT_USAGES else "usages did not match"


def serving_problem(name: str, names: set[str], nodes: Iterable[Node]) -> str:
    """Why a serving certificate for `names` is not approved for the Node `name`; "" when it is."""
    own: set[str] = set()
    others: set[str] = set()
    for node in nodes:
        addresses = {a.address for a in node.status.addresses or () if a.address} | {node.metadata.name}
        if node.metadata.name == name:
            own = addresses
        else:
            others |= addresses
    if not own:
        return "the node is not registered"
    if foreign := names - own:
        return f"{', '.join(sorted(foreign))} is no address of the node"
    if shared := names & others:
        return f"{', '.join(sorted(shared))} is an address of another node as well"
    return ""


class _RequestController(Controller):
    """Keys are CertificateSigningRequests."""

    def setup(self) -> None:
        """Requests."""
        self.requests = self.informers.informer(CertificateSigningRequest)
        self.requests.on(self.enqueue, self.enqueue_updated)
        self._requests = self.client.resource(CertificateSigningRequest)


#: What is approved by itself: signer -> (what the requester must be allowed to create below
#: certificatesigningrequests, the message), the first that applies. `selfnodeclient` is asked of the node itself only.
_APPROVED: dict[str, list[tuple[str, str]]] = {
    KUBELET_CLIENT: [
        ("selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview."),
        ("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview."),
    ],
    CLIENT: [("networkclient", "Auto approving a node's network client certificate after SubjectAccessReview.")],
}
_SERVING_MESSAGE = "Auto approving kubelet serving certificate: its names are the Node's."


class CSRApprovingController(_RequestController):
    """Approves the certificates of nodes: the kubelet's and its network part's if the requester may have them, the
    serving one if its names are the addresses of its Node and of no other. (Upstream leaves the last to the user.)"""

    name = "certificatesigningrequest-approving-controller"

    def setup(self) -> None:
        """Requests, and Nodes for their addresses."""
        super().setup()
        self.nodes = self.informers.informer(Node)

    async def reconcile(self, key: str) -> RequeueAfter | None:
        """Approve, if it is a node's and allowed."""
        request = self.requests.get("", key)
        if request is None or request.status.certificate or has(request, "Approved") or has(request, "Denied"):
            return None
        try:
            pem = base64.b64decode(request.spec.request)
            if request.spec.signer_name == KUBELET_SERVING:
                return await self._serving(request, pem)
            problem = network_problem if request.spec.signer_name == CLIENT else subject_problem
            if request.spec.signer_name not in _APPROVED or problem(request, pem):
                return None
            is_self = common_name(pem) == request.spec.username
        except ValueError:
            return None
        for subresource, message in _APPROVED[request.spec.signer_name]:
            if (is_self or subresource != "selfnodeclient") and await self._may(request, subresource):
                await self._approve(request, message)
                break
        return None

    async def _serving(self, request: CertificateSigningRequest, pem: bytes) -> RequeueAfter | None:
        if subject_problem(request, pem):
            return None
        node = (request.spec.username or "").removeprefix("system:node:")
        if problem := serving_problem(node, subject_names(pem), self.nodes.list()):
            log.info("request %s of node %s is not approved yet: %s", request.metadata.name, node, problem)
            created = clock.parse_rfc3339(request.metadata.creation_timestamp or clock.rfc3339())
            # Addresses come with the kubelet's first status; later it is for an administrator.
            return RequeueAfter(1.0) if clock.timestamp() - created < 60 else None
        await self._approve(request, _SERVING_MESSAGE)
        return None

    async def _approve(self, request: CertificateSigningRequest, message: str) -> None:
        changed = codec.copy(request)
        now = clock.rfc3339()
        changed.status.conditions = [
            *(changed.status.conditions or ()),
            CertificateSigningRequestCondition(
                type="Approved",
                status="True",
                reason="AutoApproved",
                message=message,
                last_update_time=now,
                last_transition_time=now,
            ),
        ]
        await self._requests.update(changed, "approval")

    async def _may(self, request: CertificateSigningRequest, subresource: str) -> bool:
        spec = request.spec
        review = SubjectAccessReview(
            spec=SubjectAccessReviewSpec(
                user=spec.username,
                uid=spec.uid,
                groups=spec.groups,
                extra=spec.extra,
                resource_attributes=ResourceAttributes(
                    group="certificates.k8s.io",
                    resource="certificatesigningrequests",
                    verb="create",
                    version="*",
                    subresource=subresource,
                ),
            )
        )
        answer = await self.client.resource(SubjectAccessReview).create(review)
        return answer.status is not None and bool(answer.status.allowed)


class CSRSigningController(_RequestController):
    """Signs what is approved, for the built-in signers."""

    name = "certificatesigningrequest-signing-controller"

    def __init__(self, config: Config, client: Client, informers: InformerFactory, events: EventRecorder) -> None:
        super().__init__(client, informers, events)
        self._config = config

    async def reconcile(self, key: str) -> None:
        """Sign, or say why not."""
        request = self.requests.get("", key)
        if request is None or request.spec.signer_name not in SIGNERS or request.status.certificate:
            return
        if not has(request, "Approved") or has(request, "Denied") or has(request, "Failed"):
            return
        changed = codec.copy(request)
        seconds = min(request.spec.expiration_seconds or self._config.duration, self._config.duration)
        try:
            pem = base64.b64decode(request.spec.request)
            kubelet = request.spec.signer_name in (KUBELET_CLIENT, KUBELET_SERVING)
            if kubelet and (problem := subject_problem(request, pem)):
                raise ValueError(problem)
            chain = self._config.sign(pem, request.spec.signer_name, tuple(request.spec.usages or ()), seconds)
            changed.status.certificate = base64.b64encode(chain).decode()
        except ValueError as error:
            now = clock.rfc3339()
            changed.status.conditions = [
                *(changed.status.conditions or ()),
                CertificateSigningRequestCondition(
                    type="Failed",
                    status="True",
                    reason="SignerValidationFailure",
                    message=str(error),
                    last_update_time=now,
                    last_transition_time=now,
                ),
            ]
        await self.requests.caught_up(await self._requests.update_status(changed))


class CSRCleanerController(_RequestController):
    """Deletes old requests."""

    name = "certificatesigningrequest-cleaner-controller"

    async def reconcile(self, key: str) -> RequeueAfter | None:
        """Delete it, or wait for its time."""
        request = self.requests.get("", key)
        if request is None or (at := expires(request)) is None:
            return None
        if (remaining := at - clock.timestamp()) > 0:
            return RequeueAfter(remaining)
        try:
            await self._requests.delete(key, uid=request.metadata.uid)
        except StatusError as error:
            if error.code != 404:
                raise
        return None
