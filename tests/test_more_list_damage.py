"""What kept stores from forgetting: damaged notes, identities and salts, clocks that were ahead, addresses."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from shp_miner import BadInput, export_dataset
from shp_miner.cli import run
from shp_miner.crawling.run import _set_right
from shp_miner.forgetting.forget import purge
from shp_miner.platforms.people import person_page
from shp_miner.sources.registry import Access
from shp_miner.store import Store
from shp_miner.store.forget import ForgottenItem, tombstone_items
from shp_miner.store.forgotten import Forgotten
from shp_miner.store.forgotten_list import FOLDER, has_pending, set_back_list
from shp_miner.store.salt import COPY, SALT, new_salt

from .build import answer_row, chunk, comment, post_row, thread, write_month
from .test_crawling import FakeClock
from .test_forget import seen
from .test_restored import now_shown, shown, us

NAME, TEXT = "Zephyrine_Quux", "Yttanswer"


def import_(store: Path, *records: dict[str, object]) -> int:
    folder = store.parent / "dump"
    write_month(folder, records or [*thread("p1"), comment("hers", "p1", author=NAME, body=f"{TEXT} one.")])
    code = run(["import", "reddit-dump", str(folder), "--store", str(store), "--quiet"])
    shutil.rmtree(folder)
    return code


def command(store: Path, *words: str) -> int:
    return run([*words, "--store", str(store), "--quiet"])


@pytest.mark.parametrize("damage", [b"\xff\xfe", b"", b"\xc2\xb2.1", b"7.x"])
def test_a_damaged_note_has_everything_looked_through(damage: bytes, tmp_path: Path) -> None:
    store = tmp_path / "store"
    import_(store)
    Store(store).append(chunk([], [answer_row("hers", state="deleted", body="", author=None)]))
    (store / FOLDER).mkdir(exist_ok=True)
    (store / FOLDER / "imported").write_bytes(damage)
    assert command(store, "vacuum") == 0
    assert not has_pending(store)
    assert command(store, "forget", "--author", "nobody") == 0


def test_a_damaged_identity_stops_whoever_would_touch_exports(tmp_path: Path) -> None:
    store, copy = tmp_path / "store", tmp_path / "copy"
    import_(store)
    export_dataset(store, tmp_path / "out", rule="votes")
    shutil.copytree(store, copy)
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    (copy / "identity.json").write_bytes(b"")
    assert command(copy, "forget", "--author", NAME) == 5
    assert command(copy, "doctor") == 5
    assert command(copy, "doctor", "--repair") == 5
    assert {path: path.read_bytes() for path in before} == before
    (store / "identity.json").write_bytes(b"{")
    shutil.copy(store / "identity.json", tmp_path / "kept")
    assert command(store, "forget", "--author", NAME) == 5
    (store / "identity.json").unlink()
    assert command(store, "forget", "--author", NAME) == 0
    assert seen(tmp_path / "out", TEXT) == []


def test_a_copy_leaves_the_exports_of_a_store_whose_identity_is_damaged(tmp_path: Path) -> None:
    store, copy = tmp_path / "store", tmp_path / "copy"
    import_(store)
    export_dataset(store, tmp_path / "out", rule="votes")
    shutil.copytree(store, copy)
    (store / "identity.json").write_bytes(b"")
    assert command(copy, "forget", "--author", NAME) == 0
    assert seen(tmp_path / "out", TEXT)


@pytest.mark.parametrize("foreign", [SALT, COPY])
def test_two_sound_salts_let_nobody_in(foreign: str, tmp_path: Path) -> None:
    store = tmp_path / "store"
    import_(store)
    assert command(store, "forget", "--author", NAME) == 0
    right = (store / FOLDER / foreign).read_bytes()
    new_salt(tmp_path / "other")
    shutil.copy(tmp_path / "other" / foreign, store / FOLDER / foreign)
    assert import_(store, comment("new", "p1", author=NAME, body=f"{TEXT} two.")) == 5
    assert command(store, "doctor") == 5
    assert command(store, "doctor", "--repair") == 5, "nobody is left to tell by"
    assert seen(store, NAME, TEXT) == []
    (store / FOLDER / foreign).write_bytes(right)
    assert import_(store, comment("new", "p1", author=NAME, body=f"{TEXT} two.")) == 0
    assert seen(store, NAME, TEXT) == []


@pytest.mark.parametrize("foreign", [SALT, COPY])
def test_repair_finds_the_salt_by_somebody_who_is_still_there(foreign: str, tmp_path: Path) -> None:
    store = tmp_path / "store"
    import_(store)
    assert command(store, "forget", "--author", "Late") == 0
    salt = Forgotten.load(store)._salt
    new_salt(tmp_path / "other")
    # Somebody on the list whose rows a killed run had not emptied yet.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shp_miner.store.lake.Forgotten.filter", lambda _, chunk: chunk)
        assert import_(store, comment("new", "p1", author="Late", body="Wqjz")) == 0
    shutil.copy(tmp_path / "other" / foreign, store / FOLDER / foreign)
    with pytest.raises(BadInput, match="differ"):
        Forgotten.load(store)
    assert command(store, "doctor", "--repair") == 0
    assert Forgotten.load(store)._salt == salt


def test_a_clock_that_was_ahead_keeps_nothing_away(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.append(chunk([post_row()], [answer_row("b")]))
    shown(store, 0, "Qzvxkfirst")
    assert command(store.path, "forget", "--author", "nobody") == 0
    a, b = (ForgottenItem("reddit.com", "p1", answer_id) for answer_id in "ab")
    tombstone_items(store, [a, b], "deleted", us(30))
    clock = FakeClock()
    clock.time = us(1) / 1e6
    _set_right(store, Access(clock=clock))
    purge(store)
    assert max(at for at in Forgotten.load(store.path).lines["at"] if at) <= us(1)
    shown(store, 1.1, "Qzvxksecond")
    assert now_shown(store) == ("live", "Qzvxksecond")
    assert now_shown(store, answer_id="b")[0] == "deleted"


def test_what_was_shown_again_by_the_same_clock_stays(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.append(chunk([post_row()], []))
    shown(store, 0, "Qzvxkfirst")
    tombstone_items(store, [ForgottenItem("reddit.com", "p1", "a")], "deleted", us(30))
    shown(store, 31, "Qzvxksecond")
    assert set_back_list(store.path, us(1)) == 2
    assert set_back_list(store.path, us(1)) == 0
    assert Forgotten.load(store.path).items["answers"].is_empty()


def test_a_format_that_is_away_is_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, out = tmp_path / "store", tmp_path / "out"
    import_(store)
    formats = ["--format", "pairs", "--format", "trl"]
    assert command(store, "export", str(out), "--rule", "votes", *formats) == 0
    (out / "trl").rename(tmp_path / "away")
    assert command(store, "forget", "--author", NAME) == 3
    assert "trl does not exist" in capsys.readouterr().err
    assert command(store, "status") == 3
    assert command(store, "doctor") != 0
    (tmp_path / "away").rename(out / "trl")
    assert command(store, "forget") == 0
    assert seen(out, TEXT) == []


PAGES = [
    ("https://www.reddit.com/user/Zephyrine_Quux", "reddit.com"),
    ("https://reddit.com/u/zephyrine_quux/", "reddit.com"),
    ("old.reddit.com/user/Zephyrine_Quux/comments/?sort=new", "reddit.com"),
    ("https://reddit.com:443/u/Zephyrine_Quux#top", "reddit.com"),
]


@pytest.mark.parametrize(("page", "site"), PAGES)
def test_somebody_named_by_their_page_goes_and_stays_out(page: str, site: str, tmp_path: Path) -> None:
    store = tmp_path / "store"
    import_(store)
    assert command(store, "forget", "--author", page) == 0
    assert seen(store, NAME, TEXT) == []
    assert import_(store, comment("new", "p1", author=NAME, body=f"{TEXT} two.")) == 0
    assert seen(store, NAME, TEXT) == []


STORED = "https://forum.example/user/bob-m%C3%BCller"


@pytest.mark.parametrize(
    "page",
    [
        STORED,
        "https://forum.example/user/bob-müller",
        "forum.example/user/bob-müller/topics",
        "http://FORUM.example:80/user/bob-m%c3%bcller?tab=x#posts",
        "https://forum.example/user/bob-müller?tab=x",
    ],
)
def test_every_way_to_write_an_address_is_the_address_stored(page: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    row = answer_row("a", author="Bob Müller", author_url=STORED, body=TEXT, site="forum.example")
    store.append(chunk([post_row(site="forum.example")], [row]))
    assert command(store.path, "forget", "--author", page) == 0
    assert seen(store.path, TEXT) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://lemmy.world/u/bob", ("lemmy.world", "bob", None, "https://lemmy.world/u/bob")),
        ("https://lemmy.world/u/bob@lemmy.ml", ("lemmy.ml", "bob", None, "https://lemmy.ml/u/bob")),
        ("https://x.example/forum/u/bob/summary", ("x.example/forum", "bob", None, "https://x.example/forum/u/bob")),
        (
            "cooking.stackexchange.com/users/12/bob",
            ("cooking.stackexchange.com", "12", "12", "https://cooking.stackexchange.com/users/12"),
        ),
        ("u/bob", None),
        ("bob@forum.example", None),
        ("https://x.example/t/1", None),
    ],
)
def test_pages_of_people(text: str, expected: tuple[str, str, str | None, str] | None) -> None:
    page = person_page(text)
    assert (page and (page.site, page.name, page.number, page.address)) == expected


def test_an_address_of_nobody_says_what_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "store"
    import_(store)
    assert command(store, "forget", "--author", "https://x.example/t/1") == 2
    assert "https://SITE/user/NAME" in capsys.readouterr().err
    assert not has_pending(store)
