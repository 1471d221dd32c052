"""Environment of a container: variables from literals, fields, resources, ConfigMaps, Secrets and Services. Pure.

Later definitions win; `$(NAME)` refers to what is known by then (Services, envFrom, earlier variables), `$$` is a
dollar, and a reference to an unknown name stays as it is written.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping

from pybernetes.api.core_v1 import ConfigMap, EnvVar, Pod, Secret, Service
from pybernetes.node.kubelet.fields import field_value, resource_value
from pybernetes.node.kubelet.restarts import AnyContainer, find_container

#: A variable name on its own terms: any printable ASCII but `=` (the relaxed rule of 1.34).
_RELAXED_NAME = re.compile(r"[ -<>-~]+")


class ConfigError(Exception):
    """The container cannot be configured: the waiting reason is CreateContainerConfigError."""


class References:
    """What an environment may refer to, fetched before. `get` functions return None for what does not exist."""

    def __init__(
        self,
        config_map: Callable[[str], ConfigMap | None],
        secret: Callable[[str], Secret | None],
        services: Iterable[Service] = (),
        host_ips: tuple[str, ...] = (),
        pod_ips: tuple[str, ...] = (),
        allocatable: Mapping[str, str] | None = None,
        file: Callable[[str, str], bytes | None] | None = None,
    ) -> None:
        self.config_map = config_map
        self.secret = secret
        self.services = services
        self.host_ips = host_ips
        self.pod_ips = pod_ips
        self.allocatable = allocatable or {}
        self.file = file


def expand(text: str, values: Mapping[str, str]) -> str:
    """`$(NAME)` replaced by its value, `$$` by `$`; unknown names stay."""
    if "$" not in text:
        return text
    out, i = [], 0
    while i < len(text):
        c = text[i]
        if c == "$" and i + 1 < len(text):
            follow = text[i + 1]
            if follow == "$":
                out.append("$")
                i += 2
                continue
            if follow == "(":
                end = text.find(")", i + 2)
                if end > 0:
                    name = text[i + 2 : end]
                    out.append(values.get(name, text[i : end + 1]))
                    i = end + 1
                    continue
        out.append(c)
        i += 1
    return "".join(out)


def names_in(text: str) -> set[str]:
    """The names that `$(NAME)` references in a text mean."""
    found: set[str] = set()

    class Collect(dict[str, str]):
        def get(self, key: str, default: str | None = None) -> str:  # type: ignore[override]
            found.add(key)
            return ""

    expand(text, Collect())
    return found


def build(pod: Pod, container: AnyContainer, references: References) -> dict[str, str]:
    """The variables of a container, in order. Raises ConfigError."""
    values = dict(service_variables(pod, references.services))
    for source in container.env_from or ():
        prefix = source.prefix or ""
        if source.config_map_ref is not None:
            name = source.config_map_ref.name or ""
            config_map = references.config_map(name)
            if config_map is None:
                if not source.config_map_ref.optional:
                    raise ConfigError(f'configmap "{name}" not found')
                continue
            pairs: Iterable[tuple[str, str]] = (config_map.data or {}).items()
        elif source.secret_ref is not None:
            name = source.secret_ref.name or ""
            secret = references.secret(name)
            if secret is None:
                if not source.secret_ref.optional:
                    raise ConfigError(f'secret "{name}" not found')
                continue
            pairs = ((k, _text(b64decode(v))) for k, v in (secret.data or {}).items())
        else:
            continue
        for key, value in pairs:
            if _RELAXED_NAME.fullmatch(prefix + key):
                values[prefix + key] = value
    own: dict[str, str] = {}
    for variable in container.env or ():
        found = _value(pod, container, variable, references, {**values, **own})
        if found is not None:
            own[variable.name] = found
    return {**values, **own}


def _value(
    pod: Pod, container: AnyContainer, variable: EnvVar, references: References, known: Mapping[str, str]
) -> str | None:
    source = variable.value_from
    if source is None:
        return expand(variable.value or "", known)
    if source.field_ref is not None:
        path = source.field_ref.field_path
        try:
            return field_value(pod, path, references.host_ips, references.pod_ips)
        except ValueError as error:
            raise ConfigError(str(error)) from None
    if source.resource_field_ref is not None:
        reference = source.resource_field_ref
        other = find_container(pod, reference.container_name) if reference.container_name else container
        if other is None:
            raise ConfigError(f"container {reference.container_name} not found")
        try:
            return resource_value(other, reference.resource, reference.divisor, references.allocatable)
        except ValueError as error:
            raise ConfigError(str(error)) from None
    if source.config_map_key_ref is not None:
        key_ref = source.config_map_key_ref
        name = key_ref.name or ""
        config_map = references.config_map(name)
        if config_map is None:
            if key_ref.optional:
                return None
            raise ConfigError(f'configmap "{name}" not found')
        if (found := (config_map.data or {}).get(key_ref.key)) is None:
            if key_ref.optional:
                return None
            raise ConfigError(f"couldn't find key {key_ref.key} in ConfigMap {pod.metadata.namespace}/{name}")
        return found
    if source.secret_key_ref is not None:
        secret_ref = source.secret_key_ref
        name = secret_ref.name or ""
        secret = references.secret(name)
        if secret is None:
            if secret_ref.optional:
                return None
            raise ConfigError(f'secret "{name}" not found')
        if (encoded := (secret.data or {}).get(secret_ref.key)) is None:
            if secret_ref.optional:
                return None
            raise ConfigError(f"couldn't find key {secret_ref.key} in Secret {pod.metadata.namespace}/{name}")
        return _text(b64decode(encoded))
    if source.file_key_ref is not None:
        file_ref = source.file_key_ref
        data = references.file(file_ref.volume_name, file_ref.path) if references.file else None
        found = parse_env_file(_text(data)).get(file_ref.key) if data is not None else None
        if found is None and not file_ref.optional:
            raise ConfigError(
                f'environment variable key "{file_ref.key}" not found in file "{file_ref.path}"'
                if data is not None
                else f'failed to read file "{file_ref.path}" of volume "{file_ref.volume_name}"'
            )
        return found
    return ""


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def parse_env_file(text: str) -> dict[str, str]:
    """`KEY='value'` lines, as fileKeyRef reads them: comments and blank lines are skipped, quotes are taken off."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith("#") or "=" not in line:
            continue
        name, _, value = line.partition("=")
        value = value.strip()
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        found[name.strip()] = value
    return found


