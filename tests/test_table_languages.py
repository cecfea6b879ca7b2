"""Tables whose headers are in other languages, as programs there write them: a proposed map and one of six lines."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shp_miner.cli import run
from shp_miner.store import Store

#: The encoding, what parts the cells, the two headers, and how a time, a score and a text are written.
TABLES = {
    "German": (
        "cp1252", ";",
        "Nr;Betreff;Beitrag;Verfasser;Erstellt;Punkte;Rubrik", "Nr;Frage;Antwort;Verfasser;Erstellt;Punkte",
        "{d:02}.{m:02}.{y} {h:02}:05", "{},0", "Weil, für Öl;",
    ),
    "German of Excel": (
        "utf-16", "\t",
        "Nr\tBetreff\tBeitrag\tVerfasser\tErstellt\tPunkte\tRubrik", "Nr\tFrage\tAntwort\tVerfasser\tErstellt\tPunkte",
        "{d}.{m}.{y} {h}:05", "{}", "Weil\nfür Öl",
    ),
    "Japanese": (
        "cp932", ",",
        "番号,題名,本文,投稿者,投稿日時,評価,カテゴリ", "番号,質問番号,回答,投稿者,投稿日時,評価",
        "{y}年{m}月{d}日 {h}:05", "{}", "理由は何ですか、",
    ),
    "Russian": (
        "cp1251", ";",
        "Номер;Тема;Текст;Автор;Дата;Рейтинг;Раздел", "Номер;Вопрос;Ответ;Автор;Дата;Рейтинг",
        "{d:02}.{m:02}.{y} {h:02}:05", "{}", "Потому что;",
    ),
    "Spanish": (
        "utf-8-sig", ";",
        "sep=;\nid;Título;Contenido;Autor;Fecha de creación;Puntos;Categoría",
        "sep=;\nid;Pregunta;Respuesta;Autor;Fecha de creación;Puntos",
        "{d:02}/{m:02}/{y} {h:02}:05", "{}", "¿Por qué?;",
    ),
}  # fmt: skip


def written(language: str, folder: Path) -> list[str]:
    """Three posts and five answers, the first post on the last day of 2023 at 14:05."""
    encoding, mark, *headers, time, score, text = TABLES[language]

    def at(days: int, hour: int) -> str:
        day = datetime(2023, 12, 31, tzinfo=UTC) if not days else datetime(2024, 1, days, tzinfo=UTC)
        return time.format(d=day.day, m=day.month, y=day.year, h=hour)

    posts = [[n, f"{text} {n}", text, "Ana", at(n - 1, 14), score.format(10 + n), "x"] for n in (1, 2, 3)]
    answers = [[10 + n, n % 3 + 1, text, "Ben", at(4, 8 + n), score.format(n)] for n in range(1, 6)]
    for name, header, rows in (("posts.csv", headers[0], posts), ("answers.csv", headers[1], answers)):
        lines = [header, *(mark.join(f'"{cell}"' for cell in row) for row in rows)]
        (folder / name).write_bytes("\r\n".join([*lines, ""]).encode(encoding))
    return [str(folder / name) for name in ("posts.csv", "answers.csv")]


@pytest.mark.parametrize("language", TABLES)
def test_a_header_in_another_language_is_guessed_and_mapped_in_six_lines(
    language: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables, zone = written(language, tmp_path), ["--zone", "Europe/Berlin"]
    words = ["import", "table", *tables, "--guess", "--site", "forum.example", *zone]
    assert run([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["unknown"] == []
    assert [len(thread["answers"]) for thread in told["threads"]] == [2, 2, 1]
    assert run([*words, "--yes", "-q", "--store", "guessed"]) == 0
    encoding, _, *headers, _, _, text = TABLES[language]
    of_posts, of_answers = (header.splitlines()[-1] for header in headers)
    names = [next(mark for mark in "\t,;" if mark in of_posts)]
    columns = [header.split(names[0]) for header in (of_posts, of_answers)]
    keys = (
        ("post_id", "title", "body", "author", "created_at", "score", "community"),
        ("answer_id", "post_id", "body", "author", "created_at", "score"),
    )
    lines = [
        'site = "forum.example"', 'zone = "Europe/Berlin"', 'dates = "day-first"',
        'decimal = ","' if language == "German" else "",
        f'encoding = "{encoding}"' if encoding.startswith("cp") else "",
        *(
            f"{kind} = {{ {', '.join(f'{key} = {json.dumps(name)}' for key, name in zip(of, named, strict=True))} }}"
            for kind, of, named in zip(("posts", "answers"), keys, columns, strict=True)
        ),
    ]  # fmt: skip
    (tmp_path / "map.toml").write_text("\n".join(lines), encoding="utf-8")
    assert run(["import", "table", *tables, "--map", str(tmp_path / "map.toml"), "-q", "--store", "mapped"]) == 0
    for store in ("guessed", "mapped"):
        posts = Store(store).snapshot().scan("posts").collect().sort("post_id")
        assert posts["created_at"][0] == datetime(2023, 12, 31, 13, 5, tzinfo=UTC)
        assert posts["score"].to_list() == [11, 12, 13]
        assert posts["body"].to_list() == [text] * 3
        assert Store(store).snapshot().scan("answers").collect()["body"].to_list() == [text] * 5


def test_an_encoding_may_be_told(tmp_path: Path) -> None:
    tables = written("Russian", tmp_path)
    for path in map(Path, tables):
        path.write_bytes(path.read_bytes().decode("cp1251").encode("cp866"))
    words = ["import", "table", *tables, "--guess", "--yes", "--site", "a.example", "--zone", "UTC", "-q"]
    assert run([*words, "--encoding", "cp866"]) == 0
    assert Store("data/store").snapshot().scan("posts").collect()["body"].to_list() == ["Потому что;"] * 3
