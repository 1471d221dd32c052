"""Pods and Pod templates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pybernetes.cli.describe.text import (
    Lines,
    annotation_lines,
    controller,
    events,
    labels_and_annotations,
    moment,
    pairs,
)

if TYPE_CHECKING:
    from pybernetes.cli.session import Session

Object = dict[str, Any]


def pod(session: Session, value: Object) -> str:
    """A Pod."""
    metadata, spec, status = value["metadata"], value["spec"], value.get("status") or {}
    w = Lines()
    w.add(0, f"Name:\t{metadata['name']}")
    w.add(0, f"Namespace:\t{metadata['namespace']}")
    w.add(0, f"Priority:\t{spec.get('priority', 0)}")
    if spec.get("priorityClassName"):
        w.add(0, f"Priority Class Name:\t{spec['priorityClassName']}")
    if spec.get("runtimeClassName"):
        w.add(0, f"Runtime Class Name:\t{spec['runtimeClassName']}")
    w.add(0, f"Service Account:\t{spec.get('serviceAccountName', '')}")
    node = spec.get("nodeName")
    w.add(0, f"Node:\t{node}/{status.get('hostIP', '')}" if node else "Node:\t<none>")
    if status.get("startTime"):
        w.add(0, f"Start Time:\t{moment(status['startTime'])}")
    labels_and_annotations(w, metadata)
    if metadata.get("deletionTimestamp"):
        from pybernetes.cli.describe.text import age

        w.add(0, f"Status:\tTerminating (lasts {age(metadata['deletionTimestamp'])})")
        w.add(0, f"Termination Grace Period:\t{metadata.get('deletionGracePeriodSeconds', 0)}s")
    else:
        w.add(0, f"Status:\t{status.get('phase', '')}")
    for name in ("reason", "message"):
        if status.get(name):
            w.add(0, f"{name.title()}:\t{status[name]}")
    if spec.get("securityContext", {}).get("seccompProfile"):
        w.add(0, f"SeccompProfile:\t{spec['securityContext']['seccompProfile']['type']}")
    w.add(0, f"IP:\t{status.get('podIP', '')}")
    if status.get("podIPs"):
        w.add(0, "IPs:")
        for ip in status["podIPs"]:
            w.add(1, f"IP:\t{ip['ip']}")
    else:
        w.add(0, "IPs:\t<none>")
    if owner := controller(metadata):
        w.add(0, f"Controlled By:\t{owner}")
    if status.get("nominatedNodeName"):
        w.add(0, f"NominatedNodeName:\t{status['nominatedNodeName']}")
    if spec.get("initContainers"):
        containers(w, "Init Containers", spec["initContainers"], status.get("initContainerStatuses"), 0)
    containers(w, "Containers", spec.get("containers") or [], status.get("containerStatuses"), 0)
    if spec.get("ephemeralContainers"):
        containers(w, "Ephemeral Containers", spec["ephemeralContainers"], status.get("ephemeralContainerStatuses"), 0)
    if spec.get("readinessGates"):
        w.add(0, "Readiness Gates:")
        w.add(1, "Type\tStatus")
        for gate in spec["readinessGates"]:
            kind = gate["conditionType"]
            found = next((c["status"] for c in status.get("conditions") or () if c["type"] == kind), "<none>")
            w.add(1, f"{kind} \t{found} ")
    if status.get("conditions"):
        w.add(0, "Conditions:")
        w.add(1, "Type\tStatus")
        for c in status["conditions"]:
            w.add(1, f"{c['type']} \t{c['status']} ")
    volumes(w, spec.get("volumes"), "", 0)
    w.add(0, f"QoS Class:\t{status.get('qosClass', '')}")
    pairs(w, 0, "Node-Selectors", spec.get("nodeSelector"))
    tolerations(w, "Tolerations", spec.get("tolerations"))
    for constraint in spec.get("topologySpreadConstraints") or ():
        from pybernetes.cli.describe.text import selector

        w.add(
            0,
            f"Topology Spread Constraints:\t{constraint['topologyKey']}:{constraint['whenUnsatisfiable']} when "
            f"max skew "
            f"{constraint['maxSkew']} is exceeded for selector {selector(constraint.get('labelSelector'))}",
        )
    events(session, w, value)
    return w.render()


def template_lines(w: Lines, template: Object) -> None:
    """A Pod template, as inside a Deployment."""
    w.add(0, "Pod Template:")
    metadata, spec = template.get("metadata") or {}, template.get("spec") or {}
    pairs(w, 1, "Labels", metadata.get("labels"))
    if metadata.get("annotations"):
        annotation_lines(w, metadata["annotations"], 1)
    if spec.get("serviceAccountName"):
        w.add(1, f"Service Account:\t{spec['serviceAccountName']}")
    if spec.get("initContainers"):
        containers(w, "Init Containers", spec["initContainers"], None, 1)
    containers(w, "Containers", spec.get("containers") or [], None, 1)
    volumes(w, spec.get("volumes"), "  ", 1)
    if spec.get("priorityClassName"):
        w.add(1, f"Priority Class Name:\t{spec['priorityClassName']}")
    pairs(w, 1, "Node-Selectors", spec.get("nodeSelector"))
    tolerations(w, "Tolerations", spec.get("tolerations"), 1)


def pod_template(template: Object) -> str:
    """A Pod template by itself, tabs and all (`rollout history --revision`)."""
    w = Lines()
    template_lines(w, template)
    return w.unaligned()


def containers(w: Lines, title: str, items: list[Object], statuses: list[Object] | None, level: int) -> None:
    """Containers of a Pod (level 0) or a template (level 1, one space more inside)."""
    by_name = {s["name"]: s for s in statuses or ()}
    pad = "  " * level
    inner = "  " if level == 0 else " "
    w.raw(f"{pad}{title}:")
    for c in items:
        w.raw(f"{pad}{inner}{c['name']}:")
        _container(w, c, by_name.get(c["name"]), "    ")


def _container(w: Lines, c: Object, status: Object | None, pad: str) -> None:
    def line(text: str, deeper: int = 0) -> None:
        w.raw(pad + "  " * deeper + text)

    if status is not None and status.get("containerID") is not None:
        line(f"Container ID:\t{status['containerID']}")
    elif status is not None:
        line("Container ID:\t")
    line(f"Image:\t{c['image']}")
    if status is not None:
        line(f"Image ID:\t{status.get('imageID', '')}")
    ports = c.get("ports") or []
    named = [f" ({p['name']})" if p.get("name") else "" for p in ports]
    shown = ", ".join(f"{p['containerPort']}/{p.get('protocol', 'TCP')}{n}" for p, n in zip(ports, named, strict=True))
    line(f"{'Ports' if len(ports) > 1 else 'Port'}:\t{shown or '<none>'}")
    host = ", ".join(f"{p.get('hostPort', 0)}/{p.get('protocol', 'TCP')}{n}" for p, n in zip(ports, named, strict=True))
    line(f"{'Host Ports' if len(ports) > 1 else 'Host Port'}:\t{host or '<none>'}")
    if profile := (c.get("securityContext") or {}).get("seccompProfile"):
        line(f"SeccompProfile:\t{profile['type']}")
        if profile["type"] == "Localhost":
            line(f"LocalhostProfile:\t{profile.get('localhostProfile', '')}", 1)
    for name in ("command", "args"):
        if c.get(name):
            line(f"{name.title()}:")
            for part in c[name]:
                for text in str(part).split("\n"):
                    line(text, 1)
    if status is not None:
        _state(line, "State", status.get("state") or {})
        if status.get("lastState"):
            _state(line, "Last State", status["lastState"])
        line(f"Ready:\t{'True' if status.get('ready') else 'False'}")
        line(f"Restart Count:\t{status.get('restartCount', 0)}")
    for name in ("limits", "requests"):
        if values := (c.get("resources") or {}).get(name):
            line(f"{name.title()}:")
            for key in sorted(values):
                line(f"{key}:\t{values[key]}", 1)
    for name in ("liveness", "readiness", "startup"):
        if found := c.get(f"{name}Probe"):
            line(f"{name.title()}:\t{probe(found)}")
    for source in c.get("envFrom") or ():
        if source is c["envFrom"][0]:
            line("Environment Variables from:")
        kind = "ConfigMap" if "configMapRef" in source else "Secret"
        ref = source.get("configMapRef") or source.get("secretRef") or {}
        prefix = f" with prefix '{source['prefix']}'" if source.get("prefix") else ""
        line(f"{ref.get('name', '')}\t{kind}{prefix}\tOptional: {'true' if ref.get('optional') else 'false'}", 1)
    if not c.get("env"):
        line("Environment:\t<none>")
    else:
        line("Environment:")
        for e in c["env"]:
            line(f"{e['name']}:\t{_env(e)}", 1)
    if not c.get("volumeMounts"):
        line("Mounts:\t<none>")
    else:
        line("Mounts:")
        for m in sorted(c["volumeMounts"], key=lambda m: str(m["mountPath"])):
            flags = "ro" if m.get("readOnly") else "rw"
            if m.get("subPath"):
                flags += f',path="{m["subPath"]}"'
            line(f"{m['mountPath']} from {m['name']} ({flags})", 1)
    if c.get("volumeDevices"):
        line("Devices:")
        for d in c["volumeDevices"]:
            line(f"{d['devicePath']} from {d['name']}", 1)


def _env(e: Object) -> str:
    source = e.get("valueFrom")
    if not source:
        return str(e.get("value", ""))
    if ref := source.get("fieldRef"):
        return f" ({ref.get('apiVersion', 'v1')}:{ref['fieldPath']})"
    if ref := source.get("resourceFieldRef"):
        return f" ({ref['resource']})"
    kind, ref = (
        ("secret", source.get("secretKeyRef"))
        if "secretKeyRef" in source
        else ("config map", source.get("configMapKeyRef"))
    )
    ref = ref or {}
    optional = "true" if ref.get("optional") else "false"
    return f"<set to the key '{ref.get('key')}' of {kind} '{ref.get('name')}'>\tOptional: {optional}"


def _state(line: Any, title: str, state: Object) -> None:
    if "running" in state:
        line(f"{title}:\tRunning")
        line(f"Started:\t{moment(state['running'].get('startedAt'))}", 1)
    elif "terminated" in state:
        t = state["terminated"]
        line(f"{title}:\tTerminated")
        if t.get("reason"):
            line(f"Reason:\t{t['reason']}", 1)
        if t.get("message"):
            line(f"Message:\t{t['message']}", 1)
        line(f"Exit Code:\t{t.get('exitCode', 0)}", 1)
        if t.get("signal"):
            line(f"Signal:\t{t['signal']}", 1)
        line(f"Started:\t{moment(t.get('startedAt'))}", 1)
        line(f"Finished:\t{moment(t.get('finishedAt'))}", 1)
    else:
        line(f"{title}:\tWaiting")
        reason = (state.get("waiting") or {}).get("reason")
        if reason:
            line(f"Reason:\t{reason}", 1)


def probe(p: Object) -> str:
    """A probe in a line."""
    attributes = (
        f"delay={p.get('initialDelaySeconds', 0)}s timeout={p.get('timeoutSeconds', 0)}s "
        f"period={p.get('periodSeconds', 0)}s "
        f"#success={p.get('successThreshold', 0)} #failure={p.get('failureThreshold', 0)}"
    )
    if "exec" in p:
        return f"exec [{' '.join(p['exec'].get('command') or ())}] {attributes}"
    if "httpGet" in p:
        g = p["httpGet"]
        host, port = g.get("host", ""), g.get("port", "")
        where = f"{host}:{port}" if port != "" else host
        return f"http-get {(g.get('scheme') or 'HTTP').lower()}://{where}{g.get('path', '')} {attributes}"
    if "tcpSocket" in p:
        t = p["tcpSocket"]
        return f"tcp-socket {t.get('host', '')}:{t['port']} {attributes}"
    if "grpc" in p:
        return f"grpc <pod>:{p['grpc']['port']} {p['grpc'].get('service') or ''} {attributes}"
    return f"unknown {attributes}"


def tolerations(w: Lines, title: str, items: list[Object] | None, level: int = 0) -> None:
    """Tolerations, one per line."""
    if not items:
        w.add(level, f"{title}:\t<none>")
        return
    texts = []
    for t in items:
        text = t.get("key", "")
        if t.get("value"):
            text += f"={t['value']}"
        if t.get("effect"):
            text += f":{t['effect']}"
        if t.get("operator") == "Exists" and not t.get("value"):
            text += " op=Exists" if t.get("key") or t.get("effect") else "op=Exists"
        if t.get("tolerationSeconds") is not None:
            text += f" for {t['tolerationSeconds']}s"
        texts.append(text)
    for index, text in enumerate(sorted(texts)):
        w.add(level, f"{title}:\t{text}" if not index else f"\t{text}")


def volumes(w: Lines, items: list[Object] | None, space: str, level: int) -> None:
    """Volumes, the fields of each kind."""
    if not items:
        w.add(level, "Volumes:\t<none>")
        return
    w.add(level, "Volumes:")
    for v in items:
        w.raw("  " * level + (" " if level else "  ") + f"{v['name']}:")
        for text in _volume(v):
            w.raw("  " * level + (" " if level else "  ") + f"  {text}")


def source_lines(w: Lines, spec: Object) -> None:
    """The source of a PersistentVolume."""
    for text in _volume(spec):
        w.add(2, text)


def _volume(v: Object) -> list[str]:

    def optional(s: Object) -> str:
        return "true" if s.get("optional") else "false"

    if "emptyDir" in v:
        e = v["emptyDir"] or {}
        return [
            "Type:\tEmptyDir (a temporary directory that shares a pod's lifetime)",
            f"Medium:\t{e.get('medium', '')}",
            f"SizeLimit:\t{e.get('sizeLimit', '<unset>')}",
        ]
    if "hostPath" in v:
        return [
            "Type:\tHostPath (bare host directory volume)",
            f"Path:\t{v['hostPath']['path']}",
            f"HostPathType:\t{v['hostPath'].get('type', '')}",
        ]
    if "configMap" in v:
        return [
            "Type:\tConfigMap (a volume populated by a ConfigMap)",
            f"Name:\t{v['configMap'].get('name', '')}",
            f"Optional:\t{optional(v['configMap'])}",
        ]
    if "secret" in v:
        return [
            "Type:\tSecret (a volume populated by a Secret)",
            f"SecretName:\t{v['secret'].get('secretName', '')}",
            f"Optional:\t{optional(v['secret'])}",
        ]
    if "persistentVolumeClaim" in v:
        p = v["persistentVolumeClaim"]
        return [
            "Type:\tPersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)",
            f"ClaimName:\t{p['claimName']}",
            f"ReadOnly:\t{'true' if p.get('readOnly') else 'false'}",
        ]
    if "projected" in v:
        out = ["Type:\tProjected (a volume that contains injected data from multiple sources)"]
        for s in v["projected"].get("sources") or ():
            if "secret" in s:
                out += [f"SecretName:\t{s['secret'].get('name', '')}", f"Optional:\t{optional(s['secret'])}"]
            elif "downwardAPI" in s:
                out.append("DownwardAPI:\ttrue")
            elif "configMap" in s:
                out += [f"ConfigMapName:\t{s['configMap'].get('name', '')}", f"Optional:\t{optional(s['configMap'])}"]
            elif "serviceAccountToken" in s:
                out.append(f"TokenExpirationSeconds:\t{s['serviceAccountToken'].get('expirationSeconds')}")
        return out
    if "downwardAPI" in v:
        out = ["Type:\tDownwardAPI (a volume populated by information about the pod)", "Items:"]
        for i in v["downwardAPI"].get("items") or ():
            ref = i.get("fieldRef") or i.get("resourceFieldRef") or {}
            out.append(f"  {ref.get('fieldPath') or ref.get('resource')} -> {i['path']}")
        return out
    kind = next((k for k in v if k != "name"), "")
    return [f"Type:\t{kind[:1].upper() + kind[1:]}" if kind else "<unknown>"]
