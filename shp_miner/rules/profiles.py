"""What differs between platforms: scores an item starts with, floors, edits, roles. One row per platform."""

from __future__ import annotations

from msgspec import Struct


class Profile(Struct, frozen=True):
    """What differs between platforms: the score an item starts with, the floors, and whether an edited post counts.

    `roles_are_ranks`: "moderator" and "admin" say what the author is, as on Discourse and NodeBB, and mark no post as
    official. What a forum itself says is a bot's there.

    `bare_posts`: posts come without a score, and perhaps without a title. `scores_are_votes`: scores count votes; if
    not, they only put the answers of a post in order, and have no differences or ratios that mean anything.
    """

    starting_score: int
    min_post_score: int
    min_answer_score: int
    keep_edited_posts: bool
    roles_are_ranks: bool = False
    bare_posts: bool = False
    scores_are_votes: bool = True


#: What holds for platforms that are not in PROFILES: the lowest floors there are.
OTHERS = Profile(0, 0, 1, keep_edited_posts=True)

#: Floors are scores as the platform shows them. Reddit's are SHP's own; the others are the same idea where votes are
#: fewer. On Stack Exchange edits are how the site works. On Discourse most answers have no like: that one was read and
#: not liked is what the losing side says (docs/rules.md). The winner has more than the loser, so at least 1.
PROFILES: dict[str, Profile] = {
    "reddit": Profile(1, 10, 2, keep_edited_posts=False),
    "lemmy": Profile(1, 10, 2, keep_edited_posts=False),
    "stackexchange": Profile(0, 5, 1, keep_edited_posts=True),
    "discourse": Profile(0, 0, 0, keep_edited_posts=True, roles_are_ranks=True),
    "nodebb": Profile(0, 0, 1, keep_edited_posts=True, roles_are_ranks=True),
    "threads": OTHERS,
    # Published data sets. H4's scores are levels of votes, from -1 on (docs/formats.md), so no floor fits them.
    "stack-exchange-preferences": Profile(0, 0, -1, keep_edited_posts=True, bare_posts=True, scores_are_votes=False),
    "eli5": Profile(1, 0, 2, keep_edited_posts=False, bare_posts=True),
}
