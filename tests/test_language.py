"""The languages of an export: told without a network, from a sample that stays the same."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
import yaml

from shp_miner import import_dump
from shp_miner.export import dataset
from shp_miner.export.dataset import export_dataset
from shp_miner.text import language
from shp_miner.text.language import _ISO, CODES, _detector, languages_of

from .build import submission, thread, write_month
from .conftest import NOW

ENGLISH = "I would talk to your advisor before you decide anything."
GERMAN = "Ich würde zuerst mit deinem Betreuer darüber sprechen."
NORWEGIAN = "Hva skjer nå? Noen ganger er det bedre å høre etter hva folk sier."


def test_languages_are_told_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise AssertionError("a connection was asked for")

    monkeypatch.setattr(socket, "socket", no_network)
    language._detector.cache_clear()
    texts = [
        ENGLISH,
        GERMAN,
        NORWEGIAN,
        "先に指導教員と話してみてください。",
        ENGLISH.upper(),
        ENGLISH.replace(" ", "\n"),
    ]
    assert languages_of(texts) == ["en", "de", "no", "ja", "en", "en"]
    assert languages_of(["", "lol", "12 345", "\0"]) == [None] * 4


def test_every_label_of_the_model_can_be_asked_for() -> None:
    labels = {str(row["lang"]) for row in _detector().detect("hello", model="lite", k=500)}
    assert len(labels) > 150
    assert {_ISO.get(label, label) for label in labels} <= CODES


def test_the_card_names_the_languages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = []
    for number in range(40):
        records += thread(f"p{number}", (3, 9))
        records[-2]["body"], records[-1]["body"] = ENGLISH, NORWEGIAN if number % 2 else "lol"
    records.append(submission("alone"))
    import_dump("reddit-dump", write_month(tmp_path / "dump", records), tmp_path / "store", now=NOW)
    export_dataset(tmp_path / "store", tmp_path / "out", rule="votes", formats=["pairs", "trl"])
    facts = json.loads((tmp_path / "out/pairs/manifest.json").read_text())["facts"]
    assert facts["languages"] == {"answers": 80, "share": {"en": 0.5, "no": 0.25}, "unclear": 0.25}
    for folder in ("out", "out/pairs", "out/trl"):
        card = (tmp_path / folder / "README.md").read_text()
        assert yaml.safe_load(card.split("---\n")[1])["language"] == ["en", "no"]
        assert "`en` 50.0 %, `no` 25.0 %, not clear 25.0 % (of 80 answers" in card
    monkeypatch.setattr(dataset, "LANGUAGE_SAMPLE", 30)
    export_dataset(tmp_path / "store", tmp_path / "small", rule="votes")
    small = json.loads((tmp_path / "small/manifest.json").read_text())["facts"]["languages"]
    assert 15 <= small["answers"] <= 45
    assert abs(small["share"]["en"] - 0.5) < 0.3
