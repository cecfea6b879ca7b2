"""`audit`: who may ask, what is saved, what a full disk and a second audit do, the sample, results and threads."""

from __future__ import annotations

import json
import resource
import shutil
import time
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from shp_miner import export_dataset, forget, load
from shp_miner.cli import run
from shp_miner.rules.presets import PRESETS
from shp_miner.show.rows import export_at, read_rows
from shp_miner.store import HashRange, Store
from shp_miner.store.snapshot import EVERYTHING, Snapshot
from shp_miner.web.audit import audited_export
from shp_miner.web.browse import Browse
from shp_miner.web.judgments import Judgment
from shp_miner.web.pages import forum_text
from shp_miner.web.results import results
from shp_miner.web.sample import stratified
from shp_miner.web.verdicts import key_of, verdicts

from .auditing import Running, audit, audit_here, dataset, turn_of
from .test_import_published import json_lines
from .test_pages import HOSTILE, Seen
from .test_untimed import eli5_rows


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return dataset(tmp_path_factory.mktemp("audit"))


@pytest.fixture(scope="module")
def served(made: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Running:
    """A running audit that tests only ask; judgments are not in the export's folder."""
    file = tmp_path_factory.mktemp("judgments") / "audit.jsonl"
    with audit(made[1], "-n", "20", "--store", made[0], "--file", file) as running:
        yield running


def lines(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_bytes().splitlines()]


# -- who may ask ------------------------------------------------------------------------------------------------------


def test_only_the_page_itself_is_answered(served: Running) -> None:
    page, vote = f"/{served.token}/", f"/{served.token}/vote"
    turn = {"judge": "eve", "pair_id": turn_of(served.page("pair?judge=eve")[1])[0], "choice": 1}
    own, other = f"http://127.0.0.1:{served.port}", "http://evil.example"
    refused = [
        served.ask("/"),
        served.ask("/wrong/"),
        served.ask(f"/{served.token}x/"),
        served.ask("/favicon.ico"),
        served.ask("/wrong/vote", "POST", turn),
        served.ask(page, Host="evil.example"),
        served.ask(page, Host=f"evil.example:{served.port}"),
        served.ask(page, Host=f"127.0.0.1:{served.port + 1}"),
        served.ask(page, Origin=other),
        served.ask(page, Sec_Fetch_Site="cross-site"),
        served.ask(page, Sec_Fetch_Site="same-site", Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="iframe"),
        served.ask(vote, "POST", turn, Origin=other),
        served.ask(vote, "POST", turn, Origin="null"),
        served.ask(vote, "POST", turn, Origin=None),
        served.ask(vote, "POST", turn, Origin=own, Host="evil.example"),
    ]
    assert [status for status, _ in refused] == [403] * len(refused)
    assert all("printed when it was started last" in text for _, text in refused)
    assert all(served.token not in text for _, text in refused)
    assert served.ask(page)[0] == served.ask(page, Host=f"localhost:{served.port}")[0] == 200
    followed = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
    assert served.ask(page, **followed)[0] == 200  # a link in a terminal that is a page
    assert served.ask(vote, "POST", turn, **followed)[0] == 403
    # No state is changed by GET, and nothing was saved by any of these.
    assert served.ask(page, Host=None)[0] == 400
    assert served.ask(vote)[0] == 405
    assert served.ask(vote, "POST", turn, Content_Type="text/plain")[0] == 415
    assert served.ask(vote, "POST", {"x": "y" * 30_000})[0] == 413
    assert served.ask(vote, "POST", ["no"])[0] == 400
    assert "eve" not in served.page("")[1]


def test_every_page_has_the_policy_and_no_script_of_its_own(served: Running) -> None:
    import http.client

    for path in ("", "pair?judge=ada", "threads", "thread?site=reddit.com&id=p3", "results", "audit.js", "nowhere"):
        connection = http.client.HTTPConnection("127.0.0.1", served.port)
        connection.request("GET", f"/{served.token}/{path}")
        answer = connection.getresponse()
        policy = answer.getheader("Content-Security-Policy") or ""
        assert policy.startswith("default-src 'none'; script-src 'self'")
        assert "unsafe" not in policy
        assert (answer.getheader("Cache-Control"), answer.getheader("X-Frame-Options")) == ("no-store", "DENY")
        text = answer.read().decode()
        if path != "audit.js":
            for tag, attributes in page_of(text).tags:
                assert not [name for name in attributes if name.startswith("on") or name == "style"]
                assert tag != "script" or attributes.keys() == {"src", "defer"}
        connection.close()


def page_of(html: str) -> Seen:
    seen = Seen.__new__(Seen)
    seen.handle_endtag = lambda tag: None  # type: ignore[method-assign]
    Seen.__init__(seen, html)
    return seen


# -- what is saved ----------------------------------------------------------------------------------------------------


def test_judgments_survive_kills_and_nobody_is_lost_or_doubled(made: tuple[Path, Path], tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    with audit(made[1], "-n", "10", "--file", file) as running:
        for number in range(6):
            assert running.vote(("ada", "ben", "ada")[number % 3], 1 + number % 4)[0] == 200
            assert len(lines(file)) == number + 1  # on the disk before the page hears of it
        running.kill()
    held = lines(file)
    assert len({(line["judge"], line["pair_id"], line["again"]) for line in held}) == len(held) == 6
    file.write_bytes(file.read_bytes() + b'{"pair_id": "reddit.com/p1/')  # as if it had died while writing
    with audit(made[1], "-n", "10", "--file", file) as running:
        assert "4 of 11" in running.page("")[1]
        # The same choice sent twice, as after a lost answer, counts once.
        pair, again = turn_of(running.page("pair?judge=ada")[1])
        told = {"judge": "ada", "pair_id": pair, "again": again, "choice": 2}
        replies = [running.ask(f"/{running.token}/vote", "POST", told) for _ in range(2)]
        assert [status for status, _ in replies] == [200, 200]
        assert "Saved, 5 of 11." in replies[0][1]
        assert "was judged before" in replies[1][1]
        # A second audit on the same file is refused in words.
        assert run(["audit", str(made[1]), "--file", str(file), "--port", "0"]) == 75
        assert running.ask(f"/{running.token}/undo", "POST", {"judge": "ada"})[0] == 200
        assert turn_of(running.page("pair?judge=ada")[1]) == (pair, again)
    assert len(lines(file)) == 8


def test_a_full_disk_loses_nothing(made: tuple[Path, Path], tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    with audit(made[1], "-n", "8", "--file", file, limit=700) as running:
        replies = [running.vote("ada") for _ in range(6)]
        saved = [status for status, _ in replies].count(200)
        assert 1 <= saved < 6
        status, told = replies[-1]
        assert status == 503
        assert told["said"].startswith("Not saved. No space is left on the disk while saving a judgment")
        assert file.read_bytes().endswith(b"}\n")
        assert len(lines(file)) == saved
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        # With room again it goes on.
        assert running.vote("ada")[1]["said"] == f"Saved, {saved + 1} of 9."


def test_a_port_in_use_is_said(
    served: Running, made: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["audit", str(made[1]), "--file", str(tmp_path / "b.jsonl"), "--port", str(served.port)]
    assert run(command) == 75
    assert f"Port {served.port} is in use" in capsys.readouterr().err


def test_an_export_that_was_made_again_shows_what_it_has_now(tmp_path: Path) -> None:
    store, out = dataset(tmp_path, posts=6)
    with audit_here(out, 6) as running:
        pair = turn_of(running.page("pair?judge=ada")[1])[0]
        post = pair.split("/")[1]
        assert f"question {post[1:]}." in running.page("pair?judge=ada")[1]
        forget(store, ids=[f"reddit.com/{post}"])
        status, page = running.page("pair?judge=ada")
        assert status == 200
        assert f"question {post[1:]}." not in page
        told = {"judge": "ada", "pair_id": pair, "again": False, "choice": 1}
        status, text = running.ask(f"/{running.token}/vote", "POST", told)
        assert (status, "not part of the audit any more" in text) == (409, True)


@pytest.mark.parametrize("before", ["skip", "undo"])
def test_a_pair_that_is_forgotten_after_a_skip_or_undo_does_not_come_back(tmp_path: Path, before: str) -> None:
    store, out = dataset(tmp_path, posts=6)
    with audit_here(out, 4) as running:
        pair, again = turn_of(running.page("pair?judge=ada")[1])
        if before == "undo":
            assert running.vote("ada")[0] == 200
        told = {"judge": "ada", "pair_id": pair, "again": again}
        assert running.ask(f"/{running.token}/{before}", "POST", told)[0] == 200
        forget(store, ids=[f"reddit.com/{pair.split('/')[1]}"])
        for _ in range(4):
            assert running.vote("ada")[0] == 200
        status, page = running.page("pair?judge=ada")
        assert (status, "All judged" in page) == (200, True)


@pytest.mark.parametrize(
    "text", ["*a_ " * 250_000, "- a\n" * 250_000, "[" * 500_000 + "](x)" * 100_000, "<b>" * 300_000]
)
def test_a_text_of_1_mb_takes_a_moment_and_is_whole_when_asked_for(text: str) -> None:
    began = time.process_time()
    cut, whole = forum_text(text, full=False), forum_text(text, full=True)
    assert time.process_time() - began < 10
    assert "more characters." in cut
    assert page_of(whole).text == text
    assert {tag for tag, _ in page_of(whole).tags} == {"div"}


def test_scores_stay_hidden_until_the_pair_is_judged(served: Running) -> None:
    pair, _ = turn_of(served.page("pair?judge=blind")[1])
    assert not {"score", "confidence", "preferred"} & set(served.page("pair?judge=blind")[1].lower().split())
    assert "<table" not in served.page(f"after?judge=blind&pair={pair}")[1]
    served.vote("blind", 2)
    status, page = served.page(f"after?judge=blind&pair={pair}")
    assert status == 200
    shown = "when you have judged all pairs" not in page  # a pair that comes again stays hidden
    assert shown == all(
        words in page for words in ("You said: ", "The label of the rule shp", "shp-strict", "Score read")
    )
    # Every pair once the judge is done; the rules say what they keep.
    for _ in range(21):
        assert served.vote("blind", 1)[0] == 200
    page = served.page(f"after?judge=blind&pair={pair}")[1]
    assert all(words in page for words in ("The label of the rule shp", "older-winner", "keeps only"))
    assert "All 22 judged" in served.page("pair?judge=blind")[1]


# -- the sample and the results ---------------------------------------------------------------------------------------


def test_the_sample_is_spread_and_grows(made: tuple[Path, Path]) -> None:
    export = export_at(made[1])
    small, large = ([pair.pair_id for pair in stratified(export, count)] for count in (10, 20))
    assert large[:10] == small
    rows = {row["pair_id"]: row for row in load(made[1])}
    places = Counter(rows[pair]["community"] for pair in large)
    assert min(places["asktest"], places["askmore"]) >= 9
    assert len({rows[pair]["post_id"] for pair in large}) == 20
    shares = [Counter(rows[pair]["tier"] for pair in pairs)["strict"] / len(pairs) for pairs in (large, list(rows))]
    assert abs(shares[0] - shares[1]) < 0.1
    everything = stratified(export, 10_000)
    assert sorted(pair.pair_id for pair in everything) == sorted(rows)
    assert stratified(export, 5, judged=[large[15]])[0].pair_id == large[15]


def test_the_layout_and_other_formats_change_nothing(made: tuple[Path, Path], tmp_path: Path) -> None:
    export_dataset(made[0], tmp_path / "both", formats=["trl", "pairs"], layout="compact")
    audited, joined = audited_export(tmp_path / "both"), export_at(made[1])
    chosen = [stratified(export, 8) for export in (audited, joined)]
    assert [pair.pair_id for pair in chosen[0]] == [pair.pair_id for pair in chosen[1]]
    places = [[pair.place for pair in pairs] for pairs in chosen]
    assert [row.row for row in read_rows(audited, places[0])] == [row.row for row in read_rows(joined, places[1])]
    judgments = [Judgment(pair_id=pair.pair_id, choice=1, judge="ada", id=pair.pair_id) for pair in chosen[0]]
    assert results(judgments, audited) == results(judgments, joined)


def test_what_rules_say_is_what_their_exports_have(made: tuple[Path, Path], tmp_path: Path) -> None:
    keys = [key_of(row) for row in load(made[1])]
    store = Store(made[0])
    found = verdicts(store, store.snapshot(), keys)
    assert found.keys() == set(keys)
    for name in ("shp", "shp-strict", "older-winner", "calibrated"):
        rows = {}
        if name != "older-winner":  # which makes no pair of these
            export_dataset(made[0], tmp_path / name, rule=name)
            rows = {key_of(row): row for row in load(tmp_path / name)}
        place = list(PRESETS).index(name)
        for key in keys:
            verdict = found[key][place]
            assert verdict.rule == name
            row = rows.get(key)
            assert verdict.preferred_id == (None if row is None else row[f"answer{row['preferred']}_id"])
            if row is None:
                assert verdict.why
                assert verdict.why.endswith(".")
            else:
                assert verdict.confidence == pytest.approx(row["confidence"], abs=0.001)


def test_results_are_counted_from_the_file(
    made: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = sorted(load(made[1]), key=lambda row: row["pair_id"])
    by_thread = {row["post_id"]: row for row in rows}
    file, told = tmp_path / "audit.jsonl", []
    for number, row in enumerate(by_thread.values()):
        for judge, wrong_each in (("ada", 4), ("ben", 3)):
            side = row["preferred"] if number % wrong_each else 3 - row["preferred"]
            ids = {name: row[name] for name in ("pair_id", "answer1_id", "answer2_id")}
            told.append({**ids, "choice": side, "judge": judge, "id": f"{judge}{number}"})
    swapped = {
        "answer1_id": told[0]["answer2_id"],
        "answer2_id": told[0]["answer1_id"],
        "choice": 3 - told[0]["choice"],
    }
    told += [
        {**told[0], **swapped, "again": True, "id": "again"},
        {**told[2], "again": True, "id": "again2", "choice": 3},
    ]
    told += [{"pair_id": "reddit.com/gone/a-b", "choice": 1, "judge": "ada", "id": "x"}, {"undo": "ben3"}]
    file.write_text("".join(json.dumps(line) + "\n" for line in told))
    command = ["audit", str(made[1]), "--results", "--file", str(file), "--store", str(made[0])]
    assert run([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    threads = len(by_thread)
    rights = [[number % 4 != 0, *([number % 3 != 0] if number != 3 else [])] for number in range(threads)]
    assert found["all"]["threads"] == threads
    assert found["all"]["agree"]["value"] == pytest.approx(sum(sum(one) / len(one) for one in rights) / threads)
    assert (found["unknown"], found["choices"]["an answer"]) == (1, 2 * threads)
    ada = next(judge for judge in found["judges"] if judge["judge"] == "ada")
    assert (ada["again"], ada["same"]["value"]) == (2, 0.5)
    assert found["between"]["units"] == threads - 1
    both = [one for one in rights if len(one) == 2]
    assert found["between"]["raw"]["value"] == pytest.approx(sum(one[0] == one[1] for one in both) / len(both))
    presets = {share["group"]: share for share in found["by_preset"]}
    assert presets["shp"]["agree"] == found["all"]["agree"]
    assert presets["older-winner"]["threads"] == 0
    assert found["slope"]["low"] < found["slope"]["value"] < found["slope"]["high"]
    assert run(command) == 0
    printed = capsys.readouterr().out
    assert "Krippendorff's alpha" in printed
    assert "By confidence of the label" in printed
    # The lab reads the same file.
    assert run(["lab", str(tmp_path / "lab"), "--store", str(made[0]), "--audit", str(file), "--json"]) == 0
    tables = {table["title"]: table for table in json.loads(capsys.readouterr().out)["tables"]}
    assert tables["Judged by the audit"]["rows"][0]["compared"] > threads


def test_an_export_takes_how_sure_its_labels_are_from_judges(made: tuple[Path, Path], tmp_path: Path) -> None:
    store, out = made
    own = shutil.copytree(out, tmp_path / "own")
    rows = pl.concat(pl.read_parquet(file) for file in own.rglob("*.parquet")).sort("pair_id")
    # Judges who agree with two labels in three, however sure the labels are: less often than the confidences say.
    judged = rows.with_row_index().with_columns(
        choice=pl.when(pl.col("index") % 3 == 0).then(3 - pl.col("preferred")).otherwise("preferred")
    )
    with (own / "audit.jsonl").open("w") as file:
        for row in judged.to_dicts():
            names = ("pair_id", "choice", "answer1_id", "answer2_id")
            file.write(json.dumps({name: row[name] for name in names} | {"judge": "ada"}) + "\n")
    again, flags = tmp_path / "again", ["--store", str(store), "--rule", "votes", "-q"]
    assert run(["export", str(again), *flags, "--audit", str(own / "audit.jsonl")]) == 0
    plain = tmp_path / "plain"
    assert run(["export", str(plain), *flags]) == 0
    slope = json.loads((again / "manifest.json").read_text())["configuration"]["rule"]["confidence_slope"]
    assert 0 < slope < 1
    new, old = (
        pl.concat(pl.read_parquet(file) for file in folder.rglob("*.parquet")).sort("pair_id")["confidence"].to_numpy()
        for folder in (again, plain)
    )
    known = ~np.isnan(old)
    odds = (old[known] / (1 - old[known])) ** slope
    np.testing.assert_allclose(new[known], odds / (1 + odds), atol=1.1e-3)  # three decimals are kept
    # The slope of what was made with it is 1: nothing is left to learn from the same judgments.
    (again / "audit.jsonl").write_bytes((own / "audit.jsonl").read_bytes())
    assert run(["export", str(tmp_path / "third"), *flags, "--audit", str(again / "audit.jsonl")]) == 0
    third = json.loads((tmp_path / "third" / "manifest.json").read_text())["configuration"]["rule"]
    assert third["confidence_slope"] == pytest.approx(slope, rel=0.02)


def test_wrong_calls_are_answered_in_words(
    made: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export_dataset(made[0], tmp_path / "kto", formats=["kto"])
    assert run(["audit", str(tmp_path / "kto"), "--port", "0"]) == 2
    assert "Audit an export of the format pairs" in capsys.readouterr().err
    assert run(["audit", str(tmp_path / "none")]) == 5
    assert run(["audit", str(made[1]), "--results", "--file", str(tmp_path / "none.jsonl")]) == 5
    assert "Judge some pairs first" in capsys.readouterr().err
    assert run(["audit", str(made[1]), "-q", "--port", "0", "--file", str(tmp_path / "none.jsonl")]) == 2
    assert "Leave -q out" in capsys.readouterr().err
    assert not (tmp_path / "none.jsonl").exists()


def test_without_the_extra_the_message_names_it(
    made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shp_miner.web.server.find_spec", lambda name: None)
    assert run(["audit", str(made[1]), "--file", str(tmp_path / "a.jsonl"), "--port", "0"]) == 2
    assert "pip install 'shp-miner[web]'" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "a.jsonl").exists()


# -- threads ----------------------------------------------------------------------------------------------------------


def test_threads_without_times_are_shown(tmp_path: Path) -> None:
    store, out = str(tmp_path / "s"), tmp_path / "out"
    assert run(["import", str(json_lines(eli5_rows(), tmp_path / "eli5.jsonl")), "--store", store, "-q"]) == 0
    assert run(["export", str(out), "--store", store, "--rule", "votes", "--allow-unknown-age", "-q"]) == 0
    with audit_here(out, 2, Path(store), tmp_path / "judgments.jsonl") as running:
        status, page = running.page("thread?site=reddit.com&id=q3")
        assert status == 200
        assert page.count("ritten at an unknown time") == 3
        status, page = running.page("threads?q=Why")
        assert status == 200
        assert "1990" not in page


def test_a_thread_is_found_by_id_address_and_words(served: Running) -> None:
    address = "https://www.reddit.com/r/AskMore/comments/p3/question/"
    for asked in ("p3", "t3_p3", "reddit.com/p3", "reddit.com/p3/p3c0-p3c2", address, "question+3?"):
        status, page = served.page(f"threads?q={asked}")
        assert status == 200
        assert "id=p3" in page, asked
    assert "0 threads" in served.page("threads?q=nothing+like+it")[1]
    assert served.page("threads?q=")[1].count("id=p") >= 20
    status, page = served.page("thread?site=reddit.com&id=p3")
    assert status == 200
    seen = page_of(page)
    assert {"svg", "figcaption", "polyline"} <= {tag for tag, _ in seen.tags}
    for words in ("Answer 3 is preferred to answer 1, confidence", "Read: score", "has the highest score"):
        assert words in seen.text
    page = served.page("thread?site=reddit.com&id=p3&rule=older-winner")[1]
    assert "Answers 3 and 1 (scores 13 and 3): The answer with more votes is not older" in page_of(page).text
    assert served.page("thread?site=reddit.com&id=zzz")[0] == 400
    assert served.page("thread?site=reddit.com&id=p3&rule=zzz")[0] == 400


def test_a_page_of_a_thread_scans_no_table(made: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    browse, parts = Browse(Store(made[0])), []
    assert browse.thread({"site": "reddit.com", "id": "p3"})["pairs"]  # the community's fit is measured once
    real = Snapshot.scan

    def scan(self: Snapshot, name: str, part: HashRange = EVERYTHING) -> pl.LazyFrame:
        parts.append(part)
        return real(self, name, part)

    monkeypatch.setattr(Snapshot, "scan", scan)
    for number in (3, 5, 7):
        assert browse.thread({"site": "reddit.com", "id": f"p{number}"})["pairs"]
    assert {part.stop - part.start for part in parts} == {1}


def test_hostile_texts_are_harmless_on_every_page(tmp_path: Path) -> None:
    store, out = dataset(tmp_path, posts=len(HOSTILE), texts=[text[:5_000] for text in HOSTILE])
    with audit_here(out, 30, store) as running:
        pages = []
        for _ in range(33):
            status, page = running.page("pair?judge=ada")
            assert status == 200
            pages.append(page)
            if "data-pair" in page:
                running.vote("ada", 1)
        pages += [running.page(f"thread?site=reddit.com&id=p{number}")[1] for number in range(len(HOSTILE))]
        pages += [running.page("threads")[1], running.page("threads?q=%3Cscript%3Ealert(1)%3C/script%3E")[1]]
        assert running.page("pair?judge=%E2%80%AEeve")[0] == 400
    for page in pages:
        tags = page_of(page).tags
        assert {tag for tag, _ in tags} & {"img", "iframe", "object", "embed", "base", "animate"} == set()
        assert all("src" in attributes for tag, attributes in tags if tag == "script")
        assert [tag for tag, _ in tags].count("body") == [tag for tag, _ in tags].count("main") == 1
        links = [str(attributes["href"]) for tag, attributes in tags if tag == "a"]
        assert all(address.startswith(("/", "#", "https://", "http://")) for address in links)
        assert "\u202e" not in page
        assert "\x1b" not in page
