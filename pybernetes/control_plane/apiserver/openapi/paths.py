"""The operations on one resource, as OpenAPI path items of either version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pybernetes.control_plane.apiserver.openapi.definitions import GVK, gvk
from pybernetes.control_plane.apiserver.openapi.names import META

if TYPE_CHECKING:
    from pybernetes.control_plane.apiserver.openapi.definitions import Definitions
    from pybernetes.control_plane.apiserver.resource import Resource

_MEDIA = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"]
_PATCHES = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
    "application/apply-patch+cbor",
]
_ACTIONS = {
    "create": ("post", "post"),
    "list": ("get", "list"),
    "get": ("get", "get"),
    "update": ("put", "put"),
    "patch": ("patch", "patch"),
    "delete": ("delete", "delete"),
    "deletecollection": ("delete", "deletecollection"),
}

_TEXTS = {
    "pretty": ("string", "If 'true', then the output is pretty printed. Defaults to 'false'."),
    "dryRun": ("string", "When present, indicates that modifications should not be persisted. Valid values: All"),
    "fieldManager": ("string", "The name associated with the actor or entity that is making these changes."),
    "fieldValidation": (
        "string",
        "Instructs the server on how to handle objects in the request containing unknown or duplicate fields. "
        "Valid values: Ignore, Warn, Strict",
    ),
    "force": ("boolean", "Force Apply requests: re-acquire conflicting fields owned by other people."),
    "labelSelector": ("string", "A selector to restrict the list of returned objects by their labels."),
    "fieldSelector": ("string", "A selector to restrict the list of returned objects by their fields."),
    "limit": ("integer", "The maximum number of responses to return for a list call."),
    "continue": ("string", "The token of the last page, to go on from there."),
    "resourceVersion": ("string", "Constrains what resource versions a request may be served from."),
    "resourceVersionMatch": ("string", "How resourceVersion is applied to list calls."),
    "sendInitialEvents": ("boolean", "Begin a watch with synthetic events of the present state."),
    "timeoutSeconds": ("integer", "Timeout for the list or watch call."),
    "watch": ("boolean", "Watch for changes to the described resources."),
    "allowWatchBookmarks": ("boolean", "Requests watch events of type BOOKMARK."),
    "gracePeriodSeconds": ("integer", "The duration in seconds before the object should be deleted."),
    "orphanDependents": ("boolean", "Deprecated: use propagationPolicy."),
    "propagationPolicy": ("string", "Whether and how garbage collection will be performed."),
}
_LISTING = (
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
    "watch",
)
_DELETING = ("dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy")
_PARAMETERS = {
    "create": ("dryRun", "fieldManager", "fieldValidation"),
    "update": ("dryRun", "fieldManager", "fieldValidation"),
    "patch": ("dryRun", "fieldManager", "fieldValidation", "force"),
    "delete": _DELETING,
    "deletecollection": (*_DELETING, *(n for n in _LISTING if n not in ("watch", "allowWatchBookmarks"))),
    "list": _LISTING,
    "get": (),
}


class Operations:
    """Writes path items into `paths`; definitions must be in `definitions` already."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._v2 = definitions.version == 2
        self.paths: dict[str, dict[str, Any]] = {}

    def add(self, resource: Resource, name: str, list_name: str) -> None:
        """All paths of a resource whose definition is `name` and whose list is `list_name`."""
        kind = resource.kind
        scope = "/namespaces/{namespace}" if kind.namespaced else ""
        collection = f"{kind.base_path}{scope}/{kind.resource}"
        item = f"{collection}/{{name}}"
        verbs = [v for v in _ACTIONS if v in kind.verbs] if resource.special is None else list(resource.special.verbs)
        for verb in verbs:
            if verb in ("create", "list", "deletecollection"):
                body = name if verb == "create" else ""
                answer = list_name if verb == "list" else f"{META}.Status" if verb == "deletecollection" else name
                self._add(resource, collection, verb, body, answer)
            elif verb in _ACTIONS:
                body = name if verb == "update" else ""
                self._add(resource, item, verb, body, f"{META}.Status" if verb == "delete" else name)
        if kind.namespaced and "list" in verbs:
            self._add(resource, f"{kind.base_path}/{kind.resource}", "list", "", list_name, "ForAllNamespaces")
        for sub_name, subresource in resource.subresources.items():
            for verb in subresource.verbs:
                if verb in ("get", "update", "patch", "create"):
                    body = name if verb in ("update", "create") else ""
                    self._add(resource, f"{item}/{sub_name}", verb, body, name, sub_name.capitalize())

    def _add(self, resource: Resource, path: str, verb: str, body: str, answer: str, suffix: str = "") -> None:
        kind = resource.kind
        method, action = _ACTIONS[verb]
        group = "".join(part.capitalize() for part in (kind.group.split(".")[0] or "core").split("-"))
        scope = "Namespaced" if "{namespace}" in path else ""
        verb_text = {"update": "replace", "get": "read", "deletecollection": "deleteCollection"}.get(verb, verb)
        operation: dict[str, Any] = {
            "description": f"{verb_text} {kind.kind}",
            "operationId": f"{verb_text}{group}{kind.version.capitalize()}{scope}{kind.kind}{suffix}",
            "tags": [f"{kind.group.split('.')[0] or 'core'}_{kind.version}"],
            "x-kubernetes-action": action,
            GVK: gvk(kind),
            "parameters": [self._parameter(name) for name in _PARAMETERS[verb]],
            "responses": self._responses(answer, verb),
        }
        if verb == "patch":
            body = f"{META}.Patch"
        elif verb in ("delete", "deletecollection"):
            body = f"{META}.DeleteOptions"
        if body:
            self._body(operation, body, verb, bool(kind.module))
        elif self._v2:
            operation["consumes"] = ["*/*"]
        if self._v2:
            operation["produces"] = _MEDIA
            operation["schemes"] = ["https"]
        path_item = self.paths.setdefault(path, {"parameters": self._path_parameters(path)})
        path_item.setdefault(method, operation)

    def _responses(self, answer: str, verb: str) -> dict[str, Any]:
        codes = {"200": "OK", "401": "Unauthorized"}
        if verb in ("create", "update", "patch"):
            codes["201"] = "Created"
        if verb in ("create", "delete"):
            codes["202"] = "Accepted"
        out: dict[str, Any] = {}
        for code in sorted(codes):
            response: dict[str, Any] = {"description": codes[code]}
            if code != "401":
                reference = self._definitions.ref(answer)
                if self._v2:
                    response["schema"] = reference
                else:
                    response["content"] = {media: {"schema": reference} for media in _MEDIA}
            out[code] = response
        return out

    def _body(self, operation: dict[str, Any], body: str, verb: str, built_in: bool) -> None:
        """`built_in`: kubectl sends a strategic merge patch to whatever says that it takes one; custom kinds do not."""
        reference = self._definitions.ref(body)
        media = [m for m in _PATCHES if built_in or "strategic" not in m] if verb == "patch" else _MEDIA
        needed = verb in ("create", "update", "patch")
        if self._v2:
            parameter: dict[str, Any] = {"in": "body", "name": "body", "schema": reference}
            if needed:
                parameter["required"] = True
            operation["parameters"] = [parameter, *operation["parameters"]]
            operation["consumes"] = media if verb == "patch" else ["*/*"]
        else:
            operation["requestBody"] = {
                "content": {m: {"schema": reference} for m in (media if verb == "patch" else ["*/*"])}
            }
            if needed:
                operation["requestBody"]["required"] = True

    def _parameter(self, name: str) -> dict[str, Any]:
        type_, text = _TEXTS[name]
        out: dict[str, Any] = {"name": name, "in": "query", "description": text}
        if self._v2:
            return {**out, "type": type_, "uniqueItems": True}
        return {**out, "schema": {"type": type_, "uniqueItems": True}}

    def _path_parameters(self, path: str) -> list[dict[str, Any]]:
        found = []
        for name, text in (("name", "name of the object"), ("namespace", "object name and auth scope")):
            if f"{{{name}}}" in path:
                out: dict[str, Any] = {"name": name, "in": "path", "required": True, "description": text}
                kind = {"type": "string", "uniqueItems": True}
                found.append({**out, **kind} if self._v2 else {**out, "schema": kind})
        found.append(self._parameter("pretty"))
        return found
