"""The embedded data of `sns-mini`: its form, its golds, its balance."""

import ast
import json
import re
import unicodedata
from collections import Counter

import pytest

from redone.tasks.sources import EMBEDDED

FOLDER = EMBEDDED
EACH_LANGUAGE = 8
LEVELS = {"-1", "0", "1", "2", "3"}
TEXTS = {
    "taxonomy_single": ("content", "candidates", "answer"),
    "taxonomy_multiple": (
        "content",
        "candidates_primary",
        "candidates_secondary",
        "candidates_tertiary",
        "answer",
    ),
    "hashtag_single": ("content", "candidates", "answer"),
    "hashtag_multiple": ("content", "candidates", "answer"),
    "query_corr_explain": ("sentence1", "sentence2", "answer"),
    "query_corr_topic": ("content", "answer"),
    "mrc_simple": ("query", "content"),
    "mrc_complex": ("content", "answer"),
    "ner": ("question", "content", "answer"),
    "gender": ("content", "answer"),
    "chlw": ("content", "answer"),
    "query_gen": ("content", "answer"),
    "zh_en": ("en", "zh", "source", "src_lang", "dst_lang"),
    "en_zh": ("en", "zh", "source", "src_lang", "dst_lang"),
}
"""The fields of each file that hold a text; `language` comes on top, a list only in MRC simple."""
DIRECTIONS = {"zh_en": ("zh", "en"), "en_zh": ("en", "zh")}
MONOLINGUAL = [name for name in TEXTS if name not in DIRECTIONS]
CANDIDATES = ("taxonomy_single", "hashtag_single", "hashtag_multiple")
TREE = ("candidates_primary", "candidates_secondary", "candidates_tertiary")
SHARED_NOTES = ("taxonomy_single", "taxonomy_multiple", "hashtag_single", "hashtag_multiple")


