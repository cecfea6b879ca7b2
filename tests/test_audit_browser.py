"""The pages of an audit in a real browser: by keyboard alone, through kills and reloads, for every reader, and safe."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .auditing import Running, audit, audit_here, dataset
from .browser import Page, browser, violations
from .test_pages import HOSTILE

PAIRS, TURNS = 20, 22


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return dataset(tmp_path_factory.mktemp("browser"))


@pytest.fixture
def here(made: tuple[Path, Path], tmp_path: Path) -> Iterator[Running]:
    with audit_here(made[1], PAIRS, made[0], tmp_path / "audit.jsonl") as running:
        yield running


def until(tab: Page, condition: str) -> None:
    """Wait until an expression holds in the page."""
    end = time.monotonic() + 20
    while not tab.run(condition):
        assert time.monotonic() < end, (condition, tab.run("document.body.innerText"), tab.messages)
        time.sleep(0.01)


def tap(tab: Page, key: str) -> None:
    """Press a key when the page takes it: not in its first 0.1 s, when a key may bounce."""
    time.sleep(0.1)
    tab.press(key)


def press(tab: Page, key: str, done: int) -> None:
    """Press a key, and wait until the page has so many judgments and takes the next key."""
    tap(tab, key)
    until(tab, f"document.getElementById('main')?.dataset.done === '{done}'")


def begin(tab: Page, address: str, judge: str) -> None:
    """Go to the first pair with the keyboard alone."""
    tab.open(address)
    for _ in range(12):
        tab.press("Tab")
        if tab.run("document.activeElement.id") == "judge":
            break
    for letter in judge:
        tab.press(letter)
    tab.press("Enter")
    until(tab, "document.getElementById('main')?.dataset.judge !== undefined && document.readyState === 'complete'")


def said(tab: Page) -> str:
    return str(tab.run("document.getElementById('said').textContent"))


def test_a_whole_audit_by_keyboard_through_undo_reload_and_kill(made: tuple[Path, Path], tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    options = ("-n", PAIRS, "--file", file, "--store", made[0])
    keys = "1234012112"
    with browser() as tab, browser() as other:
        with audit(made[1], *map(str, options)) as running:
            begin(tab, running.address, "ada")
            for number, key in enumerate(keys[:6]):
                press(tab, key, number + 1)
            until(tab, f"document.getElementById('said').textContent === 'Saved, 6 of {TURNS}.'")
            press(tab, "u", 5)
            assert said(tab) == f"Taken back, 5 of {TURNS} are saved."
            press(tab, "3", 6)
            tab.call("Page.reload")
            until(tab, "document.readyState === 'complete' && document.getElementById('main').dataset.done === '6'")
            pair = tab.run("document.getElementById('main').dataset.pair")
            tap(tab, "s")
            until(tab, f"document.getElementById('main').dataset.pair !== {json.dumps(pair)}")
            assert tab.messages == []
            assert {request.split("/")[2] for request in tab.requests} == {f"127.0.0.1:{running.port}"}
            running.kill()
            tap(tab, "1")
            until(
                tab, "document.getElementById('alarm').textContent.startsWith('Not saved: the audit does not answer')"
            )
            assert tab.run("document.getElementById('main').dataset.done") == "6"
        with audit(made[1], *map(str, options)) as running:
            begin(tab, running.address, "ada")
            begin(other, running.address, "ben")
            for number in range(TURNS):  # both at once
                if number >= 6:
                    press(tab, "12"[number % 2], number + 1)
                press(other, "1", number + 1)
            assert tab.run("document.querySelector('h1').textContent") == f"All {TURNS} judged"
            assert said(tab) == f"Saved, {TURNS} of {TURNS}."
    lines = [json.loads(line) for line in file.read_bytes().splitlines()]
    judged = [line for line in lines if "undo" not in line]
    undone = {line["undo"] for line in lines if "undo" in line}
    kept = [(line["judge"], line["pair_id"], line["again"]) for line in judged if line["id"] not in undone]
    assert len(kept) == len(set(kept)) == 2 * TURNS
    assert [line["choice"] for line in judged if line["judge"] == "ada"][:7] == [1, 2, 3, 4, 0, 1, 3]
    assert {line["choice"] for line in judged if line["judge"] == "ben"} == {1}
    by_judge = [{(pair, again) for judge, pair, again in kept if judge == name} for name in ("ada", "ben")]
    assert [len([1 for _, again in turns if again]) for turns in by_judge] == [2, 2]
    sides = {(line["judge"], line["pair_id"], line["again"]): line["answer1_id"] for line in judged}
    for judge, pair, again in sides:
        if again:
            assert sides[judge, pair, True] != sides[judge, pair, False]


def test_the_page_serves_every_reader(here: Running) -> None:
    with browser() as tab:
        # A pair is on one screen; at 400 % of 1280 pixels nothing is cut at the side.
        for width, height in ((1280, 900), (390, 844)):
            tab.size(width, height)
            begin(tab, here.address, "eve")
            assert tab.run("document.querySelector('.more').getBoundingClientRect().bottom") <= height
            assert tab.run("document.documentElement.scrollWidth") <= width
        tab.size(320, 256).open(f"{here.address}pair?judge=eve")
        assert tab.run("document.documentElement.scrollWidth") <= 320
        tab.size(1280).theme("light", prefers_reduced_motion="reduce").open(f"{here.address}pair?judge=eve")
        assert tab.run("getComputedStyle(document.querySelector('button')).transitionDuration") == "0s"
        # Focus goes from the question over the answers to the choices, is seen, and every target is large enough.
        seen = []
        for focus in tab.focused_by_tab(40):
            seen.append(
                tab.run(f"{focus}.getAttribute('aria-labelledby') || {focus}.dataset.action || {focus}.tagName")
            )
            assert tab.run(f"getComputedStyle({focus}).outlineStyle") != "none", seen
            assert tab.run(f"Math.min(...['width', 'height'].map(n => {focus}.getBoundingClientRect()[n]))") >= 24, seen
        order = [seen.index(name) for name in ("timer", "q", "a1", "a2", "1", "2", "3", "4", "0", "skip", "SUMMARY")]
        assert order == sorted(order)
        # The heading has the focus after a choice, and the live region says what was saved.
        press(tab, "2", 1)
        assert tab.run("document.activeElement.tagName") == "H1"
        assert tab.run("document.getElementById('said').getAttribute('aria-live')") == "polite"
        until(tab, f"document.getElementById('said').textContent === 'Saved, 1 of {TURNS}.'")
        # Keys of the left hand; then one of its own, which changes places; letters in a field are no choices.
        tab.run("document.querySelector('#keys').open = true; document.querySelector('[data-set=left]').click()")
        press(tab, "a", 2)
        tab.run("document.querySelector('[data-key-of=\"3\"]').click()")
        tab.press("a")
        tab.call("Page.reload")
        until(
            tab,
            "document.readyState === 'complete' && document.querySelector('[data-shows=\"3\"]')?.textContent === 'a'",
        )
        press(tab, "a", 3)
        tab.press("v")
        assert tab.run("document.getElementById('timer').hidden") is True
        # What the votes say, and back, by the same key.
        tab.press("c")
        until(tab, "document.getElementById('back') !== null && document.readyState === 'complete'")
        tab.press("c")
        until(tab, "document.getElementById('said') !== null && document.readyState === 'complete'")
        assert tab.messages == []
    choices = [json.loads(line)["choice"] for line in Path("audit.jsonl").read_bytes().splitlines()]
    assert choices == [2, 1, 3]


def test_a_tab_of_an_earlier_start_says_so(made: tuple[Path, Path], tmp_path: Path) -> None:
    with browser() as tab:
        with audit_here(made[1], PAIRS, None, tmp_path / "audit.jsonl") as running:
            begin(tab, running.address, "ada")
            tab.run("document.getElementById('main').dataset.base = '/an-earlier-token/'")
            tap(tab, "1")
            until(tab, "document.getElementById('alarm').textContent.includes('of an earlier start of the audit')")
            assert tab.run("document.getElementById('main').dataset.done") == "0"
        tap(tab, "1")
        until(tab, "document.getElementById('alarm').textContent.includes('does not answer')")
    assert (tmp_path / "audit.jsonl").read_bytes() == b""


def test_hostile_texts_ask_for_nothing(tmp_path: Path) -> None:
    store, out = dataset(tmp_path, posts=len(HOSTILE), texts=[text[:5_000] for text in HOSTILE])
    with audit_here(out, len(HOSTILE), store) as running, browser() as tab:
        begin(tab, running.address, "ada")
        total = int(tab.run("document.getElementById('main').dataset.total"))
        for number in range(total):
            press(tab, "1", number + 1)
        for number in range(len(HOSTILE)):
            tab.open(f"{running.address}thread?site=reddit.com&id=p{number}")
            assert tab.run("document.querySelectorAll('main').length") == 1
        assert tab.messages == []
        assert {request.split("/")[2] for request in tab.requests} == {f"127.0.0.1:{running.port}"}


def test_axe_finds_nothing_wrong(here: Running) -> None:
    pages = ("", "pair?judge=ada", "after", "results", "threads", "thread?site=reddit.com&id=p3", "nowhere")
    pair = ""
    with browser() as tab:
        for theme in ("light", "dark"):
            for path in pages:
                if path == "after":
                    press(tab, "1", 1 if theme == "light" else 2)
                    pair = tab.run("document.getElementById('look').href")
                tab.size(390).theme(theme).open(pair if path == "after" else here.address + path)
                tab.run("document.querySelectorAll('details').forEach(one => one.open = true)")
                assert violations(tab) == [], path
