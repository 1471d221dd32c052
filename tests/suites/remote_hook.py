"""A server on loopback that is asked by POST, and the kubeconfig that names it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

CONFIG = """
apiVersion: v1
kind: Config
clusters: [{{name: hook, cluster: {{server: 'http://127.0.0.1:{port}/hook'}}}}]
users: [{{name: us, user: {{token: secret}}}}]
contexts: [{{name: c, context: {{cluster: hook, user: us}}}}]
current-context: c
"""


@contextlib.asynccontextmanager
async def answering(directory: Path, answer: Callable[[Any], Any]) -> AsyncIterator[Path]:
    """While the block runs, `answer(body)` is what the hook says; an int is a status code. Yields the kubeconfig."""

    async def handle(request: web.Request) -> web.Response:
        assert request.path == "/hook" and request.headers["Authorization"] == "Bearer secret"
        said = answer(await request.json())
        return web.Response(status=said) if isinstance(said, int) else web.json_response(said)

    app = web.Application()
    app.router.add_post("/hook", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    path = directory / "hook.kubeconfig"
    path.write_text(CONFIG.format(port=runner.addresses[0][1]))
    try:
        yield path
    finally:
        await runner.cleanup()
