"""Storage: claims, volumes and their classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pybernetes.cli.describe.text import Lines, annotation_lines, events, heading, pairs

if TYPE_CHECKING:
    from pybernetes.cli.session import Session

Object = dict[str, Any]

_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
_DEFAULT = "storageclass.kubernetes.io/is-default-class"
_BETA_CLASS = "volume.beta.kubernetes.io/storage-class"


def _modes(modes: list[str] | None) -> str:
    return ",".join(_MODES.get(m, m) for m in dict.fromkeys(modes or ()))


def _deletion(w: Lines, metadata: Object, phase: str) -> None:
    from pybernetes.cli.describe.text import age

    gone = metadata.get("deletionTimestamp")
    w.add(0, f"Status:\tTerminating (lasts {age(gone)})" if gone else f"Status:\t{phase}")


def claim(session: Session, value: Object) -> str:
    """A PersistentVolumeClaim, and the Pods that use it."""
    metadata, spec, status = value["metadata"], value.get("spec") or {}, value.get("status") or {}
    w = Lines()
    w.add(0, f"Name:\t{metadata['name']}")
    w.add(0, f"Namespace:\t{metadata['namespace']}")
    given = (metadata.get("annotations") or {}).get(_BETA_CLASS)
    w.add(0, f"StorageClass:\t{given or spec.get('storageClassName') or ''}")
    _deletion(w, metadata, status.get("phase", ""))
    w.add(0, f"Volume:\t{spec.get('volumeName') or ''}")
    pairs(w, 0, "Labels", metadata.get("labels"))
    annotation_lines(w, metadata.get("annotations"))
    w.add(0, f"Finalizers:\t[{' '.join(metadata.get('finalizers') or ())}]")
    bound = bool(spec.get("volumeName"))
    w.add(0, f"Capacity:\t{(status.get('capacity') or {}).get('storage', '') if bound else ''}")
    w.add(0, f"Access Modes:\t{_modes(status.get('accessModes')) if bound else ''}")
    if spec.get("volumeMode"):
        w.add(0, f"VolumeMode:\t{spec['volumeMode']}")
    if source := spec.get("dataSource"):
        w.add(0, "DataSource:")
        if source.get("apiGroup"):
            w.add(1, f"APIGroup:\t{source['apiGroup']}")
        w.add(1, f"Kind:\t{source['kind']}")
        w.add(1, f"Name:\t{source['name']}")
    users = [
        pod["metadata"]["name"]
        for pod in session.list(session.resources.find("pods"), metadata["namespace"])
        if any(
            (v.get("persistentVolumeClaim") or {}).get("claimName") == metadata["name"]
            for v in pod["spec"].get("volumes") or ()
        )
    ]
    for index, name in enumerate(users or ["<none>"]):
        w.add(0, f"{'' if index else 'Used By:'}\t{name}")
    if status.get("conditions"):
        w.add(0, "Conditions:")
        w.add(1, "Type\tStatus\tLastProbeTime\tLastTransitionTime\tReason\tMessage")
        w.add(1, "----\t------\t-----------------\t------------------\t------\t-------")
        for c in status["conditions"]:
            from pybernetes.cli.describe.text import moment

            times = f"{moment(c.get('lastProbeTime'))}\t{moment(c.get('lastTransitionTime'))}"
            w.add(1, f"{c['type']} \t{c['status']} \t{times}\t{c.get('reason', '')} \t{c.get('message', '')} ")
    events(session, w, value)
    return w.render()


def volume(session: Session, value: Object) -> str:
    """A PersistentVolume."""
    from pybernetes.cli.describe.pods import source_lines

    metadata, spec, status = value["metadata"], value["spec"], value.get("status") or {}
    w = Lines()
    heading(w, metadata, namespace=False)
    w.add(0, f"Finalizers:\t[{' '.join(metadata.get('finalizers') or ())}]")
    w.add(0, f"StorageClass:\t{spec.get('storageClassName') or ''}")
    _deletion(w, metadata, status.get("phase", ""))
    owner = spec.get("claimRef")
    w.add(0, f"Claim:\t{owner['namespace']}/{owner['name']}" if owner else "Claim:\t")
    w.add(0, f"Reclaim Policy:\t{spec.get('persistentVolumeReclaimPolicy', '')}")
    w.add(0, f"Access Modes:\t{_modes(spec.get('accessModes'))}")
    if spec.get("volumeMode"):
        w.add(0, f"VolumeMode:\t{spec['volumeMode']}")
    w.add(0, f"Capacity:\t{(spec.get('capacity') or {}).get('storage', '')}")
    required = (spec.get("nodeAffinity") or {}).get("required")
    w.add(0, f"Node Affinity:\t{'' if required else '<none>'}")
    if required:
        w.add(1, "Required Terms:\t")
        for index, term in enumerate(required.get("nodeSelectorTerms") or ()):
            _term(w, index, term.get("matchExpressions") or [])
    w.add(0, f"Message:\t{status.get('message') or ''}")
    w.add(0, "Source:")
    source_lines(w, spec)
    events(session, w, value)
    return w.render()


def _term(w: Lines, index: int, expressions: list[Object]) -> None:
    """One selector term; values of one key in brackets."""
    for place, e in enumerate(expressions):
        values = f" [{', '.join(e['values'])}]" if e.get("values") else ""
        word = f"Term {index}:" if not place else ""
        level = 2 if "operator" in e else 1
        w.add(level, f"{word}\t{e['key']} {str(e.get('operator', 'in')).lower()}{values}")
    if not expressions:
        w.add(2, f"Term {index}:\t<none>")


def storage_class(session: Session, value: Object) -> str:
    """A StorageClass."""
    metadata = value["metadata"]
    annotations = metadata.get("annotations") or {}
    w = Lines()
    w.add(0, f"Name:\t{metadata['name']}")
    w.add(0, f"IsDefaultClass:\t{'Yes' if annotations.get(_DEFAULT) == 'true' else 'No'}")
    w.add(0, f"Annotations:\t{_joined(annotations)}")
    w.add(0, f"Provisioner:\t{value.get('provisioner', '')}")
    w.add(0, f"Parameters:\t{_joined(value.get('parameters'))}")
    grows = value.get("allowVolumeExpansion")
    w.add(0, f"AllowVolumeExpansion:\t{'<unset>' if grows is None else 'True' if grows else 'False'}")
    options = value.get("mountOptions") or []
    w.add(0, "MountOptions:" if options else "MountOptions:\t<none>")
    for option in options:
        w.add(1, option)
    if value.get("reclaimPolicy"):
        w.add(0, f"ReclaimPolicy:\t{value['reclaimPolicy']}")
    if value.get("volumeBindingMode"):
        w.add(0, f"VolumeBindingMode:\t{value['volumeBindingMode']}")
    if value.get("allowedTopologies"):
        w.add(0, "AllowedTopologies:\t")
        for index, term in enumerate(value["allowedTopologies"]):
            _term(w, index, term.get("matchLabelExpressions") or [])
    events(session, w, value)
    return w.render()


def _joined(values: dict[str, str] | None) -> str:
    return ",".join(f"{k}={v}" for k, v in sorted((values or {}).items())) or "<none>"
