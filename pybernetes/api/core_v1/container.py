"""Types of v1: container."""

from __future__ import annotations

from typing import Annotated

from pybernetes.api.core_v1.references import (
    ConfigMapKeySelector,
    ObjectFieldSelector,
    ResourceFieldSelector,
    SecretKeySelector,
)
from pybernetes.machinery.types import (
    ATOMIC,
    BY_NAME,
    SET,
    Int32,
    IntOrString,
    Merge,
    Quantity,
    Struct,
    field,
    zero_int,
    zero_str,
)


class AppArmorProfile(Struct):
    type: str = field(default_factory=zero_str)
    localhost_profile: str | None = None


class Capabilities(Struct):
    add: Annotated[list[str], ATOMIC] | None = None
    drop: Annotated[list[str], ATOMIC] | None = None


class ConfigMapEnvSource(Struct):
    optional: bool | None = None
    name: str | None = None


class FileKeySelector(Struct):
    volume_name: str = field(default_factory=zero_str)
    path: str = field(default_factory=zero_str)
    key: str = field(default_factory=zero_str)
    optional: bool | None = None


class EnvVarSource(Struct):
    field_ref: ObjectFieldSelector | None = None
    resource_field_ref: ResourceFieldSelector | None = None
    config_map_key_ref: ConfigMapKeySelector | None = None
    secret_key_ref: SecretKeySelector | None = None
    file_key_ref: FileKeySelector | None = None


class EnvVar(Struct):
    name: str = field(default_factory=zero_str)
    value: str | None = None
    value_from: EnvVarSource | None = None


class SecretEnvSource(Struct):
    optional: bool | None = None
    name: str | None = None


class EnvFromSource(Struct):
    prefix: str | None = None
    config_map_ref: ConfigMapEnvSource | None = None
    secret_ref: SecretEnvSource | None = None


class ExecAction(Struct):
    command: Annotated[list[str], ATOMIC] | None = None


class HTTPHeader(Struct):
    name: str = field(default_factory=zero_str)
    value: str = field(default_factory=zero_str)


class HTTPGetAction(Struct):
    path: str | None = None
    port: IntOrString | None = None
    host: str | None = None
    scheme: str | None = None
    http_headers: Annotated[list[HTTPHeader], ATOMIC] | None = None


class SleepAction(Struct):
    seconds: int = field(default_factory=zero_int)


class TCPSocketAction(Struct):
    port: IntOrString | None = None
    host: str | None = None


class LifecycleHandler(Struct):
    exec: ExecAction | None = None
    http_get: HTTPGetAction | None = None
    tcp_socket: TCPSocketAction | None = None
    sleep: SleepAction | None = None


class Lifecycle(Struct):
    post_start: LifecycleHandler | None = None
    pre_stop: LifecycleHandler | None = None
    stop_signal: str | None = None


class GRPCAction(Struct):
    port: Int32 = field(default_factory=zero_int)
    service: str | None = None


class Probe(Struct):
    initial_delay_seconds: Int32 | None = None
    timeout_seconds: Int32 | None = None
    period_seconds: Int32 | None = None
    success_threshold: Int32 | None = None
    failure_threshold: Int32 | None = None
    termination_grace_period_seconds: int | None = None
    exec: ExecAction | None = None
    grpc: GRPCAction | None = None
    http_get: HTTPGetAction | None = None
    tcp_socket: TCPSocketAction | None = None


class ContainerPort(Struct):
    name: str | None = None
    host_port: Int32 | None = None
    container_port: Int32 = field(default_factory=zero_int)
    protocol: str | None = None
    host_ip: str | None = field(name="hostIP", default=None)


class ContainerResizePolicy(Struct):
    resource_name: str = field(default_factory=zero_str)
    restart_policy: str = field(default_factory=zero_str)


class ResourceClaim(Struct):
    name: str = field(default_factory=zero_str)
    request: str | None = None


class ResourceRequirements(Struct):
    limits: dict[str, Quantity] | None = None
    requests: dict[str, Quantity] | None = None
    claims: Annotated[list[ResourceClaim], Merge(keys=("name",))] | None = None


class ContainerRestartRuleOnExitCodes(Struct):
    operator: str = field(default_factory=zero_str)
    values: Annotated[list[Int32], SET] | None = None


class ContainerRestartRule(Struct):
    action: str = field(default_factory=zero_str)
    exit_codes: ContainerRestartRuleOnExitCodes | None = None


class SELinuxOptions(Struct):
    user: str | None = None
    role: str | None = None
    type: str | None = None
    level: str | None = None


