"""The pages of an audit and what they answer: routes, templates, and errors in words."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from shp_miner.errors import BadInput, Error, TryLater, UsageError, in_words
from shp_miner.pages.frame import style_sheet
from shp_miner.pages.markup import link, rendered, safe, shortened, written_out
from shp_miner.store import Store
from shp_miner.web.audit import Audit, NoSuchTurn
from shp_miner.web.browse import Browse
from shp_miner.web.judgments import CHOICES
from shp_miner.web.results import results
from shp_miner.web.told import sentences, tables
from shp_miner.web.verdicts import key_of, verdicts

log = logging.getLogger("shp_miner")

#: Characters of a text that a page shows before it is asked for the whole, and bytes of what a page may send.
_CHARS, _BODY = 20_000, 20_000

#: What a key can be set for.
ACTIONS = (
    *((str(choice), words) for choice, words in CHOICES.items()),
    ("undo", "Undo"), ("skip", "Skip"), ("look", "What the votes say"), ("timer", "Hide or show the timer"),
)  # fmt: skip

_CODE = re.compile("`([^`<>]+)`")

_FILES = {"audit.js": "text/javascript", "audit.css": "text/css", "icon.svg": "image/svg+xml"}


class _Turn(msgspec.Struct):
    """What a page sends: a judge, and a pair if one is meant."""

    judge: str
    pair_id: str = ""
    again: bool = False
    choice: int = -1
    seconds: float | None = None


class Site:
    """The site of one audit. `store` is the store of its threads, None where there is none."""

    def __init__(self, audit: Audit, file: Path, store: Store | None, rule: str = "shp") -> None:
        self._audit, self._file, self._store = audit, file, store
        self._browse = None if store is None else Browse(store, rule)
        self._base = "/"
        self._templates = Environment(
            loader=PackageLoader("shp_miner.web"), autoescape=True, undefined=StrictUndefined, finalize=_harmless
        )
        self._templates.filters |= {"forum": forum_text, "sentence": with_code}

    def app(self, token: str) -> Starlette:
        """Return the application; its pages link to addresses below the token."""
        self._base = f"/{token}/"
        routes: list[BaseRoute] = [
            self._page("/", self._start),
            self._page("/pair", self._pair),
            self._page("/after", self._after),
            self._page("/results", self._results),
            self._page("/threads", self._threads),
            self._page("/thread", self._thread),
            Route("/vote", self._write(self._vote), methods=["POST"]),
            Route("/undo", self._write(self._undo), methods=["POST"]),
            Route("/skip", self._write(self._skip), methods=["POST"]),
            Route("/style.css", _static("style.css")),
            *(Route(f"/{name}", _static(name)) for name in _FILES),
        ]
        return Starlette(routes=routes, exception_handlers={HTTPException: self._told})

    def _page(self, path: str, make: Callable[[Request], Response]) -> Route:
        async def answer(request: Request) -> Response:
            try:
                return await run_in_threadpool(make, request)
            except Exception as error:  # noqa: BLE001  (a page that fails must not end the server)
                return await self._told(request, error)

        return Route(path, answer, methods=["GET"])

    # -- pages ----------------------------------------------------------------------------------------------------

    def _shown(self, name: str, title: str, here: str = "-", status: int = 200, **values: Any) -> Response:
        pages = [("Start", ""), ("Results", "results"), *([("Threads", "threads")] if self._browse else [])]
        values = {"kind": name, "title": title, "here": here, "pages": pages, "base": self._base, **values}
        return HTMLResponse(self._templates.get_template(f"{name}.html").render(values), status_code=status)

    def _start(self, _: Request) -> Response:
        audit = self._audit
        audit.refresh()
        about: dict[str, Any] = {"out": str(audit.out), "file": str(self._file), "count": f"{audit.pairs:,}"}
        return self._shown("start", "Start", "", judges=audit.judges(), **about)

    def _pair(self, request: Request) -> Response:
        judge = self._audit.known(request.query_params.get("judge", ""))
        self._audit.refresh()
        turn = self._turn(judge, full="full" in request.query_params)
        title = f"Pair {turn['done'] + 1} of {turn['total']}" if turn["turn"] else "All judged"
        return self._shown("pair", title, actions=ACTIONS, **turn)

    def _turn(self, judge: str, *, full: bool = False) -> dict[str, Any]:
        turn, (done, total) = self._audit.turn(judge), self._audit.progress(judge)
        texts = (turn.question, *turn.answers) if turn else ()
        return {
            "judge": judge, "turn": turn, "done": done, "total": total, "full": full, "last": self._audit.last(judge),
            "cut": not full and any(len(text) > _CHARS for text in texts),
            "choices": [(str(choice), words) for choice, words in CHOICES.items()],
        }  # fmt: skip

    def _after(self, request: Request) -> Response:
        audit = self._audit
        judge, pair_id = audit.known(request.query_params.get("judge", "")), request.query_params.get("pair", "")
        audit.refresh()
        row = audit.row(pair_id)
        judgment = audit.last_of(judge, pair_id)
        values: dict[str, Any] = {"judge": judge, "allowed": judgment is not None and audit.may_see(judge, pair_id)}
        if judgment is not None and values["allowed"]:
            order = ("1", "2") if judgment.answer1_id == row["answer1_id"] else ("2", "1")
            values |= {
                "row": row, "said": CHOICES[judgment.choice], "label": _label(row, order), "facts": _facts(row, order),
                "texts": [row[f"answer{side}"] for side in order], "verdicts": self._verdicts(row, order),
                "no_verdicts": "Name the store of these threads with --store to see what each rule makes of the pair.",
                "source": Markup(link(row["url"], "The thread on its site")) if row["url"] else "",  # noqa: S704
                "thread": self._thread_address(row),
            }  # fmt: skip
        return self._shown("after", "What the votes say", **values)

    def _verdicts(self, row: dict[str, Any], order: tuple[str, str]) -> list[tuple[str, str, str, str]]:
        if self._store is None:
            return []
        key = key_of(row)
        side = {row[f"answer{side}_id"]: f"answer {number}" for number, side in enumerate(order, start=1)}
        return [
            (
                verdict.rule,
                side.get(verdict.preferred_id or "", "-"),
                "-" if verdict.confidence is None else f"{verdict.confidence:.2f}",
                verdict.why or "",
            )
            for verdict in verdicts(self._store, self._store.snapshot(), [key]).get(key, [])
        ]

    def _thread_address(self, row: dict[str, Any]) -> str:
        if self._browse is None:
            return ""
        key = key_of(row)
        return f"thread?site={quote(key.site, safe='')}&id={quote(key.post_id, safe='')}"

    def _results(self, request: Request) -> Response:
        self._audit.refresh()
        with_presets = "presets" in request.query_params and self._store is not None
        found = results(self._audit.judgments, self._audit.export, self._store if with_presets else None)
        told = [sentence for sentence in sentences(found) if sentence not in found.notes or with_presets]
        offered = self._store is not None and not with_presets and found.judgments > 0
        return self._shown("results", "Results", "results", sentences=told, tables=tables(found), with_presets=offered)

    def _threads(self, request: Request) -> Response:
        told = self._browsing().search(request.query_params.get("q", ""))
        return self._shown("threads", "Threads", "threads", **told)

    def _thread(self, request: Request) -> Response:
        told = self._browsing().thread(request.query_params)
        return self._shown("thread", told["heading"], "thread", **told)

    def _browsing(self) -> Browse:
        if self._browse is None:
            raise UsageError("There is no store to look into.", "Name the store of these threads with --store.")
        return self._browse

    # -- what a page sends ----------------------------------------------------------------------------------------

    def _vote(self, told: _Turn) -> str:
        if self._audit.choose(told.judge, told.pair_id, again=told.again, choice=told.choice, seconds=told.seconds):
            return "Saved, {done} of {total}."
        return "This pair was judged before; nothing was changed. {done} of {total} are saved."

    def _undo(self, told: _Turn) -> str:
        undone = self._audit.undo(told.judge)
        return "Taken back, {done} of {total} are saved." if undone else "There is nothing to take back."

    def _skip(self, told: _Turn) -> str:
        self._audit.skip(told.judge, told.pair_id, again=told.again)
        return "Skipped: the pair comes again at the end. {done} of {total} are saved."

    def _write(self, action: Callable[[_Turn], str]) -> Callable[[Request], Awaitable[Response]]:
        def write(body: bytes) -> Response:
            try:
                told = msgspec.json.decode(body, type=_Turn)
            except (msgspec.DecodeError, UnicodeDecodeError):
                return JSONResponse({"said": "The page sent something that is not a choice. Load it again."}, 400)
            told.judge = self._audit.known(told.judge)
            status = 200
            try:
                said = action(told)
            except NoSuchTurn as error:
                said, status = f"{error.message} {error.hint}", 409
            turn = self._turn(told.judge)
            html = self._templates.get_template("turn.html").render(base=self._base, **turn)
            return JSONResponse({"said": said.format(**turn), "main": html}, status)

        async def answer(request: Request) -> Response:
            if request.headers.get("content-type") != "application/json":
                return JSONResponse({"said": "A choice is sent as JSON."}, 415)
            body = b""
            async for part in request.stream():
                body += part
                if len(body) > _BODY:
                    return JSONResponse({"said": "The page sent too much. Load it again."}, 413)
            try:
                return await run_in_threadpool(write, body)
            except Exception as error:  # noqa: BLE001  (as for pages)
                return await self._told(request, error)

        return answer

    async def _told(self, request: Request, error: Exception) -> Response:
        """Answer with an error in words, as a page or as what a page's script reads."""
        if isinstance(error, HTTPException):
            known: Error = UsageError("There is no such page.", "Go to the start.")
            status = error.status_code
        else:
            known = in_words(error) or BadInput("The page cannot be made.", "Run again with -v for the reason.")
            kinds = {UsageError: 400, TryLater: 503, BadInput: 503}
            status = next((code for kind, code in kinds.items() if isinstance(known, kind)), 500)
            log.log(
                logging.DEBUG if isinstance(error, Error) else logging.ERROR, "%s", request.url.path, exc_info=error
            )
        if request.method == "POST":
            said = f"Not saved. {known.message} Correct this, then choose again: what was saved before is kept."
            return JSONResponse({"said": said}, status)
        return self._shown("said", "Not possible", status=status, message=known.message, hint=known.hint)


