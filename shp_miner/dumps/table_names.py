"""What people call the columns of their tables, in several languages, without letter case, blanks and marks."""

from __future__ import annotations

import re


def plain(name: str) -> str:
    """A name of a column as the lists below have it."""
    return re.sub(r"[\W_]", "", name.casefold())


def _names(words: str) -> tuple[str, ...]:
    return tuple(words.split())


_OF_BOTH = {
    "created_at": _names(
        "createdat createdutc created creationdate datecreated createdate createtime timestamp datetime date time"
        " posted postedat postdate published publishedat dateadded pubdate datum zeit erstellt erstelltam fecha creado"
        " data datecreation creele"
    ),
    "score": _names(
        "score votes votecount points netvotes likes likecount upvotes ups karma rating thumbsup stimmen punkte"
        " bewertung puntos votos puntuacion puntuación voix pontos punti voti"
    ),
    "observed_at": _names(
        "observedat retrievedon retrievedutc scrapedat crawledat fetchedat readat exportedat collected collectedat"
    ),
    "author": _names(
        "author authorname username user displayname ownerdisplayname poster postername owner nick nickname autor"
        " verfasser benutzer benutzername usuario auteur utilisateur autore utente"
    ),
    "author_id": _names("authorid userid owneruserid uid memberid posterid benutzerid"),
    "community": _names(
        "community subreddit category categoryname forum forumname board boardname section group rubrik kategorie"
        " bereich categoría categoria foro catégorie categorie seção"
    ),
    "site": _names("site host domain"),
    "url": _names("url link permalink address"),
    "license": _names("license licence contentlicense"),
    "downvotes": _names("downvotes downs dislikes dislikecount thumbsdown"),
}
_BODY = (
    "body text content selftext message raw cooked html description markdown bodymarkdown posttext texte texto inhalt"
)
_BODY += " beitrag nachricht contenu contenido mensaje corpo testo conteúdo"

#: Names for each key of posts and of answers, the likeliest first.
POST_NAMES = _OF_BOTH | {
    "post_id": _names(
        "postid questionid threadid topicid submissionid qid tid id key nr no number nummer num identifiant"
    ),
    "title": _names(
        "title subject headline heading questiontitle topictitle threadtitle question titel betreff titulo título"
        " asunto titre sujet titolo pergunta frage pregunta"
    ),
    "body": _names(_BODY + " questionbody questiontext questioncontent"),
    "views": _names("views viewcount viewscount hits aufrufe vistas vues"),
    "accepted_answer_id": _names("acceptedanswerid acceptedid acceptedanswer bestanswerid solutionid"),
}
ANSWER_NAMES = _OF_BOTH | {
    "answer_id": _names("answerid commentid replyid responseid messageid aid cid id key nr no number nummer num"),
    "post_id": _names(
        "postid questionid parentid threadid topicid submissionid linkid qid tid parent question post topic thread"
        " inreplyto replyto frageid frage thema themaid pregunta preguntaid sujetid question_id domanda pergunta"
    ),
    "body": _names(
        _BODY + " answer answerbody answertext comment commenttext reply replytext response antwort respuesta"
    ),
    "accepted": _names(
        "accepted isaccepted isacceptedanswer acceptedanswer issolution solution isbest best bestanswer"
    ),
}

#: What begins the name of a column of posts, or of answers, in a table that has both in a row.
PREFIXES = {
    "post": ("question", "post", "topic", "thread", "frage", "q"),
    "answer": ("answer", "reply", "comment", "antwort", "a"),
}

#: Columns that tell posts from answers, and the words that they use.
KIND_NAMES = _names("posttypeid posttype type kind itemtype recordtype typ art tipo")
KIND_WORDS = (
    ("1", "2"), ("question", "answer"), ("post", "comment"), ("submission", "comment"), ("topic", "reply"),
    ("thread", "reply"), ("post", "reply"), ("post", "answer"), ("q", "a"), ("frage", "antwort"),
    ("pregunta", "respuesta"),
)  # fmt: skip
