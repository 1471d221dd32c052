"""A kustomization built: resources, generated ones, components, then the transformers in upstream's order.

Layers nest: a directory among the resources is built first, and what it gives is treated like a file of the outer one.
Hashes and references wait for the end, when all names are known. Plugins, Helm charts and remote bases are refused.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

from pybernetes.cli.errors import CLIError, not_implemented
from pybernetes.cli.kustomize import patches, references, replacements, sources, transformers
from pybernetes.cli.kustomize.model import KustomizeError, Resource, Resources
from pybernetes.machinery import yaml

_NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
#: Field -> type that its JSON must have.
_FIELDS: dict[str, type[str | dict[str, Any] | list[Any]]] = {
    **dict.fromkeys(("apiVersion", "kind", "namespace", "namePrefix", "nameSuffix"), str),
    **dict.fromkeys(("commonLabels", "commonAnnotations", "metadata", "generatorOptions", "sortOptions"), dict),
    **dict.fromkeys(("resources", "bases", "components", "labels", "images", "imageTags", "replicas"), list),
    **dict.fromkeys(("patches", "patchesStrategicMerge", "patchesJson6902", "replacements"), list),
    **dict.fromkeys(("configMapGenerator", "secretGenerator"), list),
}
_REFUSED = (
    "buildMetadata",
    "configurations",
    "crds",
    "generators",
    "helmCharts",
    "helmChartInflationGenerator",
    "helmGlobals",
    "openapi",
    "transformers",
    "validators",
    "vars",
)
_DEPRECATED = {
    "bases": "resources",
    "commonLabels": "labels",
    "imageTags": "images",
    "patchesJson6902": "patches",
    "patchesStrategicMerge": "patches",
}


def build(directory: str) -> list[dict[str, Any]]:
    """All objects of a kustomization, in the order they are to be applied. Raises CLIError."""
    if directory.startswith(("http://", "https://", "git@", "github.com/")):
        raise not_implemented(f"a remote kustomization ({directory})")
    path = Path(directory)
    if not path.exists():
        full = path.absolute()
        raise CLIError(
            f"must build at directory: not a valid directory: evalsymlink failure on '{directory}' : lstat {full}: no "
            "such file or directory"
        )
    if not path.is_dir():
        raise CLIError(f"must build at directory: '{path.absolute()}': file is not directory")
    target = _Target(path.resolve(), itertools.count())
    resources = target.accumulate()
    sources.add_hashes(resources)
    references.follow(resources)
    transformers.tidy(resources)
    order = target.content.get("sortOptions") or {}
    if order.get("order") == "fifo":
        return [r.object for r in resources.all]
    legacy = order.get("legacySortOptions") or {}
    return [r.object for r in resources.sorted(legacy.get("orderFirst"), legacy.get("orderLast"))]


class _Target:
    """One directory with a kustomization."""

    def __init__(self, root: Path, numbers: itertools.count[int], outer: tuple[Path, ...] = ()) -> None:
        self._root = root
        self._numbers = numbers
        self._outer = outer
        for visited in outer:
            if visited.is_relative_to(root):
                raise KustomizeError(f"cycle detected: candidate root '{root}' contains visited root '{visited}'")
        self.content = _read(root)

    @property
    def is_component(self) -> bool:
        return self.content.get("kind") == "Component"

    def accumulate(self, into: Resources | None = None) -> Resources:
        """Its resources; those of a component are added to the ones that it changes."""
        resources = into or Resources()
        content = self.content
        for name in [*(content.get("resources") or ()), *(content.get("bases") or ())]:
            self._resource(resources, name)
        options = content.get("generatorOptions") or {}
        for kind, field in (("ConfigMap", "configMapGenerator"), ("Secret", "secretGenerator")):
            for given in content.get(field) or ():
                sources.generate(resources, kind, given, options, self._root)
        for name in content.get("components") or ():
            self._component(resources, name)
        self._transform(resources)
        transformers.layer(resources.all, next(self._numbers))
        return resources

    def _resource(self, resources: Resources, name: str) -> None:
        if str(name).startswith(("http://", "https://", "git@", "github.com/", "ssh://")):
            raise not_implemented(f"a remote resource of a kustomization ({name})")
        path = self._root / name
        before = f"accumulating resources: accumulation err='accumulating resources from '{name}': "
        if not path.exists():
            failure = f"evalsymlink failure on '{path}' : lstat {path}: no such file or directory"
            raise KustomizeError(f"{before}{failure}': must build at directory: not a valid directory: {failure}")
        if path.is_dir():
            self._directory(resources, path.resolve(), before)
            return
        try:
            text = sources.read_below(self._root, name).decode()
            objects = _objects(text)
        except ValueError as error:
            raise KustomizeError(f"{before}MalformedYAMLError: {error} in File: {name}'") from None
        except KustomizeError as error:
            real = path.resolve()
            raise KustomizeError(
                f"{before}{error}': must build at directory: '{real}': file is not directory"
            ) from None
        for value in objects:
            if not value.get("kind") or not (value.get("metadata") or {}).get("name"):
                missing = "missing Resource metadata" if value.get("kind") else "missing kind"
                raise KustomizeError(f"{before}invalid resource: {missing}'")
            try:
                resources.add(Resource(value))
            except KustomizeError as error:
                why = f"merging resources from '{name}': {error}': must build at directory: '{path.resolve()}'"
                raise KustomizeError(
                    f"accumulating resources: accumulation err='{why}: file is not directory"
                ) from None

    def _directory(self, resources: Resources, path: Path, before: str) -> None:
        before += f"'{path}' must resolve to a file': "
        try:
            inner = _Target(path, self._numbers, (*self._outer, self._root))
            if inner.is_component:
                raise KustomizeError(f"expected kind != 'Component' for path '{path}'")
            found = inner.accumulate()
        except KustomizeError as error:
            raise KustomizeError(f"{before}{error}") from None
        for r in found.all:
            try:
                resources.add(r)
            except KustomizeError as error:
                raise KustomizeError(f"{before}recursed merging from path '{path}': {error}") from None

    def _component(self, resources: Resources, name: str) -> None:
        path = (self._root / name).resolve()
        if not path.is_dir():
            raise KustomizeError(f"accumulating components: loader.New \"'{name}' must be a directory\"")
        inner = _Target(path, self._numbers, (*self._outer, self._root))
        if not inner.is_component:
            raise KustomizeError(
                f"accumulating components: accumulateDirectory: \"expected kind 'Component' for path '{path}' but got "
                "'Kustomization'\""
            )
        inner.accumulate(resources)

    def _transform(self, resources: Resources) -> None:
        content = self.content
        for text in content.get("patchesStrategicMerge") or ():
            patches.strategic(resources, text, self._root)
        for given in content.get("patches") or ():
            patches.apply_all(resources, given, self._root)
        if content.get("namespace"):
            transformers.namespace(resources, content["namespace"])
        if content.get("namePrefix") or content.get("nameSuffix"):
            transformers.affixes(resources, content.get("namePrefix") or "", content.get("nameSuffix") or "")
        for given in content.get("labels") or ():
            transformers.label(
                resources,
                given.get("pairs") or {},
                selectors=bool(given.get("includeSelectors")),
                templates=bool(given.get("includeTemplates")),
                fields=given.get("fields") or [],
            )
        if content.get("commonLabels"):
            transformers.label(resources, content["commonLabels"], selectors=True, templates=True, fields=[])
        if content.get("commonAnnotations"):
            transformers.annotate(resources, content["commonAnnotations"])
        for given in content.get("patchesJson6902") or ():
            patches.apply_all(resources, given, self._root)
        for given in content.get("replicas") or ():
            transformers.replicas(resources, given)
        for given in [*(content.get("images") or ()), *(content.get("imageTags") or ())]:
            transformers.images(resources, given)
        for given in content.get("replacements") or ():
            for one in self._replacements(given):
                replacements.replace(resources, one)

    def _replacements(self, given: dict[str, Any]) -> list[dict[str, Any]]:
        if not given.get("path"):
            return [given]
        found = yaml.load(sources.read_below(self._root, given["path"]).decode())
        return found if isinstance(found, list) else [found]


def _objects(text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for document in yaml.load_all(text, old_booleans=False):
        if document is None:
            continue
        if not isinstance(document, dict):
            raise ValueError("yaml: not a mapping")
        if str(document.get("kind", "")).endswith("List") and isinstance(document.get("items"), list):
            found += document["items"]
        else:
            found.append(document)
    return found


def _read(root: Path) -> dict[str, Any]:
    present = [name for name in _NAMES if (root / name).is_file()]
    if not present:
        listed = "'kustomization.yaml', 'kustomization.yml' or 'Kustomization'"
        raise KustomizeError(f"unable to find one of {listed} in directory '{root}'")
    if len(present) > 1:
        raise KustomizeError(f"Found multiple kustomization files under: {root}\n")
    try:
        content = yaml.load((root / present[0]).read_bytes())
    except ValueError as error:
        raise KustomizeError(f"invalid Kustomization: {error}") from None
    if not content or not isinstance(content, dict) or not content.keys() - {"kind", "apiVersion"}:
        raise KustomizeError("kustomization.yaml is empty")
    _check(content, root)
    for name, better in _DEPRECATED.items():
        if name in content:
            print(
                f"# Warning: '{name}' is deprecated. Please use '{better}' instead. Run 'kustomize edit fix' to update "
                "your Kustomization automatically.",
                file=sys.stderr,
            )
    return content


_JSON = {"bool": "bool", "int": "number", "float": "number", "str": "string", "list": "array", "dict": "object"}
_GO = {"str": "string", "dict": "object", "list": "[]string"}


def _mismatch(value: Any, field: str, wanted: str) -> KustomizeError:
    have = _JSON[type(value).__name__]
    return KustomizeError(
        f"invalid Kustomization: json: cannot unmarshal {have} into Go struct field {field} of type {wanted}"
    )


def _check(content: dict[str, Any], root: Path) -> None:
    for name, value in content.items():
        if name in _REFUSED:
            raise not_implemented(f"{name} in a kustomization")
        wanted = _FIELDS.get(name)
        if wanted is None:
            raise KustomizeError(f'invalid Kustomization: json: unknown field "{name}"')
        if value is not None and not isinstance(value, wanted):
            raise _mismatch(value, f"Kustomization.{name}", _GO[wanted.__name__])
    for given in content.get("images") or ():
        for field, value in given.items():
            if isinstance(value, bool | int | float):
                raise _mismatch(value, f"Image.images.{field}", "string")
    component = content.get("kind") == "Component"
    version = f"kustomize.config.k8s.io/{'v1alpha1' if component else 'v1beta1'}"
    if content.get("apiVersion") and content["apiVersion"] != version:
        kind = "Component" if component else "Kustomization"
        raise KustomizeError(
            f"Failed to read kustomization file under {root}:\napiVersion for {kind} should be {version}"
        )
