"""Objects made from flags, for `kubectl create KIND`: each function gives the wire form of one kind."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pybernetes.cli.errors import CLIError, not_implemented

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session

Object = dict[str, Any]


class Missing(CLIError):
    """Something is missing or too much; the caller points at the help."""


@dataclass(frozen=True)
class Generator:
    """One `create` subcommand. `make` gives the object, or None when it has done all there is to do."""

    summary: str
    make: Callable[[Session, Flags, str, list[str]], Object | None]
    flags: str = ""
    usage: str = "NAME [flags]"
    required: tuple[str, ...] = ()
    takes_command: bool = False
    prints: bool = True
    #: The kind in `failed to create KIND: ...`; empty for generators that say nothing.
    said: str = ""


def _object(api_version: str, kind: str, name: str, **fields: Any) -> Object:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **fields}


def container_name(image: str) -> str:
    """The name of a container for an image: its last path part, without tag and digest."""
    import re

    name = image.rsplit("/", 1)[-1].split("@")[0].split(":")[0]
    return re.sub(r"[^a-z0-9-]", "-", name.lower().replace("_", "-")).strip("-") or "container"


def _container(name: str, image: str, command: list[str]) -> Object:
    return {"name": name, "image": image, **({"command": command} if command else {}), "resources": {}}


def _namespace(session: Session, flags: Flags, name: str, rest: list[str]) -> Object:
    return _object("v1", "Namespace", name, spec={}, status={})


def _deployment(session: Session, flags: Flags, name: str, rest: list[str]) -> Object:
    images = [i for given in flags.many("image") for i in given.split(",")]
    if rest and len(images) > 1:
        raise CLIError("cannot specify multiple --image options and command")
    replicas = flags.number("replicas")
    if replicas < 0:
        raise CLIError(f"invalid value for --replicas: {replicas}")
    containers = []
    names: set[str] = set()
    for image in images:
        short = container_name(image)
        if short in names:
            short = f"{short}-{len(names)}"
        names.add(short)
        containers.append(_container(short, image, rest))
    if flags.given("port"):
        containers[0]["ports"] = [{"containerPort": flags.number("port")}]
    found = _object(
        "apps/v1",
        "Deployment",
        name,
        spec={
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "strategy": {},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": containers}},
        },
        status={},
    )
    found["metadata"]["labels"] = {"app": name}
    return found


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise CLIError(f"error reading {path}: {(error.strerror or '').lower()}") from None


def _data(flags: Flags) -> dict[str, bytes]:
    """`--from-literal`, `--from-file` and `--from-env-file`."""
    found: dict[str, bytes] = {}

    def put(key: str, value: bytes) -> None:
        if key in found:
            raise CLIError(f'cannot add key "{key}", another key by that name already exists in Data')
        found[key] = value

    if flags.many("from-env-file") and (flags.many("from-file") or flags.many("from-literal")):
        raise CLIError("from-env-file cannot be combined with from-file or from-literal")
    for given in flags.many("from-file"):
        key, equals, path = given.partition("=")
        if not equals:
            key, path = "", given
        if not os.path.exists(path):
            raise CLIError(f"error reading {path}: no such file or directory")
        if os.path.isdir(path):
            if key:
                raise CLIError("cannot give a key name for a directory path")
            for name in sorted(os.listdir(path)):
                if os.path.isfile(os.path.join(path, name)):
                    put(name, _read(os.path.join(path, name)))
        else:
            put(key or os.path.basename(path), _read(path))
    for given in flags.many("from-literal"):
        key, equals, value = given.partition("=")
        if not equals or not key:
            raise CLIError(f"invalid literal source {given}, expected key=value")
        if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        put(key, value.encode())
    for path in flags.many("from-env-file"):
        for line in _read(path).decode().splitlines():
            line = line.lstrip()
            if not line or line.startswith("#"):
                continue
            key, equals, value = line.partition("=")
            put(key, (value if equals else os.environ.get(key, "")).encode())
    return found


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _configmap(session: Session, flags: Flags, name: str, rest: list[str]) -> Object:
    if flags.on("append-hash"):
        raise not_implemented("create configmap --append-hash")
    found = _object("v1", "ConfigMap", name)
    text, binary = {}, {}
    for key, value in _data(flags).items():
        try:
            text[key] = value.decode("utf-8")
        except UnicodeDecodeError:
            binary[key] = _b64(value)
    if text:
        found["data"] = text
    if binary:
        found["binaryData"] = binary
    return found


def _secret(session: Session, flags: Flags, name: str, rest: list[str]) -> Object:
    if flags.on("append-hash"):
        raise not_implemented("create secret --append-hash")
    found = _object("v1", "Secret", name)
    data = {key: _b64(value) for key, value in _data(flags).items()}
    if data:
        found["data"] = data
    if flags.text("type"):
        found["type"] = flags.text("type")
    return found


def _secret_tls(session: Session, flags: Flags, name: str, rest: list[str]) -> Object:
    import ssl

    parts = {}
    for key, flag in (("tls.crt", "cert"), ("tls.key", "key")):
        path = flags.text(flag)
        if not path:
            raise CLIError("key and certificate must be specified")
        try:
            with open(path, "rb") as file:
                parts[key] = file.read()
        except OSError as error:
            raise CLIError(f"Cannot read file {path}, open {path}: {(error.strerror or '').lower()}") from None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(flags.text("cert"), flags.text("key"))
    except (ssl.SSLError, OSError) as error:
        raise CLIError(f"failed to load key pair tls: {error}") from None
    return _object("v1", "Secret", name, type="kubernetes.io/tls", data={k: _b64(v) for k, v in parts.items()})


def _secret_docker(session: Session, flags: Flags, name: str, rest: list[str]) -> Object:
    found = _object("v1", "Secret", name, type="kubernetes.io/dockerconfigjson")
    if flags.many("from-file"):
        data = _data(flags)
        found["data"] = {".dockerconfigjson": _b64(next(iter(data.values())))}
        return found
    user, password = flags.text("docker-username"), flags.text("docker-password")
    if not user or not password:
        raise CLIError(
            "either --from-file or the combination of --docker-username, --docker-password and --docker-server "
            "is required"
        )
    import json

    from pybernetes.cli.printers.objects import _escaped

    entry = {"username": user, "password": password}
    if flags.text("docker-email"):
        entry["email"] = flags.text("docker-email")
    entry["auth"] = _b64(f"{user}:{password}".encode())
    text = json.dumps({"auths": {flags.text("docker-server"): entry}}, separators=(",", ":"))
    found["data"] = {".dockerconfigjson": _b64(_escaped(text).encode())}
    return found


def _ports(flags: Flags, *, allow_none: bool) -> list[Object]:
    found = []
    for given in (p for g in flags.many("tcp") for p in g.split(",")):
        port, _, target = given.partition(":")
        if not port.isdigit() or not 0 < int(port) < 65536:
            raise CLIError(f"invalid port value: {port}")
        goal: Any = int(target) if target.isdigit() else target or int(port)
        found.append({"name": given.replace(":", "-"), "protocol": "TCP", "port": int(port), "targetPort": goal})
    if not found and not allow_none:
        raise CLIError("at least one tcp port specifier must be provided")
    return found


def _service(kind: str) -> Callable[[Session, Flags, str, list[str]], Object]:
    def make(session: Session, flags: Flags, name: str, rest: list[str]) -> Object:
        headless = kind == "ClusterIP" and flags.text("clusterip") == "None"
        ports = _ports(flags, allow_none=headless or kind == "ExternalName")
        spec: Object = {"type": kind, "selector": {"app": name}}
        if ports:
            spec["ports"] = ports
        if kind == "NodePort" and flags.number("node-port"):
            for port in ports:
                port["nodePort"] = flags.number("node-port")
        if kind == "ClusterIP" and flags.text("clusterip"):
            spec["clusterIP"] = flags.text("clusterip")
        if kind == "ExternalName":
            spec["externalName"] = flags.text("external-name")
        found = _object("v1", "Service", name, spec=spec, status={"loadBalancer": {}})
        found["metadata"]["labels"] = {"app": name}
        return found

    return make


def _job(session: Session, flags: Flags, name: str, rest: list[str]) -> Object:
    source = flags.text("from")
    if bool(source) == bool(flags.text("image")):
        raise CLIError("either --image or --from must be specified")
    if not source:
        spec = {"containers": [_container(name, flags.text("image"), rest)], "restartPolicy": "Never"}
        return _object("batch/v1", "Job", name, spec={"template": {"metadata": {}, "spec": spec}}, status={})
    from pybernetes.cli import finder

    if rest:
        raise CLIError("cannot specify --from and command")
    target = finder._slashed(session, [source], session.namespace)[0]
    if target.resource.kind != "CronJob":
        raise CLIError("from must be an existing cronjob")
    live = session.get(target.resource, target.namespace, target.name)
    template = live["spec"]["jobTemplate"]
    found = _object("batch/v1", "Job", name, spec=template["spec"], status={})
    metadata = template.get("metadata") or {}
    found["metadata"]["annotations"] = {
        "cronjob.kubernetes.io/instantiate": "manual",
        **(metadata.get("annotations") or {}),
    }
    if metadata.get("labels"):
        found["metadata"]["labels"] = metadata["labels"]
    found["metadata"]["ownerReferences"] = [
        {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "name": live["metadata"]["name"],
            "uid": live["metadata"]["uid"],
            "controller": True,
        }
    ]
    return found


def _cronjob(session: Session, flags: Flags, name: str, rest: list[str]) -> Object:
    pod = {
        "containers": [_container(name, flags.text("image"), rest)],
        "restartPolicy": flags.text("restart") or "OnFailure",
    }
    template = {"metadata": {"name": name}, "spec": {"template": {"metadata": {}, "spec": pod}}}
    return _object(
        "batch/v1", "CronJob", name, spec={"jobTemplate": template, "schedule": flags.text("schedule")}, status={}
    )


def _serviceaccount(session: Session, flags: Flags, name: str, rest: list[str]) -> Object:
    return _object("v1", "ServiceAccount", name)


def _words(flags: Flags, name: str) -> list[str]:
    return [w for given in flags.many(name) for w in given.split(",")]


def _rules(session: Session, flags: Flags) -> list[Object]:
    verbs = list(dict.fromkeys(_words(flags, "verb")))
    if "*" in verbs:
        verbs = ["*"]
    if not verbs:
        raise CLIError("at least one verb must be specified")
    resources = _words(flags, "resource")
    by_group: dict[str, list[str]] = {}
    for word in resources:
        plain, slash, sub = word.partition("/")
        if plain == "*":
            group, name = "", "*"
        else:
            found = session.resources.find(plain)
            group, name = found.group, found.plural
        entry = by_group.setdefault(group, [])
        if name + slash + sub not in entry:
            entry.append(name + slash + sub)
    names = flags.many("resource-name")
    rules = []
    for group, kinds in by_group.items():
        rule: Object = {"apiGroups": [group], "resources": kinds, "verbs": verbs}
        if names:
            rule["resourceNames"] = names
        rules.append(rule)
    return rules


def _role(session: Session, flags: Flags, name: str, rest: list[str]) -> Object:
    rules = _rules(session, flags)
    if not rules:
        raise CLIError("at least one resource must be specified")
    return _object("rbac.authorization.k8s.io/v1", "Role", name, rules=rules)


def _clusterrole(session: Session, flags: Flags, name: str, rest: list[str]) -> Object:
    found = _object("rbac.authorization.k8s.io/v1", "ClusterRole", name)
    if flags.text("aggregation-rule"):
        if _words(flags, "verb") or _words(flags, "resource"):
            raise CLIError("aggregation rule must be specified without rule")
        labels = dict(pair.split("=", 1) for pair in flags.text("aggregation-rule").split(","))
        found["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": labels}]}
        found["rules"] = None
        return found
    rules = _rules(session, flags)
    urls = _words(flags, "non-resource-url")
    if urls:
        rules.append({"nonResourceURLs": urls, "verbs": list(dict.fromkeys(_words(flags, "verb")))})
    if not rules:
        raise CLIError("one of resource or nonResourceURL must be specified")
    found["rules"] = rules
    return found


def _binding(kind: str) -> Callable[[Session, Flags, str, list[str]], Object]:
    def make(session: Session, flags: Flags, name: str, rest: list[str]) -> Object:
        role = flags.text("role") if kind == "RoleBinding" else ""
        cluster_role = flags.text("clusterrole")
        if bool(role) == bool(cluster_role):
            raise CLIError(
                "exactly one of clusterrole or role must be specified"
                if kind == "RoleBinding"
                else "clusterrole must be specified"
            )
        group = "rbac.authorization.k8s.io"
        subjects: list[Object] = [{"apiGroup": group, "kind": "User", "name": u} for u in flags.many("user")]
        subjects += [{"apiGroup": group, "kind": "Group", "name": g} for g in flags.many("group")]
        for account in flags.many("serviceaccount"):
            namespace, colon, who = account.partition(":")
            if not colon or not who or not namespace:
                raise CLIError("serviceaccount must be <namespace>:<name>")
            subjects.append({"kind": "ServiceAccount", "name": who, "namespace": namespace})
        ref = {"apiGroup": group, "kind": "Role" if role else "ClusterRole", "name": role or cluster_role}
        found = _object(f"{group}/v1", kind, name, roleRef=ref)
        if subjects:
            found["subjects"] = subjects
        return found

    return make


def _quota(session: Session, flags: Flags, name: str, rest: list[str]) -> Object:
    spec: Object = {}
    if flags.text("hard"):
        spec["hard"] = {}
        for pair in flags.text("hard").split(","):
            key, equals, value = pair.partition("=")
            if not equals:
                raise CLIError(f"Invalid argument syntax {pair}, expected <resource>=<value>")
            spec["hard"][key] = value
    if flags.text("scopes"):
        spec["scopes"] = flags.text("scopes").split(",")
    return _object("v1", "ResourceQuota", name, spec=spec, status={})


def _pdb(session: Session, flags: Flags, name: str, rest: list[str]) -> Object:
    least, most = flags.text("min-available"), flags.text("max-unavailable")
    if not least and not most:
        raise CLIError("one of min-available or max-unavailable must be specified")
    if least and most:
        raise CLIError("min-available and max-unavailable cannot be both specified")
    key, text = ("minAvailable", least) if least else ("maxUnavailable", most)
    if not flags.text("selector"):
        raise CLIError("a selector must be specified")
    labels = dict(pair.split("=", 1) for pair in flags.text("selector").split(","))
    spec = {key: int(text) if text.isdigit() else text, "selector": {"matchLabels": labels}}
    status = {"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0}
    return _object("policy/v1", "PodDisruptionBudget", name, spec=spec, status=status)


def _priorityclass(session: Session, flags: Flags, name: str, rest: list[str]) -> Object:
    found = _object("scheduling.k8s.io/v1", "PriorityClass", name, value=flags.number("value"))
    if flags.text("description"):
        found["description"] = flags.text("description")
    if flags.on("global-default"):
        found["globalDefault"] = True
    found["preemptionPolicy"] = flags.text("preemption-policy")
    return found


def _backend(text: str) -> Object:
    service, colon, port = text.partition(":")
    if not colon or not service or not port:
        raise CLIError(f"backend {text} should be in format servicename:serviceport")
    return {"service": {"name": service, "port": {"number": int(port)} if port.isdigit() else {"name": port}}}


def _ingress(session: Session, flags: Flags, name: str, rest: list[str]) -> Object:
    given = flags.many("rule")
    if not given and not flags.text("default-backend"):
        raise CLIError(
            "not enough information provided: every ingress has to either specify a default-backend (which "
            "catches all traffic) or a list of rules (which catch specific paths)"
        )
    spec: Object = {}
    if flags.text("class"):
        spec["ingressClassName"] = flags.text("class")
    if flags.text("default-backend"):
        spec["defaultBackend"] = _backend(flags.text("default-backend"))
    rules: dict[str, list[Object]] = {}
    tls: dict[str, list[str]] = {}
    for rule in given:
        where, _, options = rule.partition(",")
        place, equals, backend = where.partition("=")
        host, slash, path = place.partition("/")
        if not equals or not slash:
            raise CLIError(f"rule {rule} is invalid and should be in format host/path=svcname:svcport[,tls[=secret]]")
        kind = "Exact"
        if path.endswith("*"):
            kind, path = "Prefix", path[:-1]
        rules.setdefault(host, []).append({"path": f"/{path}", "pathType": kind, "backend": _backend(backend)})
        if options == "tls" or options.startswith("tls="):
            secret = options[4:]
            hosts = tls.setdefault(secret, [])
            if host and host not in hosts:
                hosts.append(host)
    if rules:
        spec["rules"] = [{**({"host": h} if h else {}), "http": {"paths": paths}} for h, paths in rules.items()]
    if tls:
        spec["tls"] = [{**({"hosts": h} if h else {}), **({"secretName": s} if s else {})} for s, h in tls.items()]
    found = _object("networking.k8s.io/v1", "Ingress", name, spec=spec, status={"loadBalancer": {}})
    if flags.many("annotation"):
        found["metadata"]["annotations"] = dict(a.partition("=")[::2] for a in flags.many("annotation"))
    return found


def _token(session: Session, flags: Flags, name: str, rest: list[str]) -> None:
    from pybernetes.cli.session import seconds

    spec: Object = {}
    if flags.many("audience"):
        spec["audiences"] = flags.many("audience")
    if flags.given("duration"):
        length = seconds(flags.text("duration"))
        if length < 0:
            raise CLIError("--duration must be greater than or equal to 0")
        spec["expirationSeconds"] = int(length)
    if flags.text("bound-object-kind"):
        kind = flags.text("bound-object-kind")
        versions = {"Pod": "v1", "Secret": "v1", "Node": "v1"}
        if kind not in versions:
            raise CLIError(f"supported --bound-object-kind values are {', '.join(sorted(versions))}")
        spec["boundObjectRef"] = {"kind": kind, "apiVersion": versions[kind], "name": flags.text("bound-object-name")}
        if flags.text("bound-object-uid"):
            spec["boundObjectRef"]["uid"] = flags.text("bound-object-uid")
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": {}, "spec": spec}
    path = session.resources.find("serviceaccounts").path(session.namespace, name, "token")
    made = session.call("POST", path, body)
    if flags.text("output"):
        from pybernetes.cli.printers import objects

        session.out.write(objects.printer(flags)(made))
        return
    session.out.write(made["status"]["token"])
    session.out.write("\n")


_FROM = "from-literal* from-file* from-env-file* append-hash?"

GENERATORS: dict[str, Generator] = {
    "namespace": Generator("Create a namespace with the specified name.", _namespace),
    "deployment": Generator(
        "Create a deployment with the specified name.",
        _deployment,
        "image* r:replicas#1 port#-1",
        "NAME --image=image -- [COMMAND] [args...]",
        ("image",),
        True,
        said="deployment",
    ),
    "configmap": Generator(
        "Create a config map based on a file, directory, or literal value.", _configmap, _FROM, said="configmap"
    ),
    "secret generic": Generator(
        "Create a secret from a local file, directory, or literal value.", _secret, f"{_FROM} type=", said="secret"
    ),
    "secret tls": Generator("Create a TLS secret.", _secret_tls, "cert= key= append-hash?", said="secret"),
    "secret docker-registry": Generator(
        "Create a secret for use with a Docker registry.",
        _secret_docker,
        "docker-username= docker-password= docker-email= docker-server=https://index.docker.io/v1/ from-file* "
        "append-hash? "
        "from-literal* from-env-file*",
        said="secret docker-registry",
    ),
    "service clusterip": Generator(
        "Create a ClusterIP service.", _service("ClusterIP"), "tcp* clusterip=", said="ClusterIP service"
    ),
    "service nodeport": Generator(
        "Create a NodePort service.", _service("NodePort"), "tcp* node-port#0", said="NodePort service"
    ),
    "service loadbalancer": Generator(
        "Create a LoadBalancer service.", _service("LoadBalancer"), "tcp*", said="LoadBalancer service"
    ),
    "service externalname": Generator(
        "Create an ExternalName service.",
        _service("ExternalName"),
        "tcp* external-name=",
        required=("external-name",),
        said="ExternalName service",
    ),
    "job": Generator(
        "Create a job with the specified name.",
        _job,
        "image= from=",
        "NAME --image=image [--from=cronjob/name] -- [COMMAND] [args...]",
        takes_command=True,
        said="job",
    ),
    "cronjob": Generator(
        "Create a cron job with the specified name.",
        _cronjob,
        "image= schedule= restart=",
        "NAME --image=image --schedule='0/5 * * * ?' -- [COMMAND] [args...]",
        ("image", "schedule"),
        True,
        said="cronjob",
    ),
    "serviceaccount": Generator(
        "Create a service account with the specified name.", _serviceaccount, said="serviceaccount"
    ),
    "role": Generator("Create a role with single rule.", _role, "verb* resource* resource-name*", said="role"),
    "clusterrole": Generator(
        "Create a cluster role.",
        _clusterrole,
        "verb* resource* resource-name* non-resource-url* aggregation-rule=",
        said="clusterrole",
    ),
    "rolebinding": Generator(
        "Create a role binding for a particular role or cluster role.",
        _binding("RoleBinding"),
        "role= clusterrole= user* group* serviceaccount*",
        said="rolebinding",
    ),
    "clusterrolebinding": Generator(
        "Create a cluster role binding for a particular cluster role.",
        _binding("ClusterRoleBinding"),
        "clusterrole= user* group* serviceaccount*",
        said="clusterrolebinding",
    ),
    "quota": Generator(
        "Create a quota with the specified name, hard limits, and optional scopes.",
        _quota,
        "hard= scopes=",
        said="quota",
    ),
    "pdb": Generator(
        "Create a pod disruption budget with the specified name, selector, and desired minimum available pods.",
        _pdb,
        "selector= min-available= max-unavailable=",
        said="pdb",
    ),
    "priorityclass": Generator(
        "Create a priority class with the specified name, value, globalDefault and description.",
        _priorityclass,
        "value#0 description= global-default? preemption-policy=PreemptLowerPriority",
        said="priorityclass",
    ),
    "ingress": Generator(
        "Create an ingress with the specified name.",
        _ingress,
        "rule* class= annotation* default-backend=",
        said="ingress",
    ),
    "token": Generator(
        "Request a service account token.",
        _token,
        "o:output= template= allow-missing-template-keys?true show-managed-fields? audience* duration=0s "
        "bound-object-kind= bound-object-name= bound-object-uid=",
        prints=False,
    ),
}