class SeccompProfile(Struct):
    type: str = field(default_factory=zero_str)
    localhost_profile: str | None = None


class WindowsSecurityContextOptions(Struct):
    gmsa_credential_spec_name: str | None = None
    gmsa_credential_spec: str | None = None
    run_as_user_name: str | None = None
    host_process: bool | None = None


class SecurityContext(Struct):
    capabilities: Capabilities | None = None
    privileged: bool | None = None
    se_linux_options: SELinuxOptions | None = None
    windows_options: WindowsSecurityContextOptions | None = None
    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    read_only_root_filesystem: bool | None = None
    allow_privilege_escalation: bool | None = None
    proc_mount: str | None = None
    seccomp_profile: SeccompProfile | None = None
    app_armor_profile: AppArmorProfile | None = None


class VolumeDevice(Struct):
    name: str = field(default_factory=zero_str)
    device_path: str = field(default_factory=zero_str)


class VolumeMount(Struct):
    name: str = field(default_factory=zero_str)
    read_only: bool | None = None
    recursive_read_only: str | None = None
    mount_path: str = field(default_factory=zero_str)
    sub_path: str | None = None
    mount_propagation: str | None = None
    sub_path_expr: str | None = None


class Container(Struct):
    name: str = field(default_factory=zero_str)
    image: str | None = None
    command: Annotated[list[str], ATOMIC] | None = None
    args: Annotated[list[str], ATOMIC] | None = None
    working_dir: str | None = None
    ports: (
        Annotated[
            list[ContainerPort], Merge(keys=("containerPort", "protocol"), patch="merge", merge_key="containerPort")
        ]
        | None
    ) = None
    env_from: Annotated[list[EnvFromSource], ATOMIC] | None = None
    env: Annotated[list[EnvVar], BY_NAME] | None = None
    resources: ResourceRequirements | None = None
    resize_policy: Annotated[list[ContainerResizePolicy], ATOMIC] | None = None
    restart_policy: str | None = None
    restart_policy_rules: Annotated[list[ContainerRestartRule], ATOMIC] | None = None
    volume_mounts: (
        Annotated[list[VolumeMount], Merge(keys=("mountPath",), patch="merge", merge_key="mountPath")] | None
    ) = None
    volume_devices: (
        Annotated[list[VolumeDevice], Merge(keys=("devicePath",), patch="merge", merge_key="devicePath")] | None
    ) = None
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    startup_probe: Probe | None = None
    lifecycle: Lifecycle | None = None
    termination_message_path: str | None = None
    termination_message_policy: str | None = None
    image_pull_policy: str | None = None
    security_context: SecurityContext | None = None
    stdin: bool | None = None
    stdin_once: bool | None = None
    tty: bool | None = None


class ContainerExtendedResourceRequest(Struct):
    container_name: str = field(default_factory=zero_str)
    resource_name: str = field(default_factory=zero_str)
    request_name: str = field(default_factory=zero_str)


class EphemeralContainer(Struct):
    target_container_name: str | None = None
    args: Annotated[list[str], ATOMIC] | None = None
    command: Annotated[list[str], ATOMIC] | None = None
    env: Annotated[list[EnvVar], BY_NAME] | None = None
    env_from: Annotated[list[EnvFromSource], ATOMIC] | None = None
    image: str | None = None
    image_pull_policy: str | None = None
    lifecycle: Lifecycle | None = None
    liveness_probe: Probe | None = None
    name: str = field(default_factory=zero_str)
    ports: (
        Annotated[
            list[ContainerPort], Merge(keys=("containerPort", "protocol"), patch="merge", merge_key="containerPort")
        ]
        | None
    ) = None
    readiness_probe: Probe | None = None
    resize_policy: Annotated[list[ContainerResizePolicy], ATOMIC] | None = None
    resources: ResourceRequirements | None = None
    restart_policy: str | None = None
    restart_policy_rules: Annotated[list[ContainerRestartRule], ATOMIC] | None = None
    security_context: SecurityContext | None = None
    startup_probe: Probe | None = None
    stdin: bool | None = None
    stdin_once: bool | None = None
    termination_message_path: str | None = None
    termination_message_policy: str | None = None
    tty: bool | None = None
    volume_devices: (
        Annotated[list[VolumeDevice], Merge(keys=("devicePath",), patch="merge", merge_key="devicePath")] | None
    ) = None
    volume_mounts: (
        Annotated[list[VolumeMount], Merge(keys=("mountPath",), patch="merge", merge_key="mountPath")] | None
    ) = None
    working_dir: str | None = None
