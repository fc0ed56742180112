"""Printed figures: typed in once, and as the paper prints them."""

import csv

import pytest

from redone.harness.published.paper import SHIPPED, load_paper, shipped, why_not_comparable
from redone.tasks.errors import BadRow, UnknownName
from redone.tasks.registry import BENCHMARKS

PAPER = load_paper(SHIPPED / "redone2.toml")
TITLES = {"sns_transbench": "sns_trans"}


def rows_of(data_dir, number):
    with (data_dir / "published" / f"redone2_table{number}.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_row_of_the_first_table_is_whole():
    assert len(PAPER.rows) == 30
    assert sorted(m for models in PAPER.size_classes.values() for m in models) == sorted(PAPER.rows)
    for model in PAPER.rows:
        categories = [
            f"{key}/{c}" for key in ("sns_bench", "sns_trans") for c in BENCHMARKS[key].categories
        ]
        assert sorted(PAPER.figures(model)) == sorted(categories)
        assert set(PAPER.averages(model)) == {"general_bench", "sns_bench", "sns_trans"}


@pytest.mark.shared_data
def test_the_first_table_is_as_printed(data_dir):
    for row in rows_of(data_dir, 1):
        typed = PAPER.rows[row["model"]]
        for name in ("general_bench", "sns_bench", "sns_transbench"):
            assert typed[TITLES.get(name, name)] == float(row[name])
        for direction in ("zh_en", "en_zh"):
            parts = [float(row[f"{direction}_{m}"]) for m in ("bleu", "chrf++")]
            assert typed[f"sns_trans/{direction}"] == parts
        for category in BENCHMARKS["sns_bench"].categories:
            assert typed[f"sns_bench/{category}"] == float(row[category])


@pytest.mark.shared_data
def test_the_other_tables_are_as_printed(data_dir):
    names = ("general_bench", "sns_bench", "sns_transbench")
    second = [
        tuple(float(row[f"{side}_{name}"]) for name in names)
        for row in rows_of(data_dir, 2)
        for side in ("base", "redone2")
    ]
    third = [tuple(float(row[name]) for name in names) for row in rows_of(data_dir, 3)]
    fourth = [tuple(map(float, list(row.values())[1:])) for row in rows_of(data_dir, 4)]
    for number, printed in ((2, second), (3, third), (4, fourth)):
        typed = [tuple(row.figures.values()) for row in PAPER.table(f"table {number}").rows]
        assert typed == printed


def test_rows_refer_to_rows_that_exist():
    for table in PAPER.tables:
        names = {row.name for row in table.rows}
        assert {row.after for row in table.rows} <= names | {""}
        assert {row.same for row in table.rows} <= set(PAPER.rows) | {""}


@pytest.mark.parametrize(
    ("text", "error", "told"),
    [
        ('source = "s"\nrow = 3\n[rows.m]', BadRow, "field row"),
        ('source = "s"\n[rows.m]\nsns_bnch = 3', UnknownName, "Did you mean 'sns_bench'"),
        ('source = "s"\n[rows.m]\n"sns_bench/ner" = []', BadRow, "without a figure"),
        (
            'source = "s"\n[rows.m]\n[[claims]]\nmodel = "m"\nover = "n"\npoints = 1',
            UnknownName,
            "'n'",
        ),
    ],
)
def test_a_table_with_another_form_is_refused_by_name(tmp_path, text, error, told):
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(error, match=told):
        load_paper(path)


def test_shipped_papers_are_found_by_name_and_tables_by_number():
    assert shipped() == ["redone2"]
    with pytest.raises(UnknownName, match="table 2"):
        PAPER.table("table 9")


def settings(**other):
    """As SNS-Bench's authors set them for Gender."""
    own = {"max_tokens": 2048, "stop": [], "temperature": 0.1, "top_p": 0.01, "top_k": 0}
    return own | {"max_thinking_tokens": 0} | other


def test_a_figure_stands_beside_print_only_if_all_is_the_same():
    gender = "sns_bench/gender"
    asked = {"data": PAPER.samples[gender], "prompt": PAPER.prompts[gender]}
    asked |= {"settings": settings(), "protocol": "official"}

    def why(scoring="official", not_scored=0, **other):
        judged = {gender: {"scoring": scoring, "not_scored": not_scored}}
        return why_not_comparable(PAPER, gender, [gender], {gender: asked | other}, judged)

    assert why() == []
    assert why(data="0" * 16) == ["not the published samples in full"]
    assert why(prompt="0" * 16) == ["not the authors' prompt"]
    assert why("corrected") == ["corrected scoring, not the authors'"]
    assert why("official-anls") == ["scored without a service (official-anls)"]
    assert why(not_scored=1) == ["scored without a service (official)"]
    assert why_not_comparable(PAPER, gender, [], {}, {}) == [f"without {gender}"]
    assert why(protocol=None) == ["not asked under the authors' protocol (--protocol official)"]
    assert why(settings=settings(max_tokens=16)) == ["not the authors' limits"]
    assert why(settings=settings(stop=["\n"])) == ["not the authors' limits"]
    assert why(settings=settings(temperature=1.0)) == ["not the authors' sampling"]
    assert why(settings=settings(temperature=0.7)) == ["not the authors' sampling"]
    for temperature, top_p in ((0.0, 1.0), (0.7, 0.9)):
        assert why(settings=settings(temperature=temperature, top_p=top_p)) == []


def test_no_run_stands_beside_print_where_the_authors_way_is_not_known():
    name = "sns_trans/zh_en"
    asked = {name: {"data": PAPER.samples[name], "prompt": "0" * 16, "settings": settings()}}
    scored = {name: {"scoring": "official", "not_scored": 0}}
    (reason,) = why_not_comparable(PAPER, name, [name], asked, scored)
    assert "not the authors' prompt and scoring" in reason