def service_variables(pod: Pod, services: Iterable[Service]) -> dict[str, str]:
    """Docker-links style variables of the namespace's Services, and those of `kubernetes`, which every pod gets."""
    chosen: dict[str, Service] = {}
    links = pod.spec.enable_service_links is not False
    for service in services:
        ip = service.spec.cluster_ip
        if not ip or ip == "None":
            continue
        namespace, name = service.metadata.namespace, service.metadata.name
        if links and namespace == pod.metadata.namespace:
            chosen[name] = service
        elif namespace == "default" and name == "kubernetes":
            chosen.setdefault(name, service)
    found: dict[str, str] = {}
    for name in sorted(chosen):
        found.update(_variables_of(chosen[name]))
    return found


def _variables_of(service: Service) -> dict[str, str]:
    spec, ports = service.spec, service.spec.ports or ()
    if not ports:
        return {}
    prefix = service.metadata.name.upper().replace("-", "_")
    host = str(spec.cluster_ip)
    shown = f"[{host}]" if ":" in host else host
    found = {f"{prefix}_SERVICE_HOST": host, f"{prefix}_SERVICE_PORT": str(ports[0].port)}
    for port in ports:
        if port.name:
            found[f"{prefix}_SERVICE_PORT_{port.name.upper().replace('-', '_')}"] = str(port.port)
    for i, port in enumerate(ports):
        protocol = (port.protocol or "TCP").lower()
        url = f"{protocol}://{shown}:{port.port}"
        if i == 0:
            found[f"{prefix}_PORT"] = url
        base = f"{prefix}_PORT_{port.port}_{protocol.upper()}"
        found[base] = url
        found[f"{base}_PROTO"] = protocol
        found[f"{base}_PORT"] = str(port.port)
        found[f"{base}_ADDR"] = host
    return found
