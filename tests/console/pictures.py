"""Takes the pictures in docs/pictures of the console: `python -m tests.console.pictures URL KEY`.

URL is a running installation that has trained the demo model (`make demo` in a terminal, or `make
up` and the guided first loop). The script uploads a file with problems and asks the models a
question.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from typing import Final

import httpx
from playwright.async_api import expect

from tests.cached import ROOT
from tests.console.browser import Console, chromium

ENDED: Final = ("completed", "failed", "cancelled")
FOLDER: Final = ROOT / "docs" / "pictures" / "console"


@dataclass(frozen=True)
class Picture:
    """A picture of a page. `{job}`, `{file}` and `{model}` in its address are the newest ones.

    `after` is done before the picture: a click on the button with this text, or None.
    """

    name: str
    address: str
    width: int = 1280
    height: int = 800
    theme: str = "light"
    language: str = "en"
    after: str | None = None


def _chat(question: str, answer: str) -> dict[str, list[dict[str, str]]]:
    return {
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]
    }


_OPEN: Final = "When are you open?"
_PROBLEMS: Final = (
    _chat(_OPEN, "We are open from Monday to Friday, 9:00 to 17:00."),
    _chat(_OPEN, "Our branches open every day from 10:00 to 20:00."),
    _chat(
        "How do I block my card?", "Call us at +66 2 123 4567, at any hour. We block it at once."
    ),
    _chat(
        "How do I block my card?", "Call us at +66 2 123 4567, at any hour. We block it at once."
    ),
    _chat("Who is my adviser?", "Somchai Jaidee, somchai.jaidee@example.com."),
    _chat("What does a transfer abroad cost?", ""),
    *(
        _chat(
            f"What is the fee for service {number}?", f"Service {number} costs {number * 5} baht."
        )
        for number in range(1, 13)
    ),
)

PICTURES: Final = (
    Picture("start", ""),
    Picture("data-rows", "/data/{problems}/rows"),
    Picture("data-report", "/data/{problems}/report"),
    Picture("train", "/train?file={file}&model={base}"),
    Picture("job", "/jobs/{job}/curves", theme="dark"),
    Picture("evaluation", "/jobs/{job}/evaluation"),
    Picture("playground", "/playground?model={model}", after="Can I get there by bike?"),
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
                if picture.after:
                    page = console.page
                    await page.get_by_role("button", name=picture.after).click()
                    if await page.get_by_role("button", name="Send", exact=True).is_enabled():
                        await page.get_by_role("button", name="Send", exact=True).click()
                    await page.locator("article").first.wait_for()
                    await expect(page.locator("article[aria-busy=true]")).to_have_count(
                        0, timeout=120_000
                    )
                await console.page.wait_for_load_state("networkidle")
                await console.page.screenshot(path=FOLDER / f"{picture.name}.png")
            sys.stdout.write(f"{picture.name}.png\n")


def _newest(url: str, key: str) -> dict[str, str]:
    """Return the newest trained job with its file and models."""
    headers = {"authorization": f"Bearer {key}"}
    with httpx.Client(base_url=url, headers=headers, timeout=60) as http:
        jobs = http.get("/v1/fine_tuning/jobs").json()["data"]
        job = next(job for job in jobs if job["fine_tuned_model"])
        content = "".join(json.dumps(row) + "\n" for row in _PROBLEMS).encode()
        file = http.post(
            "/v1/files",
            data={"purpose": "fine-tune"},
            files={"file": ("branch-questions.jsonl", content)},
        ).json()["id"]
        report = http.post("/v1/dataset_reports", json={"file_id": file}).json()["id"]
        while http.get(f"/v1/dataset_reports/{report}?wait=30").json()["status"] not in ENDED:
            pass
    return {
        "problems": file,
        "job": job["id"],
        "file": job["training_file"],
        "model": job["fine_tuned_model"],
        "base": job["model"],
    }


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1].rstrip("/"), sys.argv[2]))
