"""What each reason means: one plain sentence for every reason under which something is counted."""

from __future__ import annotations

from shp_miner.tally import HINTS

#: Reasons of `judge_posts` and `judge_answers`, in the order in which they are tested.
_ITEMS = {
    "not_text": "The post is a link, an image or a poll, not a text.",
    "post_missing": "The store has the answer but not its post.",
    "time_unknown": "Nobody knows when it was written; rules that use that time drop it.",
    "score_not_votes": "The score is an order and not a count of votes (`pm_score`), and the rule counts votes.",
    "post_dropped": "The answer's post is not eligible.",
    "deleted": "The author deleted it.",
    "removed": "The site or its moderators removed it.",
    "unreadable": "It could not be read at the last visit, so it is hidden until its state is clear.",
    "no_title": "The post has no title.",
    "empty": "The text is empty.",
    "author_deleted": "The author's account does not exist any more.",
    "author_moderator": "A moderator or admin wrote it in that role.",
    "author_bot": "A bot wrote it.",
    "author_is_asker": "The author of the post wrote the answer.",
    "stickied": "The answer is pinned to the top, so its votes follow its place.",
    "nsfw": "The post is marked as not safe for work.",
    "edited": "The post was edited, so votes may be for an earlier text.",
    "before_since": "The post is older than the rule's `since`.",
    "after_until": "The post is not older than the rule's `until`.",
    "too_long": "The text is longer than the rule's `max_chars`.",
    "score_unknown": "The site did not show a score.",
    "not_observed_at_age": "No score was read at about the age that the rule asks for (`observe_at`).",
    "score_too_low": "The score is below the rule's lowest score (`min_post_score` or `min_answer_score`).",
    "score_age_unknown": "Nobody knows when the score was read.",
    "score_read_too_early": "The score was read too soon after writing (`min_score_age`), before most votes came.",
    "over_answer_cap": "The post has more eligible answers than the rule compares, and others score higher.",
}

#: Reasons of `form_pairs`, `sample` and mining, in the order in which they are tested.
_PAIRS = {
    "votes_negative": "One of the answers has more votes down than up, and this rule compares counts of votes.",
    "equal_score": "The two answers have equal votes under the rule, so neither is preferred.",
    "winner_older": "The answer with more votes is the older one, so it also had more time to be seen.",
    "winner_not_older": "The answer with more votes is not older, and this rule keeps only winners that are.",
    "not_neighbours": "Another eligible answer was written between the two, and this rule compares neighbours only.",
    "too_far_apart": "The two answers were written further apart than the rule's `max_apart`.",
    "scores_unlike": "One of the two scores counts votes, and the other does not.",
    "scores_read_apart": "The two scores were read at different times, before both had settled.",
    "ratio_undefined": "The lower score is not positive, so no ratio of scores exists.",
    "ratio_too_low": "The higher score is not enough times the lower one (`min_ratio`).",
    "no_readers": "Nobody counted the readers of one of the two answers.",
    "no_choice": "The asker accepted neither of the two answers, or both.",
    "written_after_choice": "The other answer was, or may have been, written after the asker's choice.",
    "choice_disagrees": "The asker accepted the answer that the votes do not prefer.",
    "confidence_too_low": "The label is less sure than the rule's `min_confidence`.",
    "empty_text": "One of the two texts is empty without its markup.",
    "not_drawn": "The pair was not drawn: its votes weigh little, and `sample_by_weight` keeps few such pairs.",
    "over_pair_cap": "The post has more pairs than `max_pairs_per_post`, and a sample by hash chose others.",
}

#: Reasons of the filters in `clean/`, of a text or of a pair with such a text.
CLEANED = {
    "near_two_splits": "The post is near-equal to posts in different splits, which it would link.",
    "near_other_split": "The answer is near-equal to an earlier one that is in another split.",
    "near_earlier": "It is near-equal to an earlier one, and one of each is kept (`near_duplicates`).",
    "in_evaluation_set": "The text holds an item of an evaluation set that the export was screened for.",
    "answer_too_short": "The answer is shorter than `min_chars` or `min_words` of the cleaning.",
    "answer_too_long": "The answer is longer than `max_chars` or `max_words` of the cleaning.",
    "personal_data": "The text has personal data, such as an e-mail address or a telephone number.",
    "bot": "A known bot wrote it, or the text says so.",
    "only_quotes": "The answer has no words but quoted ones.",
    "only_links": "The answer is a link or an image and hardly a word.",
    "near_empty": "The answer has fewer than 10 letters of its own.",
    "leans_on_others": "The answer says that others have said it.",
    "near_equal": "The two answers say nearly the same, by `max_similarity` of the cleaning.",
    "over_answer_pairs": "An answer has more pairs than `max_pairs_per_answer`; those with the lowest hashes stay.",
    "longer_wins": "Longer answers win more often here, and `match_lengths` keeps as many pairs of either kind.",
    "shorter_wins": "Shorter answers win more often here, and `match_lengths` keeps as many pairs of either kind.",
    "over_author_pairs": "An author has more pairs than `max_pairs_per_author`; those with the lowest hashes stay.",
    "over_community_pairs": "The community has more pairs than its cap or its equal share; the lowest hashes stay.",
    "other_language": "The answer is not in the languages asked for, or not in that of its post.",
}

#: Notes of the edits in `clean/`: what was changed in texts that are kept.
EDITED = {
    "quotes_cut": "The answer had quotes beside its own words; they were cut.",
    "thanks_cut": "The end of the text only talked about votes; it was cut.",
    "masked_email": "An e-mail address in the text was masked.",
    "masked_written_email": 'An e-mail address with a written "at" was masked.',
    "masked_phone": "A telephone number in the text was masked.",
    "masked_ipv4": "An IPv4 address in the text was masked.",
    "masked_ipv6": "An IPv6 address in the text was masked.",
    "masked_card": "The number of a payment card in the text was masked.",
    "masked_iban": "An international bank account number in the text was masked.",
    "masked_ssn": "A US social security number in the text was masked.",
    "mention_hidden": "A name that the text mentions was hashed or left out.",
}

