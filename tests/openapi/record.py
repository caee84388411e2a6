"""Records the examples of openapi.json from real responses.

python -m tests.openapi.record           # without training and serving: 15 seconds
python -m tests.openapi.record stack     # with training and serving: minutes
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from service.standalone.services import free_port
from service.standalone.up import DEMO_MODEL
from tests.e2e.conftest import Stack
from tests.openapi.description import ROOT
from tests.openapi.embedder import embeddings
from tests.openapi.run import offer, run
from tests.openapi.scenario import stack as scenario
from tests.openapi.world import World

EXAMPLES = ROOT / "service" / "web" / "openapi" / "examples"
_BASE = ROOT / ".cache" / "models" / DEMO_MODEL


async def _of_a_stack(folder: Path) -> World:
    offer(folder / "models.yaml", _BASE, DEMO_MODEL)
    stack = Stack(folder, free_port(), {"FINETUNED_EVALUATION_ROWS": "6"})
    try:
        stack.start()
        world = World(stack.url, {"member": stack.key}, strict=False)
        job = await scenario.train(world)
        await scenario.look(world, job)
        await scenario.evaluate(world, job)
        await scenario.ask(world, job)
        await scenario.read_advice(world, await scenario.advise(world))
        await scenario.usage(world)
        await world.close()
    finally:
        stack.stop()
    vectors = (await embeddings(folder, _BASE)).said["createEmbedding"]
    kept = world.said["createEmbedding"]
    vectors["responses"] |= kept["responses"]
    kept |= vectors
    return world


def main() -> None:
    """Run the scenarios and write the recorded examples."""
    with tempfile.TemporaryDirectory() as folder:
        if sys.argv[1:] == ["stack"]:
            world, place = asyncio.run(_of_a_stack(Path(folder))), EXAMPLES / "stack"
        else:
            world, place = asyncio.run(run(Path(folder), _BASE, strict=False)), EXAMPLES
    world.write(place)
    sys.stdout.write(f"wrote {len(world.said)} files to {place}\n")


if __name__ == "__main__":
    main()
