"""`kubectl set`: image, env, resources, serviceaccount, selector and subjects of objects."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pybernetes.cli import finder
from pybernetes.cli.command import FILES, PRINT, Command, Run
from pybernetes.cli.errors import CLIError, ExitCode
from pybernetes.cli.finder import Found
from pybernetes.cli.writing import Writer, smart_patch

if TYPE_CHECKING:
    from pybernetes.cli.flags import Flags
    from pybernetes.cli.session import Session

Object = dict[str, Any]


def _pod_spec(value: Object) -> Object:
    spec: Object = value["spec"]
    if value["kind"] == "Pod":
        return spec
    if value["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    if "template" not in spec:
        raise CLIError(f"the object is not a pod or does not have a pod template: {value['kind']}")
    found: Object = spec["template"]["spec"]
    return found


def _containers(spec: Object, pattern: str) -> list[Object]:
    from fnmatch import fnmatchcase

    every = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    return [c for c in every if fnmatchcase(c["name"], pattern)]


def _runner(what: str, done: str, change: Callable[[Session, Flags, Object, list[str]], list[str]]) -> Run:
    """A subcommand: `change` edits an object in place and names what it could not do."""

    def run(session: Session, flags: Flags, arguments: list[str]) -> int | None:
        names = [a for a in arguments if "=" not in a and not (a.endswith("-") and what == "env")]
        pairs = [a for a in arguments if a not in names]
        if what in ("serviceaccount",) and names:
            names, pairs = names[:-1], names[-1:]
        writer = Writer(session, flags, "kubectl-set")
        found = finder.fetch(session, flags, finder.targets(session, flags, names))
        if not found:
            if what == "env":
                raise CLIError("one or more resources must be specified as <resource> <name> or <resource>/<name>")
            raise CLIError(finder.NOTHING)
        failed = False
        for f in found:
            after = copy.deepcopy(f.object)
            errors = change(session, flags, after, pairs)
            for line in errors:
                session.warn(f"error: {line}")
            failed = failed or bool(errors)
            if errors:
                continue
            if what == "env" and flags.on("list"):
                _list_env(session, f)
                continue
            patch, kind = smart_patch(f.resource, f.object, after)
            if not patch:
                continue
            local = writer.dry_run == "client" or flags.on("local")
            value = after if local else writer.patch(f.path(), patch, kind)
            writer.report(value, f.shown, done)
        if failed:
            raise ExitCode(1)
        return None

    return run


def _image(session: Session, flags: Flags, value: Object, pairs: list[str]) -> list[str]:
    if not pairs:
        raise CLIError("at least one image update is required")
    spec = _pod_spec(value)
    errors = []
    for pair in pairs:
        name, _, image = pair.partition("=")
        found = _containers(spec, name)
        if not found:
            errors.append(f'unable to find container named "{name}"')
        for c in found:
            c["image"] = image
    return errors


def _env(session: Session, flags: Flags, value: Object, pairs: list[str]) -> list[str]:
    spec = _pod_spec(value)
    pairs = pairs + flags.many("env")
    taken = _references(session, flags) if flags.text("from") else []
    for c in _containers(spec, flags.text("containers")):
        env: list[Object] = [dict(e) for e in c.get("env") or ()]
        for pair in pairs:
            name, equals, text = pair.partition("=")
            if not equals:
                env = [e for e in env if e["name"] != pair.removesuffix("-")]
                continue
            same = next((e for e in env if e["name"] == name), None)
            if same is not None:
                same.pop("valueFrom", None)
                same["value"] = text
            else:
                env.append({"name": name, "value": text})
        names = {e["name"] for e in taken}
        env = [e for e in env if e["name"] not in names] + taken
        if env or "env" in c:
            c["env"] = env
    return []


def _references(session: Session, flags: Flags) -> list[Object]:
    """Variables that take their values from the keys of `--from`, a ConfigMap or Secret."""
    target = finder._slashed(session, [flags.text("from")], session.namespace)[0]
    ref = {"ConfigMap": "configMapKeyRef", "Secret": "secretKeyRef"}.get(target.resource.kind)
    if ref is None:
        raise CLIError(f"unsupported resource specified in --from: {target.resource.kind}")
    source = session.get(target.resource, target.namespace, target.name)
    wanted = [k for given in flags.many("keys") for k in given.split(",")]
    found = []
    for key in sorted(source.get("data") or {}):
        if wanted and key not in wanted:
            continue
        name = re.sub(r"[^a-zA-Z0-9_]", "_", key).upper()
        if name != key:
            session.warn(f"Warning: key {key} transferred to {name}")
        selector = {"name": target.name, "key": key}
        found.append({"name": f"{flags.text('prefix')}{name}", "valueFrom": {ref: selector}})
    return found


def _list_env(session: Session, f: Found) -> None:
    for c in _containers(_pod_spec(f.object), "*"):
        session.say(f"# {f.resource.kind} {f.name}, container {c['name']}")
        for e in c.get("env") or ():
            source = e.get("valueFrom")
            session.say(f"# {e['name']} from {next(iter(source))}" if source else f"{e['name']}={e.get('value', '')}")


def _resources(session: Session, flags: Flags, value: Object, pairs: list[str]) -> list[str]:
    if not flags.text("limits") and not flags.text("requests"):
        raise CLIError("you must specify an update to requests or limits (in the form of --requests/--limits)")
    for c in _containers(_pod_spec(value), flags.text("containers")):
        resources = c.setdefault("resources", {})
        for part in ("limits", "requests"):
            for pair in filter(None, flags.text(part).split(",")):
                name, equals, amount = pair.partition("=")
                if not equals:
                    raise CLIError(f"invalid argument syntax {pair}, expected <resource>=<value>")
                if amount == "0":
                    resources.get(part, {}).pop(name, None)
                else:
                    resources.setdefault(part, {})[name] = amount
    return []


def _service_account(session: Session, flags: Flags, value: Object, pairs: list[str]) -> list[str]:
    if len(pairs) != 1:
        raise CLIError("serviceaccount is required")
    spec = _pod_spec(value)
    spec["serviceAccountName"] = pairs[0]
    return []


def _selector(session: Session, flags: Flags, value: Object, pairs: list[str]) -> list[str]:
    if value["kind"] != "Service":
        return [f"setting a selector is only supported for Services, not {value['kind']}"]
    value["spec"]["selector"] = dict(part.split("=", 1) for pair in pairs for part in pair.split(","))
    return []


def _subjects(session: Session, flags: Flags, value: Object, pairs: list[str]) -> list[str]:
    from pybernetes.cli.generators.access import subjects_of

    wanted = subjects_of(flags)
    if not wanted:
        raise CLIError("you must specify at least one value of user, group or serviceaccount")
    if value["kind"] not in ("RoleBinding", "ClusterRoleBinding"):
        name = f"{value['kind'].lower()}s/{value['metadata']['name']}"
        return [f"{name} setting subjects is only supported for RoleBinding/ClusterRoleBinding"]
    present = value.get("subjects") or []
    value["subjects"] = present + [subject for subject in wanted if subject not in present]
    return []


_BASE = f"{FILES} {PRINT} all? dry-run~unchanged:none field-manager= local? l:selector="

COMMAND = Command(
    "Set specific features on objects.",
    usage="kubectl set SUBCOMMAND",
    subcommands={
        "env": Command(
            "Update environment variables on a pod template.",
            usage="kubectl set env RESOURCE/NAME KEY_1=VAL_1 ...",
            flags=f"{_BASE} c:containers=* e:env* from= keys, list? overwrite?true prefix= resolve?",
            run=_runner("env", "env updated", _env),
        ),
        "image": Command(
            "Update the image of a pod template.",
            usage="kubectl set image (-f FILENAME | TYPE NAME) CONTAINER_NAME_1=CONTAINER_IMAGE_1 ...",
            flags=_BASE,
            run=_runner("image", "image updated", _image),
        ),
        "resources": Command(
            "Update resource requests/limits on objects with pod templates.",
            usage="kubectl set resources (-f FILENAME | TYPE NAME) ([--limits=LIMITS & --requests=REQUESTS]",
            flags=f"{_BASE} c:containers=* limits= requests=",
            run=_runner("resources", "resource requirements updated", _resources),
        ),
        "selector": Command(
            "Set the selector on a resource.",
            usage="kubectl set selector (-f FILENAME | TYPE NAME) EXPRESSIONS",
            flags=f"f:filename* R:recursive?true {PRINT} all? dry-run~unchanged:none field-manager= local? "
            "resource-version=",
            run=_runner("selector", "selector updated", _selector),
        ),
        "serviceaccount": Command(
            "Update the service account of a resource.",
            usage="kubectl set serviceaccount (-f FILENAME | TYPE NAME) SERVICE_ACCOUNT",
            flags=_BASE,
            run=_runner("serviceaccount", "serviceaccount updated", _service_account),
        ),
        "subject": Command(
            "Update the user, group, or service account in a role binding or cluster role binding.",
            usage="kubectl set subject (-f FILENAME | TYPE NAME) [--user=username] [--group=groupname] "
            "[--serviceaccount=namespace:serviceaccountname]",
            flags=f"{_BASE} user* group* serviceaccount*",
            run=_runner("subject", "subjects updated", _subjects),
        ),
    },
)