def _static(name: str) -> Callable[[Request], Awaitable[Response]]:
    content = style_sheet() if name == "style.css" else (Path(__file__).parent / "static" / name).read_text("utf-8")

    async def answer(_: Request) -> Response:
        return Response(content, media_type=_FILES.get(name, "text/css"))

    return answer


def _harmless(value: object) -> object:
    """A value of a template with characters that act on others written out."""
    return written_out(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def forum_text(text: str, full: bool) -> Markup:
    """Return forum text as harmless HTML. Long texts are cut; if `full`, they are whole and as they were written.

    Markdown of strangers can take a minute for each million characters, so that long texts are not rendered.
    """
    if full and len(text) > _CHARS:
        return Markup('<div class="text plain" dir="auto">{}</div>').format(written_out(text))
    kept, left = shortened(text, _CHARS)
    more = f'<p class="faint">… {left:,} more characters.</p>' if left else ""
    return Markup(rendered(kept) + more)  # noqa: S704  (made harmless by `rendered`)


def with_code(sentence: str) -> Markup:
    """Return a sentence of this program as HTML; what stands between backticks is code."""
    return Markup(_CODE.sub(r"<code>\1</code>", safe(sentence)))  # noqa: S704  (made harmless by `safe`)


def _label(row: dict[str, Any], order: tuple[str, str]) -> str:
    number = order.index(str(row["preferred"])) + 1
    sure = "" if row["confidence"] is None else f", confidence {row['confidence']:.2f} ({row['tier']})"
    return f"The label of the rule {row['rule']} prefers answer {number}{sure}."


def _facts(row: dict[str, Any], order: tuple[str, str]) -> list[tuple[str, str, str]]:
    def both(name: str, column: str) -> tuple[str, str, str]:
        first, second = (row[f"{column}{side}"] for side in order)
        return name, _fact(first), _fact(second)

    columns = [("Score", "score"), ("Written", "created_at"), ("Score read", "observed_at"), ("Readers", "reads")]
    return [both(*names) for names in columns if any(row[f"{names[1]}{side}"] is not None for side in order)]


def _fact(value: Any) -> str:
    if value is None:
        return "unknown"
    return f"{value:,}" if isinstance(value, int) else f"{value:%Y-%m-%d %H:%M} UTC"