#: Reasons of imports and crawls for records that are left out on purpose.
_RECORDS = {
    "decoy": "It is one of the test records that the dump's makers put in.",
    "no_community": "The record names no community.",
    "not_direct_reply": "It replies to a comment, not to the post.",
    "not_in_the_files": "The thread lists the answer, but no file has it.",
    "not_needed": "The archive's file has nothing that the store keeps.",
    "not_this_kind": "The file is of another kind, and was skipped.",
    "other_community": "It is not of a community that was asked for.",
    "other_post_type": "It is neither a question nor an answer (for example a tag's wiki page).",
    "private_message": "It is a private message.",
    "repeated_identically": "The thread has the same answer twice.",
    "thread_lost": "Its thread's post could not be used.",
}

#: What is counted although it is kept.
_NOTES = {
    "author_name_unknown": "The files do not have the author's name.",
    "bad_time_of_reading": "The time at which the score was read cannot be right; the score is of unknown age.",
    "observations_contradict": "Two readings of the same time differ; one of them counts, always the same.",
    "same_text": "The two texts are equal; formats for trainers leave such a pair out.",
    "text_repaired": "The text had characters that no encoding holds; they were replaced.",
    "votes_differ_from_score": "The file of votes and the score do not agree; the score counts.",
}

#: What is wrong with a record that cannot be used; `tally.HINTS` says what to do.
_LOST = {
    "not_json": "The record is not JSON.",
    "not_an_object": "The record is not a JSON object.",
    "not_utf8": "The text is not UTF-8.",
    "not_xml": "The file is not well-formed XML at this place.",
    "missing_field": "A required field is missing or null.",
    "unknown_field": "A field is not part of the layout.",
    "wrong_type": "A field has a value of the wrong type.",
    "bad_score": "The score is not a possible number of votes.",
    "bad_count": "A count of readers, views or votes is not a whole number from 0.",
    "bad_ratio": "A share is not between 0 and 1.",
    "bad_time": "A time cannot be read, or no forum existed then.",
    "bad_id": "An id is empty, too long or not printable.",
    "time_in_future": "A time lies in the future.",
    "line_too_long": "The record is longer than a record may be.",
    "value_too_long": "A value is longer than its field may be.",
    "wrong_cells": "The row has more cells than the header, or a cell in quotes does not end.",
    "post_unknown": "No table has the answer's post, so its community is not known.",
    "id_repeated": "Two answers of the thread have the same id and differ.",
}

#: A plain sentence for each reason, by its name; those of lost records end with what to do.
REASONS: dict[str, str] = {
    **_ITEMS,
    **_PAIRS,
    **CLEANED,
    **_RECORDS,
    **EDITED,
    **_NOTES,
    **{reason: f"{what} {HINTS[reason]}" for reason, what in _LOST.items()},
}


#: Parameters of the rule and of cleaning that a reason follows, where there are some.
PARAMETERS_OF: dict[str, tuple[str, ...]] = {
    "not_text": ("keep_link_posts",),
    "author_moderator": ("drop_staff",),
    "unreadable": ("keep_unreadable",),
    "nsfw": ("keep_nsfw",),
    "edited": ("keep_edited_posts",),
    "before_since": ("since",),
    "after_until": ("until",),
    "too_long": ("max_chars",),
    "score_too_low": ("min_post_score", "min_answer_score", "floors"),
    "score_age_unknown": ("allow_unknown_age",),
    "score_read_too_early": ("min_score_age_s",),
    "not_observed_at_age": ("observe_at_s",),
    "over_answer_cap": ("max_answers_per_post",),
    "winner_older": ("order",),
    "winner_not_older": ("order",),
    "not_neighbours": ("neighbours_only",),
    "too_far_apart": ("max_apart_s",),
    "scores_read_apart": ("max_read_gap_s", "settled_age_s"),
    "ratio_too_low": ("min_ratio",),
    "confidence_too_low": ("min_confidence",),
    "not_drawn": ("sample_by_weight",),
    "over_pair_cap": ("max_pairs_per_post",),
    **dict.fromkeys(("near_two_splits", "near_other_split", "near_earlier"), ("near_duplicates",)),
    "answer_too_short": ("min_chars", "min_words"),
    "answer_too_long": ("max_chars", "max_words"),
    "personal_data": ("personal",),
    "bot": ("drop_bots", "bots"),
    "only_quotes": ("drop_quotes",),
    "only_links": ("drop_links",),
    "near_empty": ("drop_near_empty",),
    "leans_on_others": ("drop_leaning",),
    "near_equal": ("max_similarity",),
    "over_answer_pairs": ("max_pairs_per_answer",),
    "longer_wins": ("match_lengths",),
    "shorter_wins": ("match_lengths",),
    "over_author_pairs": ("max_pairs_per_author",),
    "over_community_pairs": ("max_pairs_per_community", "equal_communities", "max_pairs"),
    "quotes_cut": ("cut_quotes",),
    "thanks_cut": ("cut_thanks",),
    "other_language": ("languages", "same_language"),
    "mention_hidden": ("authors",),
    **dict.fromkeys((reason for reason in EDITED if reason.startswith("masked_")), ("personal",)),
}


def sentence(reason: str) -> str:
    """Return the plain sentence on a reason; the reason itself in words if it has none."""
    return REASONS.get(reason, reason.replace("_", " ").capitalize() + ".")
