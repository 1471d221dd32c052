"""The one ordered list of admission plugins: order of reading = order of running (upstream's order).

Mutating plugins run in this order, then the object is prepared and validated, then the validating halves run in this
order. Quota is last, so that nothing is reserved for a request that another plugin refuses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybernetes.control_plane.apiserver.admission.attributes import Plugin
from pybernetes.control_plane.apiserver.admission.certificates import (
    CertificateApproval,
    CertificateSigning,
    CertificateSubjectRestriction,
)
from pybernetes.control_plane.apiserver.admission.declared_features import NodeDeclaredFeatureValidator
from pybernetes.control_plane.apiserver.admission.limit_ranger import LimitRanger
from pybernetes.control_plane.apiserver.admission.namespace_lifecycle import NamespaceLifecycle
from pybernetes.control_plane.apiserver.admission.node_restriction import NodeRestriction
from pybernetes.control_plane.apiserver.admission.pod_security import PodSecurity
from pybernetes.control_plane.apiserver.admission.policies import MutatingAdmissionPolicy, ValidatingAdmissionPolicy
from pybernetes.control_plane.apiserver.admission.priority import Priority
from pybernetes.control_plane.apiserver.admission.resource_quota import ResourceQuota
from pybernetes.control_plane.apiserver.admission.runtime_class import RuntimeClass
from pybernetes.control_plane.apiserver.admission.service_account import ServiceAccount
from pybernetes.control_plane.apiserver.admission.simple_plugins import (
    DefaultIngressClass,
    DefaultStorageClass,
    DefaultTolerationSeconds,
    PersistentVolumeClaimResize,
    PodTopologyLabels,
    StorageObjectInUseProtection,
    TaintNodesByCondition,
)
from pybernetes.control_plane.apiserver.admission.webhook_client import client_of
from pybernetes.control_plane.apiserver.admission.webhooks import MutatingAdmissionWebhook, ValidatingAdmissionWebhook
from pybernetes.control_plane.apiserver.authorization.escalation import RoleEscalation

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.core import Core


def build(core: Core) -> list[Plugin]:
    """All plugins that are on by default."""
    webhooks = client_of(core)
    return [
        NamespaceLifecycle(),
        LimitRanger(core),
        ServiceAccount(core),
        NodeRestriction(core),
        TaintNodesByCondition(),
        PodSecurity(core),
        Priority(core),
        DefaultTolerationSeconds(),
        DefaultStorageClass(core),
        StorageObjectInUseProtection(),
        PersistentVolumeClaimResize(core),
        RuntimeClass(core),
        CertificateApproval(core),
        CertificateSigning(core),
        CertificateSubjectRestriction(),
        DefaultIngressClass(core),
        PodTopologyLabels(core),
        NodeDeclaredFeatureValidator(core),
        RoleEscalation(core),
        MutatingAdmissionPolicy(core),
        MutatingAdmissionWebhook(core, webhooks),
        ValidatingAdmissionPolicy(core),
        ValidatingAdmissionWebhook(core, webhooks),
        ResourceQuota(core),
    ]
