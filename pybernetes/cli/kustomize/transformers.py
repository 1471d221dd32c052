"""What a kustomization does to all its resources: namespace, names, labels, annotations, images, replicas."""

from __future__ import annotations

import re
from typing import Any

from pybernetes.cli.kustomize import fieldpaths
from pybernetes.cli.kustomize.model import KustomizeError, Resource, Resources

_UNNAMED = ("CustomResourceDefinition", "Namespace", "APIService")  # prefixes and suffixes leave these alone
_SCALED = ("Deployment", "StatefulSet", "ReplicaSet", "ReplicationController")


def namespace(resources: Resources, name: str) -> None:
    """Put everything that can be into one namespace."""
    for r in resources.all:
        if r.kind == "Namespace" and r.group_version == ("", "v1"):
            r.rename(name=name)
        elif r.namespaced:
            r.rename(namespace=name)
        if r.kind in ("RoleBinding", "ClusterRoleBinding"):
            for subject in r.object.get("subjects") or ():
                if subject.get("kind") == "ServiceAccount" and subject.get("name") == "default":
                    subject["namespace"] = name


def affixes(resources: Resources, prefix: str, suffix: str) -> None:
    """Names with something before and after them."""
    for r in resources.all:
        if r.kind not in _UNNAMED:
            r.rename(name=f"{prefix}{r.name}{suffix}")


def _add(pairs: dict[str, Any]) -> fieldpaths.Change:
    texts = {str(k): _text(v) for k, v in pairs.items()}
    return lambda have: {**(have or {}), **texts}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)


def annotate(resources: Resources, pairs: dict[str, Any]) -> None:
    """Annotations of objects and of the Pods they make."""
    for r in resources.all:
        for path in ("metadata", *fieldpaths.metadata_of_templates(r.kind)):
            fieldpaths.change(r.object, f"{path}/annotations", True, _add(pairs))


def label(
    resources: Resources, pairs: dict[str, Any], *, selectors: bool, templates: bool, fields: list[dict[str, Any]]
) -> None:
    """Labels of objects; of their templates and selectors when asked."""
    for r in resources.all:
        group, version = r.group_version
        fieldpaths.change(r.object, "metadata/labels", True, _add(pairs))
        if selectors or templates:
            for path in fieldpaths.metadata_of_templates(r.kind):
                fieldpaths.change(r.object, f"{path}/labels", True, _add(pairs))
            if r.kind == "StatefulSet":
                fieldpaths.change(r.object, "spec/volumeClaimTemplates[]/metadata/labels", True, _add(pairs))
        if selectors:
            for path, create in fieldpaths.selectors(group, r.kind):
                fieldpaths.change(r.object, path, create, _add(pairs))
        for spec in fields:
            wanted = (spec.get("group") or group, spec.get("version") or version, spec.get("kind") or r.kind)
            if wanted == (group, version, r.kind):
                fieldpaths.change(r.object, spec["path"], bool(spec.get("create")), _add(pairs))


def replicas(resources: Resources, given: dict[str, Any]) -> None:
    """One entry of `replicas`."""
    name, found = given.get("name"), False
    for r in resources.all:
        if r.kind in _SCALED and any(n == name for n, _ in r.names):
            r.object.setdefault("spec", {})["replicas"] = given.get("count")
            found = True
    if not found:
        kinds = " ".join(f"{kind}.[noVer].[noGrp]" for kind in _SCALED)
        raise KustomizeError(f"resource with name {name} does not match a config with the following GVK [{kinds}]")


def images(resources: Resources, given: dict[str, Any]) -> None:
    """One entry of `images`: every `image` of every list of containers."""
    pattern = re.compile(f"{given.get('name', '')}(:[a-zA-Z0-9_.{{}}-]*)?(@sha256:[a-zA-Z0-9_.{{}}-]*)?")
    for r in resources.all:
        if r.kind != "CustomResourceDefinition":
            _walk(r.object, pattern, given)


def _walk(value: Any, pattern: re.Pattern[str], given: dict[str, Any]) -> None:
    if isinstance(value, list):
        for item in value:
            _walk(item, pattern, given)
    if not isinstance(value, dict):
        return
    for key, content in value.items():
        if key in ("containers", "initContainers") and isinstance(content, list):
            for container in content:
                image = container.get("image") if isinstance(container, dict) else None
                if isinstance(image, str) and pattern.fullmatch(image):
                    container["image"] = _image(image, given)
        _walk(content, pattern, given)


def _image(image: str, given: dict[str, Any]) -> str:
    rest, _, digest = image.partition("@")
    name, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        name, tag = rest, ""
    new_tag, new_digest = str(given.get("newTag") or ""), str(given.get("digest") or "")
    if new_tag or new_digest:
        tag, digest = new_tag, new_digest
    elif given.get("tagSuffix"):
        tag, digest = f"{tag}{given['tagSuffix']}", ""
    name = given.get("newName") or name
    return name + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")


def tidy(resources: Resources) -> None:
    """Labels and annotations are texts, whatever a patch has made of them."""
    for r in resources.all:
        for part in ("labels", "annotations"):
            have = r.metadata.get(part)
            if isinstance(have, dict):
                r.metadata[part] = {k: _text(v) for k, v in have.items()}


def layer(resources: list[Resource], number: int) -> None:
    """Note that resources have passed a layer."""
    for r in resources:
        r.layers.append(number)
