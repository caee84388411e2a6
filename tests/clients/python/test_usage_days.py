"""Tests of usage by the days of a time zone."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from finetuned.types import CompletionsUsageBucket
from finetuned_cli.usage import minutes_of_the_day_before, rows_of, start_of, start_of_day


def hours(first: datetime, count: int) -> list[CompletionsUsageBucket]:
    """Return buckets of one hour with one request each."""
    result = {
        "object": "organization.usage.completions.result",
        "input_tokens": 10,
        "output_tokens": 5,
        "input_cached_tokens": 0,
        "num_model_requests": 1,
        "num_failed_requests": 0,
        "mean_time_to_first_token_ms": None,
        "mean_time_per_output_token_ms": None,
        "model": "tiny",
    }
    starts = [int((first + timedelta(hours=n)).timestamp()) for n in range(count)]
    return [
        CompletionsUsageBucket.model_validate(
            {"object": "bucket", "start_time": start, "end_time": start + 3600, "results": [result]}
        )
        for start in starts
    ]


def days(zone: ZoneInfo, first: datetime, count: int) -> list[tuple[str, int]]:
    rows = rows_of(hours(first, count), "model", by_day=True, zone=zone)
    return [(row[0], row[2]) for row in rows]


def test_a_day_in_tokyo_begins_at_15_utc():
    tokyo, noon = ZoneInfo("Asia/Tokyo"), datetime(2026, 11, 28, 3, tzinfo=UTC)
    start_s = start_of_day(int(noon.timestamp()), tokyo)
    assert datetime.fromtimestamp(start_s, UTC) == datetime(2026, 11, 27, 15, tzinfo=UTC)
    first = datetime.fromtimestamp(start_s, UTC)
    assert days(tokyo, first, 30) == [("2026-11-28", 24), ("2026-11-29", 6)]
    assert minutes_of_the_day_before(start_s, tokyo) == 0


def test_a_period_may_begin_with_a_date_of_the_local_time_zone(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Bangkok")
    time.tzset()
    try:
        assert start_of("2026-11-28") == datetime(2026, 11, 27, 17, tzinfo=UTC).timestamp()
    finally:
        monkeypatch.undo()
        time.tzset()


def test_the_day_on_which_summer_time_ends_has_25_hours():
    berlin = ZoneInfo("Europe/Berlin")
    start_s = start_of_day(int(datetime(2026, 10, 25, 12, tzinfo=UTC).timestamp()), berlin)
    first = datetime.fromtimestamp(start_s, UTC)
    assert first == datetime(2026, 10, 24, 22, tzinfo=UTC)
    assert days(berlin, first, 26) == [("2026-10-25", 25), ("2026-10-26", 1)]


@pytest.mark.parametrize(
    ("name", "minutes"), [("Asia/Kolkata", 30), ("Asia/Kathmandu", 45), ("America/St_Johns", 30)]
)
def test_an_hour_counts_toward_the_day_in_which_it_begins(name, minutes):
    zone = ZoneInfo(name)
    start_s = start_of_day(int(datetime(2026, 11, 28, 12, tzinfo=UTC).timestamp()), zone)
    first = datetime.fromtimestamp(start_s, UTC)
    assert minutes_of_the_day_before(start_s, zone) == minutes
    assert first.astimezone(zone).strftime("%H:%M") == f"00:{minutes}"
    assert days(zone, first, 24) == [("2026-11-28", 24)]


def test_hours_keep_their_time_and_groups_are_apart():
    (bucket,) = hours(datetime(2026, 11, 28, 3, tzinfo=UTC), 1)
    assert bucket.results[0].model == "tiny"
    bucket.results.append(bucket.results[0].model_copy(update={"model": "other"}))
    assert rows_of([bucket], "model", by_day=False, zone=ZoneInfo("Asia/Tokyo")) == [
        ("2026-11-28 12:00", "tiny", 1, 0, 10, 5),
        ("2026-11-28 12:00", "other", 1, 0, 10, 5),
    ]
