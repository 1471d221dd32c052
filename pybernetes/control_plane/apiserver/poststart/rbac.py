"""The default roles and bindings, kept up to date by `authorization.reconcile`."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from pybernetes.control_plane.apiserver.authorization import reconcile
from pybernetes.control_plane.apiserver.poststart.setup import Setup


async def run(setup: Setup) -> None:
    def find(obj: Any) -> Any:
        return setup.find(obj)

    async def carry_out(write: reconcile.Write) -> None:
        obj: Any = write.obj
        if write.how == "replace":
            await setup.write("DELETE", obj)
        await setup.write("PUT" if write.how == "update" else "POST", obj)

    writes = list(reconcile.plan(cast(Any, find)))
    if writes:
        async with asyncio.TaskGroup() as group:
            for write in writes:
                group.create_task(carry_out(write), name=f"apiserver/setup/{write.obj.metadata.name}")
