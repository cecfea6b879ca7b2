"""Times read many at once are those that the standard library reads one by one."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from shp_miner.dumps.iso_times import iso_us
from shp_miner.units import to_us

USUAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:[0-5]\d)?", re.ASCII)

zones = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29)).flatmap(  # noqa: DTZ001
    lambda time: st.sampled_from([time, time.replace(microsecond=0)])
)
spelled = st.one_of(
    moments.map(datetime.isoformat),
    moments.map(lambda time: time.isoformat() + "Z"),
    st.tuples(moments, zones).map(lambda both: both[0].replace(tzinfo=both[1]).isoformat()),
    moments.map(lambda time: time.isoformat(timespec="milliseconds")),
)
damage = st.tuples(st.integers(0, 31), st.sampled_from(["", "0", "9", "-", ":", "T", "Z", " ", ".", "é", "1970"]))
damaged = st.tuples(spelled, damage).map(lambda both: both[0][: both[1][0]] + both[1][1] + both[0][both[1][0] + 1 :])


def alone(text: str | None, *, zone: bool) -> int | None:
    found = USUAL.fullmatch(text or "")
    if text is None or not found or (found[2] is not None) != zone:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return to_us(time if zone else time.replace(tzinfo=UTC))


@settings(max_examples=200)
@given(st.lists(st.none() | spelled | damaged | st.text(max_size=40), max_size=12), st.booleans())
def test_many_times_are_what_each_is_alone(texts: list[str | None], zone: bool) -> None:
    found = iso_us(pl.Series(texts, dtype=pl.String), zone=zone).to_list()
    expected = [alone(text, zone=zone) for text in texts]
    assert found == expected