def rows(name):
    text = (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def chinese(text):
    return sum("\u4e00" <= c <= "\u9fff" for c in text)


def labels(field):
    return ast.literal_eval(field) if field.startswith("[") else field.split(", ")


def pools(name, row):
    """The pairs of a gold label and the candidates that it must be among."""
    if name == "taxonomy_multiple":
        path = row["answer"].split(" | ")
        return list(zip(path, (labels(row[level]) for level in TREE), strict=True))
    golds = [row["answer"]] if name != "hashtag_multiple" else row["answer"].split(", ")
    return [(gold, labels(row["candidates"])) for gold in golds]


def found(pattern, text, flags=re.NOFLAG):
    match = re.search(pattern, text, flags)
    assert match, (pattern, text)
    return match


def result_of(row):
    return json.loads(found(r"<Result>(.*)</Result>$", row["answer"])[1])


def options_of(row):
    return ast.literal_eval(found(r"^\[.*\]$", row["content"], re.M)[0])


def note_of(content):
    """Title and text of a note as the taxonomy and hashtag files present it."""
    match = found(
        r"^(?:Note Title: |笔记标题：)(.*)\n(?:Note Content: |笔记内容：)([\s\S]*)$", content
    )
    return match[1], match[2]


def test_one_file_a_task():
    assert {path.stem for path in FOLDER.glob("*.jsonl")} == set(TEXTS)


@pytest.mark.parametrize("name", TEXTS)
class TestForm:
    def test_count_and_languages(self, name):
        expected = (
            {DIRECTIONS[name][0]: 2 * EACH_LANGUAGE}
            if name in DIRECTIONS
            else {"en": EACH_LANGUAGE, "zh": EACH_LANGUAGE}
        )
        assert Counter(row["language"] for row in rows(name)) == expected

    def test_fields(self, name):
        extra = {"answer"} if name == "mrc_simple" else set()
        for row in rows(name):
            assert set(row) == {*TEXTS[name], *extra, "language"}
            assert all(isinstance(row[field], str) for field in TEXTS[name])
            assert all(row[field].strip() for field in TEXTS[name])

    def test_texts_are_readable_and_normalised(self, name):
        raw = (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8")
        assert "\\u" not in raw and "\r" not in raw and "\ufffd" not in raw
        assert raw == unicodedata.normalize("NFC", raw)
        assert raw.endswith("}\n") and not raw.endswith("\n\n")

    def test_language_is_that_of_the_text(self, name):
        if name in DIRECTIONS:
            return
        for row in rows(name):
            # An acronym, a level or a pair of brackets has no language; the shown text has one.
            shown = " ".join(row[field] for field in TEXTS[name] if field != "answer")
            if row["language"] == "zh":
                assert chinese(shown) >= 10, shown
            else:
                assert chinese(json.dumps(row, ensure_ascii=False)) == 0, shown

    def test_no_item_twice(self, name):
        questions = [
            json.dumps({k: v for k, v in row.items() if k != "answer"}, sort_keys=True)
            for row in rows(name)
        ]
        assert len(set(questions)) == len(questions)


@pytest.mark.parametrize("name", [*CANDIDATES, "taxonomy_multiple"])
class TestCandidates:
    def test_gold_is_among_them(self, name):
        for row in rows(name):
            for gold, pool in pools(name, row):
                assert gold in pool
                assert len(set(pool)) == len(pool)
                assert 4 <= len(pool) <= 14

    def test_labels_can_be_told_apart_in_a_list(self, name):
        for row in rows(name):
            for _, pool in pools(name, row):
                assert all(
                    label == label.strip() and not set(label) & set(",，、|") for label in pool
                )

    def test_gold_has_no_fixed_place(self, name):
        firsts = [pools(name, row)[0] for row in rows(name)]
        from_start = Counter(pool.index(gold) for gold, pool in firsts)
        from_end = Counter(len(pool) - 1 - pool.index(gold) for gold, pool in firsts)
        assert max(from_start.values()) <= 5 and max(from_end.values()) <= 5

    def test_no_gold_rules(self, name):
        golds = Counter(row["answer"] for row in rows(name))
        assert max(golds.values()) == 1


@pytest.mark.parametrize("name", ["taxonomy_multiple"])
def test_levels_of_a_path_are_equally_long_and_all_there(name):
    for row in rows(name):
        assert len({len(labels(row[level])) for level in TREE}) == 1
        assert row["answer"].count(" | ") == 2


def test_some_label_is_contained_in_a_longer_one():
    contained = [
        (gold, other)
        for name in (*CANDIDATES, "taxonomy_multiple")
        for row in rows(name)
        for gold, pool in pools(name, row)
        for other in pool
        if gold != other and gold.casefold() in other.casefold()
    ]
    assert len(contained) >= 4


def test_some_golds_trouble_a_cut_at_full_stops_and_at_end():
    golds = [row["answer"] for row in rows("taxonomy_single") + rows("hashtag_single")]
    assert sum("." in gold for gold in golds) >= 2
    assert sum("end" in gold for gold in golds) >= 2


def test_several_tags_are_golds_of_hashtag_multiple():
    sizes = [len(row["answer"].split(", ")) for row in rows("hashtag_multiple")]
    assert set(sizes) == {2, 3, 4, 5}


@pytest.mark.parametrize("name", ["gender", "query_corr_explain"])
def test_yes_and_no_are_even_in_each_language(name):
    for language, words in (("en", {"Yes", "No"}), ("zh", {"是", "否"})):
        golds = [row["answer"] for row in rows(name) if row["language"] == language]
        assert Counter(golds) == dict.fromkeys(words, EACH_LANGUAGE // 2)


def test_topic_levels_are_spread_and_all_there_in_each_language():
    golds = {language: [] for language in ("en", "zh")}
    for row in rows("query_corr_topic"):
        golds[row["language"]].append(row["answer"])
        assert row["content"].startswith("```\n") and row["content"].endswith("\n```")
    assert all(set(levels) == LEVELS for levels in golds.values())
    counts = Counter(golds["en"] + golds["zh"])
    assert max(counts.values()) <= 4 and min(counts.values()) >= 3


def test_extracted_sentences_are_in_their_content_once_and_in_order():
    for row in rows("mrc_simple"):
        assert isinstance(row["answer"], list)
        places = [row["content"].index(piece) for piece in row["answer"]]
        assert places == sorted(places)
        assert all(row["content"].count(piece) == 1 for piece in row["answer"])
        assert all(len(piece) >= 12 for piece in row["answer"])


def test_a_third_of_mrc_simple_has_no_answer_and_some_have_two_pieces():
    sizes = Counter(len(row["answer"]) for row in rows("mrc_simple"))
    assert 4 <= sizes[0] <= 6 and sizes[2] >= 2


def test_mrc_complex_golds_have_the_tags_and_quote_the_document():
    for row in rows("mrc_complex"):
        tags = found(
            r"^<rewrite_query>.+</rewrite_query>\n<relevance_analysis>.+</relevance_analysis>\n"
            r"<AnswerList>(\[.*\])</AnswerList>\n<Result>(\[.*\])</Result>$",
            row["answer"],
        )
        document = found(r"<Doc>\n(.+)\n</Doc>\n$", row["content"], re.S)[1]
        assert json.loads(tags[1]) == [option["Option"] for option in result_of(row)]
        for option in result_of(row):
            assert set(option) == {"Option", "Reason"}
            assert option["Option"] in document and option["Reason"] in document
            assert len(option["Reason"]) <= 100


def test_mrc_complex_has_empty_single_and_several_answers_in_each_language():
    for language in ("en", "zh"):
        sizes = [len(result_of(r)) for r in rows("mrc_complex") if r["language"] == language]
        assert 2 <= sizes.count(0) <= 4
        assert 1 in sizes and max(sizes) >= 2


def test_entities_stand_in_the_passage():
    for row in rows("ner"):
        entities = row["answer"].split(", ")
        assert len(set(entities)) == len(entities)
        assert all(entity in row["content"] for entity in entities)
        pattern = (
            r"Please find all '.+' entities" if row["language"] == "en" else "请找出所有“.+”实体"
        )
        assert re.fullmatch(pattern, row["question"])


def test_highlights_are_chosen_from_options_that_stand_in_the_comment():
    for row in rows("chlw"):
        gold, options = ast.literal_eval(row["answer"]), options_of(row)
        comment = row["content"].partition("\n\n")[0]
        assert isinstance(gold, list) and len(set(options)) == len(options)
        assert set(gold) <= set(options)
        assert all(option in comment for option in options)


def test_about_half_of_the_comments_have_nothing_to_highlight():
    sizes = Counter(len(ast.literal_eval(row["answer"])) for row in rows("chlw"))
    assert 7 <= sizes[0] <= 9 and sizes[2] >= 2


def test_no_list_answer_is_to_take_all_options():
    assert not any(set(ast.literal_eval(r["answer"])) == set(options_of(r)) for r in rows("chlw"))


@pytest.mark.parametrize("name", DIRECTIONS)
def test_translations_go_one_way_and_come_from_three_places(name):
    source, target = DIRECTIONS[name]
    for row in rows(name):
        assert (row["src_lang"], row["dst_lang"], row["language"]) == (source, target, source)
        assert chinese(row["en"]) == 0 and chinese(row["zh"]) >= 4
    assert Counter(row["source"] for row in rows(name)) == {
        "note-title": 5,
        "comment": 6,
        "note-content": 5,
    }


def test_search_terms_are_short_and_not_all_alike():
    golds = [row["answer"] for row in rows("query_gen")]
    assert len(set(golds)) == len(golds) and all(len(gold) <= 60 for gold in golds)


def test_notes_are_shared_between_tasks():
    uses: Counter[tuple[str, str]] = Counter()
    for name in SHARED_NOTES:
        uses.update({note_of(row["content"]) for row in rows(name)})
    for name in ("gender", "query_gen"):
        texts = [row["content"] for row in rows(name)]
        # The title of a note may be part of another's text, its text may not.
        uses.update({n for n in uses if any(n[1] in text and n[0] in text for text in texts)})
    assert sum(n >= 3 for n in uses.values()) >= 12


def test_the_marks_of_social_networks_are_there():
    whole = "".join((FOLDER / f"{name}.jsonl").read_text(encoding="utf-8") for name in TEXTS)
    assert len(re.findall("\U0001f469\u200d|\U0001f468\u200d|\U0001f9d1\u200d", whole)) >= 3
    assert len(re.findall(r"#[^#\s]+\[(?:Topic|话题)\]#", whole)) >= 10
    assert len(re.findall(r"\[\w+ ?R\]", whole)) >= 10
    assert len(re.findall("[，。！？：（）]", whole)) >= 100
    assert {c for c in whole if unicodedata.bidirectional(c) in ("R", "AL")}
