"""What people call the columns of their tables, in several languages.

Letter case, blanks, accents and other marks do not count.
"""

from __future__ import annotations

import re
import unicodedata


def plain(name: str) -> str:
    """A name of a column as the lists below have it."""
    return re.sub(r"[\W_]", "", unicodedata.normalize("NFKD", name.casefold()))


def _names(words: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(plain, words.split())))


_OF_BOTH = {
    "created_at": _names(
        "createdat createdutc created creationdate datecreated createdate createtime timestamp datetime date time"
        " posted postedat postdate published publishedat dateadded pubdate datum zeit erstellt erstelltam fecha creado"
        " fechadecreación fechacreación data datecreation creele"
        " дата датасоздания датапубликации создано опубликовано время"
        " 投稿日時 投稿日 作成日時 作成日 日時 日付 时间 日期 发布时间 创建时间"
    ),
    "score": _names(
        "score votes votecount points netvotes likes likecount upvotes ups karma rating thumbsup stimmen punkte"
        " bewertung puntos votos puntuacion puntuación voix pontos punti voti"
        " рейтинг баллы очки голоса оценка лайки 評価 スコア 得票数 票数 いいね いいね数 点数 评分 点赞 点赞数"
    ),
    "observed_at": _names(
        "observedat retrievedon retrievedutc scrapedat crawledat fetchedat readat exportedat collected collectedat"
    ),
    "author": _names(
        "author authorname username user displayname ownerdisplayname poster postername owner nick nickname autor"
        " verfasser benutzer benutzername usuario auteur utilisateur autore utente"
        " автор пользователь имяпользователя ник 投稿者 作者 ユーザー ユーザー名 回答者 質問者 用户 用户名"
    ),
    "author_id": _names("authorid userid owneruserid uid memberid posterid benutzerid"),
    "community": _names(
        "community subreddit category categoryname forum forumname board boardname section group rubrik kategorie"
        " bereich categoría categoria foro catégorie categorie seção"
        " sección subforo раздел категория форум рубрика カテゴリ カテゴリー 分類 掲示板 分类 版块"
    ),
    "site": _names("site host domain"),
    "url": _names("url link permalink address"),
    "license": _names("license licence contentlicense"),
    "downvotes": _names("downvotes downs dislikes dislikecount thumbsdown"),
}
_BODY = (
    "body text content selftext message raw cooked html description markdown bodymarkdown posttext texte texto inhalt"
)
_BODY += (
    " beitrag nachricht contenu contenido mensaje cuerpo corpo testo conteúdo текст сообщение содержание содержимое"
)
_BODY += " 本文 内容 テキスト 正文"

#: Names for each key of posts and of answers, the likeliest first.
POST_NAMES = _OF_BOTH | {
    "post_id": _names(
        "postid questionid threadid topicid submissionid qid tid id key nr no number nummer num identifiant"
        " número identificador номер ид номервопроса идентификатор 番号 投稿番号 質問番号 編号 编号"
    ),
    "title": _names(
        "title subject headline heading questiontitle topictitle threadtitle question titel betreff titulo título"
        " asunto titre sujet titolo pergunta frage pregunta"
        " тема заголовок название вопрос 題名 タイトル 件名 質問 标题 問題 问题"
    ),
    "body": _names(_BODY + " questionbody questiontext questioncontent"),
    "views": _names("views viewcount viewscount hits aufrufe vistas visitas vues просмотры 閲覧数 浏览数"),
    "accepted_answer_id": _names("acceptedanswerid acceptedid acceptedanswer bestanswerid solutionid"),
}
ANSWER_NAMES = _OF_BOTH | {
    "answer_id": _names(
        "answerid commentid replyid responseid messageid aid cid id key nr no number nummer num"
        " número identificador номер ид номерответа идентификатор 番号 回答番号 コメント番号 编号"
    ),
    "post_id": _names(
        "postid questionid parentid threadid topicid submissionid linkid qid tid parent question post topic thread"
        " inreplyto replyto frageid frage thema themaid pregunta preguntaid sujetid question_id domanda pergunta"
        " idpregunta вопрос вопросид номервопроса тема темаид 質問番号 質問id 質問 スレッド番号 問題 问题 问题编号"
    ),
    "body": _names(
        _BODY + " answer answerbody answertext comment commenttext reply replytext response antwort respuesta"
        " ответ комментарий 回答 答え 返信 コメント 答案 回复"
    ),
    "accepted": _names(
        "accepted isaccepted isacceptedanswer acceptedanswer issolution solution isbest best bestanswer"
        " aceptada aceptado akzeptiert принят ベストアンサー 採用 采纳"
    ),
}

#: Every name above.
KNOWN = frozenset(word for names in (POST_NAMES, ANSWER_NAMES) for words in names.values() for word in words)

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
