"""Lifecycle hooks: what is done in or with a container after its start and before its end.

They go the ways of probes, but are judged otherwise: an HTTP hook fails only when nobody answers, whatever the answer
is, and one over HTTPS that meets plain HTTP asks again so. A TCP socket may be declared as a hook, for compatibility,
and always fails.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import msgspec

from pybernetes.aio import clock
from pybernetes.api.core_v1 import HTTPGetAction, LifecycleHandler, Pod
from pybernetes.node.cri import ContainerRuntime, CRIError
from pybernetes.node.kubelet import handlers
from pybernetes.node.kubelet.restarts import AnyContainer
from pybernetes.node.kubelet.status import full_name

USER_AGENT = "kube-lifecycle/1.36"


async def perform(
    runtime: ContainerRuntime, pod: Pod, container: AnyContainer, container_id: str, pod_ip: str,
    hook: LifecycleHandler, timeout: float, say: Callable[[str, str, str], None],
) -> str:  # fmt: skip
    """Carry out a hook; what went wrong, "" if nothing. timeout: seconds for a command or request, 0: as long as it
    takes. say: (type, reason, message) of an event."""
    failed = f'for Container "{container.name}" in Pod "{full_name(pod)}" failed - error:'
    if hook.exec is not None:
        command = hook.exec.command or []
        problem, output = await _exec(runtime, container_id, command, timeout)
        shown = json.dumps(output, ensure_ascii=False)
        return problem and f"Exec lifecycle hook ([{' '.join(command)}]) {failed} {problem}, message: {shown}"
    if hook.http_get is not None:
        problem = await _http(hook.http_get, container, pod_ip, timeout, say)
        return problem and f"HTTP lifecycle hook ({hook.http_get.path or ''}) {failed} {problem}"
    if hook.sleep is not None:
        await clock.sleep(hook.sleep.seconds)
        return ""
    return "Cannot run handler: invalid handler"


async def _exec(runtime: ContainerRuntime, container_id: str, command: list[str], timeout: float) -> tuple[str, str]:
    """What went wrong, and what the command printed."""
    try:
        result = await runtime.exec_sync(container_id, command, timeout)
    except CRIError as error:
        return error.message, ""
    if not result.exit_code:
        return "", ""
    printed = result.stderr.decode("utf-8", "replace")
    output = (result.stdout + result.stderr)[: handlers.MAX_BODY].decode("utf-8", "replace")
    return f"command '{' '.join(command)}' exited with {result.exit_code}: {printed}", output


async def _http(
    action: HTTPGetAction, container: AnyContainer, pod_ip: str, timeout: float, say: Callable[[str, str, str], None]
) -> str:
    async def ask(wanted: HTTPGetAction) -> str:
        try:
            outcome = await handlers.http_get(wanted, container, pod_ip, timeout, USER_AGENT, any_status=True)
        except ValueError as error:
            return str(error)
        return "" if outcome.result == handlers.SUCCESS else outcome.output

    problem = await ask(action)
    if not problem.endswith(handlers.NO_TLS):
        return problem
    headers = [header for header in action.http_headers or () if header.name.lower() != "authorization"]
    if await ask(msgspec.structs.replace(action, scheme="HTTP", http_headers=headers)):
        return problem
    address = handlers.address(action.host or pod_ip, handlers.port_number(container, action.port))
    text = f"request to HTTPS lifecycle hook {address} got HTTP response, retry with HTTP succeeded"
    say("Warning", "LifecycleHTTPFallback", text)
    return ""
