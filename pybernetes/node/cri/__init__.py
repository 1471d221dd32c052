"""Container Runtime Interface: the protocol the kubelet speaks, its gRPC client, and an in-memory runtime.

`runtime.ContainerRuntime` is the seam; `types` its words; `errors` its failures. `client.CRIClient` speaks to
containerd, `fake.FakeRuntime` is the runtime of fake nodes and tests. The two are imported from their modules, so
that a cluster of fake nodes never loads gRPC.
"""

from .errors import (
    AlreadyExists,
    CRIError,
    DeadlineExceeded,
    ImagePullError,
    InvalidArgument,
    NotFound,
    Unavailable,
    Unsupported,
)
from .runtime import ContainerRuntime, Containers, Images, PodSandboxes

__all__ = [
    "AlreadyExists",
    "CRIError",
    "ContainerRuntime",
    "Containers",
    "DeadlineExceeded",
    "ImagePullError",
    "Images",
    "InvalidArgument",
    "NotFound",
    "PodSandboxes",
    "Unavailable",
    "Unsupported",
]
