"""What a refusal means for a thread and for its community, for all sources.

Each source lists in one `Meanings` what its platform's refusals mean. A web page, an empty body and a log-in mean the
same everywhere. docs/crawling.md has the table.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType

import msgspec

from shp_miner.errors import BadInput, Error, NotAllowed, TryLater
from shp_miner.sources.decode import Instead, refusal_code
from shp_miner.sources.http import Refused, Silent, Unexpected
from shp_miner.sources.source import Evidence, Listed, Unreadable

#: Other threads that are asked for before a community counts as closed.
_WITNESSES = 3


class Meanings(msgspec.Struct, frozen=True, kw_only=True):
    """What a platform's own refusals (JSON objects) of one thread mean: by code word, else by status.

    A refusal in neither mapping is no evidence: the answer is an error, and the thread waits. `own` has keys and the
    types of their values; each of the platform's own refusals has one of them. Gateways and guards before a site refuse
    in JSON too.
    """

    words: Mapping[str, Evidence] = MappingProxyType({})
    statuses: Mapping[int, Evidence] = MappingProxyType({})
    own: Mapping[str, type] = MappingProxyType({})

    def spoken(self, answer: Instead) -> bool:
        """Whether the platform itself sent this answer."""
        if not answer.spoken:
            return False
        said = json.loads(answer.body)
        return not self.own or any(isinstance(said.get(name), kind) for name, kind in self.own.items())

    def of(self, answer: Instead, word: str | None = None) -> Evidence | None:
        """Return what an answer is evidence of, None for nothing. `word` is its code word if it is known."""
        if answer.login:
            return "closed"
        if not self.spoken(answer):
            return "wall"
        return self.words.get(refusal_code(answer.body) if word is None else word, self.statuses.get(answer.status))


@contextmanager
def refusals_as_evidence(meanings: Meanings) -> Iterator[None]:
    """Raise Unreadable instead of a refusal or a wall (`at_the_door`) that is evidence of something."""
    try:
        yield
    except (Refused, Unexpected, TryLater) as error:
        answer = next(
            (refusal for refusal in (error, error.__cause__) if isinstance(refusal, (Refused, Unexpected, Silent))),
            None,
        )
        evidence = None if answer is None else meanings.of(answer)
        if evidence is None:
            raise
        raise Unreadable(evidence, error.message) from answer


def at_the_door(error: BaseException | None, meanings: Meanings) -> TryLater | None:
    """Return the error for a wall instead of a listing; None if the platform itself answered."""
    if not isinstance(error, (Refused, Unexpected)) or meanings.spoken(error) or error.login:
        return None
    # Pages of other software hold captchas, too; who guards a site does not deny that a path is there.
    guard = error.status not in (404, 410) and error.what() == "a check for robots"
    if error.status not in (401, 403) and not guard:
        return None
    return TryLater(
        error.message,
        "A guard before the site blocks programs. Run the same command later; if this persists, leave the site out.",
    )


class Door:
    """Distinguishes a refused thread from a closed community.

    Platforms answer the same for a deleted thread and for a thread that only members may read. So after a refusal the
    door reads the listing and another thread of it, before any thread counts as gone: two requests, and up to two more
    if the first threads of the listing cannot be read either.
    """

    def __init__(
        self,
        listed: Callable[[str], Sequence[Listed]],
        thread: Callable[[str, str], object],
        site: str,
        *,
        refuses_the_gone: bool = False,
    ) -> None:
        """`listed` and `thread` ask for a community's threads and for one; the latter raises Unreadable.

        `refuses_the_gone`: the platform answers 401 for deleted threads, too.
        """
        self._listed, self._thread, self._site = listed, thread, site
        self._refuses_the_gone = refuses_the_gone
        self._closed: dict[str, Unreadable] = {}

    def opened(self, community: str) -> None:
        """Note that a thread of the community could be read."""
        self._closed.pop(community, None)

    def judged(self, community: str, post_id: str, refused: Unreadable) -> Unreadable:
        """Return the evidence of a refused thread, in the light of its community. Raises TryLater.

        A community that was found closed stays closed for this run, until one of its threads can be read.
        """
        if refused.evidence == "wall":
            return refused
        if community in self._closed:
            return self._closed[community]
        found = self._look(community, post_id)
        if found is None:
            if self._refuses_the_gone and refused.evidence == "closed" and not _instead(refused.__cause__).login:
                return Unreadable("forbidden", refused.why)
            return refused
        if found.evidence == "closed":
            self._closed[community] = found
        return refused if found.evidence == "missing" else found

    def _look(self, community: str, post_id: str) -> Unreadable | None:
        """Why none can be read: "missing" where no other is listed; None where another one can be read."""
        try:
            threads = self._listed(community)
        except (NotAllowed, BadInput) as error:
            return Unreadable(_behind(error), error.message)
        others = [thread.post_id for thread in threads if thread.post_id != post_id][:_WITNESSES]
        for other in others:
            try:
                self._thread(community, other)
            except Unreadable as error:
                if error.evidence == "wall":
                    return error
            else:
                return None
        if not others:
            return Unreadable("missing", f"{self._site} lists no other thread.")
        return Unreadable("closed", f"{self._site} lists threads and shows none of them.")


def _behind(error: Error) -> Evidence:
    """What a listing that cannot be read says of its threads."""
    cause = _instead(error) if isinstance(error, (Refused, Unexpected)) else _instead(error.__cause__)
    return "closed" if cause.login or cause.spoken or cause.status == 0 else "wall"


def _instead(error: BaseException | None) -> Instead:
    return error if isinstance(error, (Refused, Unexpected, Silent)) else Instead()
