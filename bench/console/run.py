"""Benchmark of the console: `python -m bench.console.run`. Starts its own Valkey, api and worker.

The project has 10,000 jobs, of which one has 100,000 steps, 2,500 trained models, and a file of
100,000 rows with a finished report. Chromium does what a person does, several times.

Each time runs from the event of the mouse or the keyboard until the first frame that shows the
result. `network` is the time in which a request was in progress: the service and the connection.
The rest, `page`, is scripts, styles and frames. A filter waits until 250 ms pass without a letter:
its times begin after that. Actions whose page takes more than 100 ms are marked.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from playwright.async_api import Browser, Locator, Page

from bench.scale.run import ROOT, Site, fill_of, site_of
from service.jobs.records import Jobs, NewEvent
from tests.conftest import chat_line
from tests.console.browser import chromium
from tests.jobs.test_metric_series import events_of

MOST_MS: Final = 100
LONG_TASK_MS: Final = 50
STEPS: Final = 100_000
MOST_WAIT_S: Final = 30
SCROLLS: Final = 20

# `watch(condition, start)` waits for the first event of one of the types in `start`, or begins at
# the navigation, and resolves `measured` when a frame fulfills the condition.
_PROBE: Final = """
const tasks = [];
new PerformanceObserver((list) => tasks.push(...list.getEntries())).observe({type: "longtask"});
window.longTasks = () => tasks.map(({duration}) => duration);
window.watch = (condition, start) => {
  tasks.length = 0;
  performance.clearResourceTimings();
  performance.setResourceTimingBufferSize(1000);
  let began = start ? null : 0;
  const begin = (event) => (began ??= event.timeStamp);
  for (const type of start ?? []) addEventListener(type, begin, {capture: true, once: true});
  window.measured = new Promise((resolve) => {
    const look = () => {
      if (began === null || !condition()) return requestAnimationFrame(look);
      requestAnimationFrame((ended) => setTimeout(() => resolve(result(began, ended))));
    };
    requestAnimationFrame(look);
  });
};
const result = (began, ended) => {
  const requests = performance.getEntriesByType("resource")
    .filter(({responseEnd}) => responseEnd > began)
    .map(({startTime, responseEnd}) => [Math.max(startTime, began), Math.min(responseEnd, ended)])
    .filter(([from, to]) => to > from)
    .sort((a, b) => a[0] - b[0]);
  let [network, until] = [0, 0];
  for (const [from, to] of requests) {
    network += Math.max(0, to - Math.max(from, until));
    until = Math.max(until, to);
  }
  return {
    total: ended - began,
    network,
    pause: requests.length > 0 ? requests[0][0] - began : 0,
    longest: Math.max(0, ...tasks.map(({duration}) => duration)),
  };
};
"""
_ROWS_SHOWN: Final = "document.querySelectorAll('main [data-row]').length > 5"
_LINES_SHOWN: Final = "document.querySelectorAll('main [data-line]').length > 5"
_CHART_SHOWN: Final = "document.querySelector('main canvas') !== null"


@dataclass
class Action:
    """The times of an action in milliseconds."""

    total: list[float] = field(default_factory=list)
    network: list[float] = field(default_factory=list)
    page: list[float] = field(default_factory=list)
    longest: list[float] = field(default_factory=list)

    def add(self, measured: dict[str, float], *, waits: bool = False) -> None:
        """Add a measurement. With `waits`, the pause before its first request does not count."""
        total = measured["total"] - (measured["pause"] if waits else 0)
        self.total.append(total)
        self.network.append(measured["network"])
        self.page.append(total - measured["network"])
        self.longest.append(measured["longest"])

    def __str__(self) -> str:
        figures = [
            f"{statistics.median(times):.0f} | {_p95(times):.0f}"
            for times in (self.total, self.network, self.page)
        ]
        mark = "over" if statistics.median(self.page) > MOST_MS else ""
        return f"{' | '.join(figures)} | {max(self.longest):.0f} | {mark}"


def _p95(times: list[float]) -> float:
    return sorted(times)[min(len(times) - 1, round(0.95 * len(times)))]


@dataclass
class Person:
    """A browser in which someone works, and the times of what they did."""

    browser: Browser
    origin: str
    key: str
    file: str
    job: str
    actions: dict[str, Action] = field(default_factory=dict)

    @contextlib.asynccontextmanager
    async def tab(self) -> AsyncIterator[Page]:
        """A signed-in tab of a new profile, whose cache is empty."""
        context = await self.browser.new_context(viewport={"width": 1280, "height": 900})
        await context.add_init_script(_PROBE)
        answer = await context.request.post(
            f"{self.origin}/v1/session", headers={"authorization": f"Bearer {self.key}"}
        )
        assert answer.ok, await answer.text()
        try:
            yield await context.new_page()
        finally:
            await context.close()

    async def measure(
        self,
        name: str,
        page: Page,
        act: Callable[[], Awaitable[object]],
        condition: str,
        *,
        start: tuple[str, ...] = ("pointerdown",),
        waits: bool = False,
    ) -> None:
        """Do something, and add the time until the condition holds."""
        await page.evaluate(f"watch(() => {condition}, {json.dumps(start)})")
        try:
            async with asyncio.timeout(MOST_WAIT_S):
                await act()
                measured = await page.evaluate("measured")
        except TimeoutError:
            print(f"not measured: {name}, at {page.url}", flush=True)
            return
        self.actions.setdefault(name, Action()).add(measured, waits=waits)


async def first_loads(person: Person, rounds: int) -> None:
    """Load Jobs with an empty cache, and again. Prints the size of the scripts."""
    for number in range(rounds):
        async with person.tab() as page:
            for name in ("first load of Jobs, empty cache", "load of Jobs, full cache"):
                await page.goto("about:blank")
                await page.add_init_script(_at_navigation(_ROWS_SHOWN))
                await page.goto(f"{person.origin}/console/jobs", wait_until="commit")
                measured = await page.evaluate("measured")
                person.actions.setdefault(name, Action()).add(measured)
                if number == 0 and "empty" in name:
                    print(await _scripts(page), flush=True)


def _at_navigation(condition: str) -> str:
    """Return a script that measures from the navigation on."""
    return f"if (location.protocol !== 'about:') watch(() => {condition}, null);"


async def _scripts(page: Page) -> str:
    sizes = await page.evaluate(
        """performance.getEntriesByType("resource")
             .filter(({name}) => name.split("?")[0].endsWith(".js"))
             .map(({encodedBodySize, decodedBodySize}) => [encodedBodySize, decodedBodySize])"""
    )
    sent, whole = (sum(size[i] for size in sizes) / 1000 for i in (0, 1))
    return f"{len(sizes)} scripts of {sent:.0f} kB, {whole:.0f} kB uncompressed"


async def lists(person: Person, page: Page) -> None:
    """Open the lists, page through them, and filter them."""
    areas = page.get_by_role("navigation", name="Areas")
    await page.goto(f"{person.origin}/console/models")
    await _rows(page)
    await person.measure(
        "open Jobs",
        page,
        areas.get_by_role("link", name="Jobs").click,
        f"location.pathname === '/console/jobs' && {_ROWS_SHOWN}",
    )
    await _next_page(person, page, "next page of Jobs")
    await _filter(person, page, page.get_by_role("searchbox").first, "search 10,000 jobs")
    await person.measure(
        "open Models",
        page,
        areas.get_by_role("link", name="Models").click,
        f"location.pathname === '/console/models' && {_ROWS_SHOWN}",
    )
    await _next_page(person, page, "next page of Models")
    await _filter(person, page, page.get_by_role("searchbox").first, "search 2,500 models")


async def rows(person: Person, page: Page) -> None:
    """Open the rows of the large file, scroll in them, and filter them."""
    await page.goto(f"{person.origin}/console/data/{person.file}/report")
    tab = page.get_by_role("main").get_by_role("link", name="Rows", exact=True)
    await tab.wait_for()
    await person.measure("open Rows", page, tab.click, _LINES_SHOWN)
    await page.goto(f"{person.origin}/console/data/{person.file}/rows?show=all&sort=line")
    await page.locator("main [data-line]").nth(5).wait_for()
    await _next_page(person, page, "next page of Rows")
    line = page.locator("[data-line]:not([aria-current])").first
    number = await line.get_attribute("data-line")
    await person.measure(
        "show another row", page, line.click, f"location.search.includes('line={number}')"
    )


async def curves(person: Person, page: Page) -> None:
    """Open a job of 100,000 steps, and zoom into its curve."""
    await page.goto(f"{person.origin}/console/jobs?search={person.job}")
    name = page.get_by_role("main").locator(f"a[href*='{person.job}']").first
    await person.measure("open a job of 100,000 steps", page, name.click, _CHART_SHOWN)
    box = await page.locator("main canvas").first.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    await page.mouse.move(box["x"] + box["width"] / 3, middle)
    await page.mouse.down()
    await page.mouse.move(box["x"] + box["width"] / 2, middle, steps=10)
    await person.measure(
        "zoom into the curve",
        page,
        page.mouse.up,
        "location.search.includes('from=') && "
        "!document.querySelector('main').innerText.includes('100,000')",
        start=("mouseup",),
    )


async def appearance(person: Person, page: Page) -> None:
    """Switch theme and language on the list of jobs."""
    await page.goto(f"{person.origin}/console/jobs")
    await _rows(page)
    await page.locator("header details summary").click()
    for theme in ("dark", "light"):
        color = await page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        choose = page.locator("header details select").last.select_option
        await person.measure(
            "switch the theme",
            page,
            partial(choose, theme),
            f"getComputedStyle(document.documentElement).backgroundColor !== {color!r}",
            start=("input", "change"),
        )
    for language in ("ja", "en"):
        choose = page.locator("header details select").first.select_option
        await person.measure(
            "switch the language",
            page,
            partial(choose, language),
            f"document.documentElement.lang === '{language}'",
            start=("input", "change"),
        )


async def scroll(person: Person, page: Page, path: str, row: str) -> None:
    """Print the tasks of more than 50 ms while a list is scrolled."""
    await page.goto(f"{person.origin}/console{path}")
    await page.locator(f"main [{row}]").nth(5).wait_for()
    await page.evaluate("watch(() => false, [])")
    await page.mouse.move(640, 600)
    for _ in range(SCROLLS):
        await page.mouse.wheel(0, 600)
        await page.evaluate("new Promise((done) => requestAnimationFrame(() => done()))")
    tasks = [task for task in await page.evaluate("longTasks()") if task > LONG_TASK_MS]
    longest = f", the longest {max(tasks):.0f} ms" if tasks else ""
    print(f"{SCROLLS} turns of the wheel in {path}: {len(tasks)} long tasks{longest}", flush=True)


async def _rows(page: Page) -> None:
    await page.locator("main [data-row]").nth(5).wait_for()


async def _next_page(person: Person, page: Page, name: str) -> None:
    """Scroll to the end of what has been fetched, until there is more."""
    await page.mouse.move(640, 600)
    height = await page.evaluate("document.documentElement.scrollHeight")
    await person.measure(
        name,
        page,
        lambda: page.mouse.wheel(0, 20_000),
        f"document.documentElement.scrollHeight > {height} + 500",
        start=("wheel",),
    )


async def _filter(person: Person, page: Page, box: Locator, name: str) -> None:
    """Type a text that nothing contains."""
    await box.click()
    await person.measure(
        name,
        page,
        lambda: page.keyboard.insert_text("nothing-has-this"),
        "document.querySelectorAll('main [data-row]').length === 0"
        " && location.search.includes('nothing')",
        start=("input",),
        waits=True,
    )
    await person.measure(
        f"{name}: the letter", page, lambda: page.keyboard.press("x"), "true", start=("keydown",)
    )


async def large_file(site: Site, count: int) -> str:
    """Upload a file and wait for its report. Returns its ID."""
    # Every fiftieth question is asked twice.
    lines = (
        chat_line(f"Where is order {number - number % 50 // 49}?", f"It left warehouse {number}.")
        for number in range(count)
    )
    data = "\n".join(lines).encode()
    answer = await site.http.post(
        "/v1/files", files={"file": ("orders.jsonl", data)}, data={"purpose": "fine-tune"}
    )
    file: str = answer.raise_for_status().json()["id"]
    async with _worker():
        for _ in range(1200):
            if (await site.http.get(f"/v1/files/{file}")).json()["status"] != "uploaded":
                break
            await asyncio.sleep(0.5)
        made = await site.http.post("/v1/dataset_reports", json={"file_id": file})
        report = made.raise_for_status().json()
        while report["status"] in ("queued", "in_progress"):
            path = f"/v1/dataset_reports/{report['id']}"
            report = (await site.http.get(path, params={"wait": 30})).json()
        assert report["status"] == "completed", report
    return file


@contextlib.asynccontextmanager
async def _worker() -> AsyncIterator[None]:
    command = [sys.executable, "-m", "service.cli", "worker", "--queues", "cpu"]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


async def long_job(site: Site, steps: int) -> str:
    """Write a job with the events of a long training. Returns its ID."""
    [job] = await fill_of(site).jobs(1, ended=False)
    jobs, events = Jobs(site.redis), events_of(steps, every_valid=steps // 20)
    for first in range(0, len(events), 1000):
        some = events[first : first + 1000]
        await jobs.change(job.project_id, job.id, lambda j: j, events=partial(_same, some))
    return job.id


def _same(events: list[NewEvent], _: object) -> list[NewEvent]:
    return events


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--models", type=int, default=2_500)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    async with site_of(requests=1, series=1, rounds=1) as site, chromium() as browser:
        fill = fill_of(site)
        await fill.jobs(options.jobs, ended=True)
        await fill.models(options.models)
        job, file = await long_job(site, STEPS), await large_file(site, options.rows)
        key = site.http.headers["authorization"].removeprefix("Bearer ")
        person = Person(browser, str(site.http.base_url).rstrip("/"), key, file, job)
        await first_loads(person, options.rounds)
        async with person.tab() as page:
            for _ in range(options.rounds):
                for part in (lists, rows, curves, appearance):
                    await part(person, page)
            await scroll(person, page, "/jobs", "data-row")
            await scroll(person, page, "/models", "data-row")
            await scroll(person, page, f"/data/{file}/rows?show=all&sort=line", "data-line")
    print(
        "\n| action | median, ms | p95 | network, median | p95 | page, median | p95 "
        "| longest task | over 100 ms |\n|---|---:|---:|---:|---:|---:|---:|---:|---|"
    )
    for name, action in person.actions.items():
        print(f"| {name} | {action} |")


if __name__ == "__main__":
    asyncio.run(main())
