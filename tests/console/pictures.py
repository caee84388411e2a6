"""Takes the pictures in docs/pictures of the console: `python -m tests.console.pictures URL KEY`.

URL is a running installation that has trained the demo model (`make demo` with a terminal, or `make
up` and the guided first loop). Each picture is of a page at 1280 or 390 px.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from typing import Final

import httpx

from tests.cached import ROOT
from tests.console.browser import Console, chromium

FOLDER: Final = ROOT / "docs" / "pictures" / "console"


@dataclass(frozen=True)
class Picture:
    """A picture of a page. `{job}`, `{file}` and `{model}` in its address are the newest ones."""

    name: str
    address: str
    width: int = 1280
    height: int = 800
    theme: str = "light"
    language: str = "en"


PICTURES: Final = (
    Picture("start", ""),
    Picture("data-rows", "/data/{file}/rows"),
    Picture("data-report", "/data/{file}/report"),
    Picture("train", "/train?file={file}&model={base}"),
    Picture("job", "/jobs/{job}/curves", theme="dark"),
    Picture("evaluation", "/jobs/{job}/evaluation"),
    Picture("playground", "/playground?model={model}"),
    Picture("models", "/models/{model}"),
    Picture("admin", "/admin/health"),
    Picture("evaluation-phone", "/jobs/{job}/evaluation", width=390, language="ja"),
)


async def main(url: str, key: str) -> None:
    """Take all pictures."""
    found = _newest(url, key)
    FOLDER.mkdir(parents=True, exist_ok=True)
    async with chromium() as browser:
        for picture in PICTURES:
            async with Console.open(
                browser, url, width=picture.width, language=picture.language
            ) as console:
                await console.page.set_viewport_size(
                    {"width": picture.width, "height": picture.height}
                )
                await console.sign_in(key)
                await console.goto(picture.address.format(**found))
                await console.theme(picture.theme)
                await console.page.wait_for_load_state("networkidle")
                await console.page.screenshot(path=FOLDER / f"{picture.name}.png")
            sys.stdout.write(f"{picture.name}.png\n")


def _newest(url: str, key: str) -> dict[str, str]:
    """Return the newest trained job with its file and models."""
    with httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}) as http:
        jobs = http.get("/v1/fine_tuning/jobs").json()["data"]
    job = next(job for job in jobs if job["fine_tuned_model"])
    return {
        "job": job["id"],
        "file": job["training_file"],
        "model": job["fine_tuned_model"],
        "base": job["model"],
    }


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1].rstrip("/"), sys.argv[2]))
