"""Recipes: what ships is consistent, and what is wrong is named with its way out."""

import pytest

from redone.tasks.errors import RedoneError, UnknownName
from redone.training.plan import has_board, leaves, needs_diagnosis, steps_of
from redone.training.recipe import RECIPES, RecipeInvalid, load_recipe, shipped
from redone.training.settings import DapoSettings, SftSettings

TABLE_3 = ("redone2-laptop", "sft-only", "sft-then-rl", "exploratory-only", "exploratory-targeted")


def test_what_ships():
    assert shipped() == [
        "exploratory-only",
        "exploratory-targeted",
        "per-task-sft",
        "redone1",
        "redone2",
        "redone2-laptop",
        "sft-only",
        "sft-then-rl",
    ]


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_recipe_is_one_screen_and_consistent(name):
    recipe = load_recipe(name)
    assert len((RECIPES / f"{name}.toml").read_text().splitlines()) <= 90
    suites = {*recipe.evaluation.domain, *recipe.evaluation.robustness}
    assert {*recipe.policy().suites, *recipe.policy("report").suites} == suites
    assert recipe.policy().partition == "gate"
    # Each is compared with the base, and with the last one of its branch that passed.
    gated = [stage for stage in recipe.stages if stage.gate]
    branches = max(1, sum(stage.start == "base" for stage in recipe.stages))
    assert recipe.gates.against == "both"
    assert recipe.policy().gates == 2 * len(gated) - branches
    # A diagnosis of a model that does not exist cannot be asked for.
    assert steps_of(recipe)[0].name == "corpus"
    assert recipe.data.needs_corpus or recipe.data.tasks
    for stage in recipe.stages:
        general = stage.rows.general
        assert not general or recipe.data.needs_corpus or recipe.data.generated * 8 >= general


def test_the_paper_s_settings():
    """RedOne 2.0, appendix: the table of settings, and the shares of section 3."""
    recipe = load_recipe("redone2")
    first, second, third = recipe.stages
    for stage in (first, third):
        train: DapoSettings = stage.train
        assert (train.steps, train.prompts_per_step, train.group_size) == (500, 1024, 16)
        assert train.prompts_per_step // train.updates_per_rollout == 256
        assert (train.max_prompt_tokens, train.max_new_tokens) == (10_000, 8_192)
        assert (train.overlong_buffer, train.overlong_penalty) == (4_096, 1.0)
        assert (train.clip_low, train.clip_high, train.beta) == (0.2, 0.28, 0)
        assert (train.learning_rate, train.warmup_steps, train.weight_decay) == (5e-6, 10, 0.1)
    sft: SftSettings = second.train
    assert (sft.epochs, sft.batch, sft.max_tokens, sft.packed) == (2, 64, 16_384, True)
    assert (sft.learning_rate, sft.warmup_ratio, sft.schedule) == (5e-6, 0.1, "cosine")
    assert (first.rows.domain, first.rows.general) == (750_000, 50_000)
    assert (second.rows.domain, second.rows.general) == (1_700_000, 100_000)
    assert second.rows.soft_labels.candidates == 8
    assert third.rows.domain + third.rows.general == 400_000
    assert third.rows.rationales == 0.5718


def test_the_comparators_share_a_token_budget():
    """What table 3 compares differs in order and kind of training, not in tokens."""
    recipes = {name: load_recipe(name) for name in (*TABLE_3, "per-task-sft", "redone1")}
    assert len({recipe.tokens for recipe in recipes.values()}) == 1
    for recipe in recipes.values():
        spent = sum(recipe.budget(stage) for stage in recipe.stages)
        assert abs(spent - recipe.tokens) <= len(recipe.stages)
    split = {
        name: {stage.kind: 0 for stage in recipes[name].stages}
        | {stage.kind: stage.token_share for stage in recipes[name].stages}
        for name in TABLE_3
    }
    assert split["sft-only"] == {"sft": 1.0}
    assert split["exploratory-only"] == {"dapo": 1.0}
    both = recipes["exploratory-targeted"].stages
    whole = recipes["redone2-laptop"].stages
    assert both[0].token_share / both[1].token_share == pytest.approx(
        whole[0].token_share / whole[1].token_share, rel=0.01
    )


def test_a_recipe_s_seed_is_that_of_every_stage_without_one():
    recipe = load_recipe("redone2-laptop", ["seed=7", "targeted.train.seed=2"])
    assert [stage.rows.seed for stage in recipe.stages] == [7, 7, 7]
    assert [stage.train.seed for stage in recipe.stages] == [7, 2, 7]


def test_final_figures_may_have_a_limit_of_their_own():
    asked = load_recipe("redone2-laptop", ["evaluation.limit=3"]).evaluation
    assert (asked.items("gate"), asked.items("report")) == (3, asked.report_limit)
    whole = load_recipe("redone2", ["evaluation.limit=3"]).evaluation
    assert whole.items("report") == 3


def test_the_level_is_shared_among_the_comparisons_that_are_made():
    recipe = load_recipe("redone2-laptop")
    for against, count in (("base", 3), ("previous", 3), ("both", 5)):
        gates = recipe.gates.model_copy(update={"against": against})
        assert recipe.model_copy(update={"gates": gates}).policy().gates == count


def test_the_comparators_are_asked_the_same():
    first, *others = [load_recipe(name) for name in TABLE_3]
    for other in others:
        assert other.evaluation == first.evaluation
        assert other.gates == first.gates
        assert other.data == first.data


def test_the_ratios_inside_the_stages_are_the_paper_s():
    first, second, third = load_recipe("redone2-laptop").stages
    assert first.rows.domain / first.rows.general == 15
    assert second.rows.general / (second.rows.general + second.rows.domain) == pytest.approx(
        0.056, abs=0.001
    )
    assert third.rows.rationales == 0.5718


def test_no_shipped_recipe_learns_a_held_out_task():
    for name in shipped():
        assert "tweeteval/sentiment" not in load_recipe(name).data.tasks


def test_steps_in_order():
    assert [step.name for step in steps_of(load_recipe("redone2-laptop"))] == [
        "corpus",
        "base/evaluate",
        "exploratory/select",
        "exploratory/train",
        "exploratory/evaluate",
        "exploratory/gate",
        "exploratory/diagnose",
        "targeted/select",
        "targeted/train",
        "targeted/evaluate",
        "targeted/gate",
        "targeted/diagnose",
        "refinement/select",
        "refinement/train",
        "refinement/evaluate",
        "refinement/gate",
        "final/measure",
        "final/report",
        *(["final/row"] if has_board() else []),
    ]
    assert leaves(load_recipe("redone2-laptop")) == ["refinement"]


def test_each_task_s_own_model_is_a_candidate():
    recipe = load_recipe("per-task-sft")
    assert leaves(recipe) == ["irony", "hate", "offensive", "emotion", "stance"]
    assert not any(needs_diagnosis(stage) for stage in recipe.stages)


def test_set_changes_a_field():
    recipe = load_recipe(
        "redone2-laptop",
        [
            "exploratory.train.steps=7",
            "evaluation.limit=5",
            "targeted.train.schedule=constant",
            'data.tasks=["tweeteval/irony"]',
            "refinement.reward.emphasis.weights=true",
        ],
    )
    assert recipe.stage("exploratory").train.steps == 7
    assert recipe.evaluation.limit == 5
    assert recipe.stage("targeted").train.schedule == "constant"
    assert recipe.data.tasks == ("tweeteval/irony",)
    assert recipe.stage("refinement").reward.emphasis.weights


def test_steps_take_the_place_of_epochs():
    train = load_recipe("redone2-laptop", ["targeted.train.steps=7"]).stages[1].train
    assert (train.steps, train.epochs) == (7, None)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("exploratory.train.learning_rat=1", "stage exploratory, train.learning_rat: no such field. Did you mean learning_rate?"),
        ("exploratory.train.clip_low=2", "stage exploratory, train.clip_low: input should be less than or equal to 1 (given: 2)"),
        ("exploratory.train.beta=0.1", "stage exploratory, train.beta"),
        ("targeted.train.micro_batch=7", "micro_batch 7 does not divide batch 16"),
        ("targeted.rows.domain=-1", "stage targeted, rows.domain"),
        ("targeted.kind=rl", "'rl'"),
        ('refinement.rows.rationales="written"', 'belongs to choose = "balanced", not "difficulty"'),
        ('targeted.rows.rationales="written"', 'belongs to choose = "balanced", not "failures"'),
        ("targeted.rows.balance=0.5", 'balance is of choose = "balanced" and "difficulty"'),
        (
            "refinement.rows.background_weight=1",
            'background_weight belongs to choose = "failures", not "difficulty"',
        ),
        ("refinement.rows.soft_labels={}", "dapo learns from answers of the model's own"),
        ("exploratory.reward.emphasis={}", 'the sampling of choose = "difficulty" alone'),
        ('exploratory.reward.emphasis={ shares = false, set_shares = { "tweeteval/irony" = 2.0 } }', "emphasis.set_shares changes the sampling"),
        ("refinement.name=base", "stage names must be different"),
        ("refinement.token_share=0.9", "must add up to 1"),
        ("gates.policy.alpha=2", "alpha"),
        ("gates.policy.partition=all", "cannot be set"),
        ("evaluation.domain=[\"tweetevil\"]", "Did you mean 'tweeteval'?"),
        ("exploratory=1", "STAGE.FIELD=VALUE is expected"),
        ("exploratory.train.steps", "STAGE.FIELD=VALUE is expected"),
        ("exploratry.train.steps=1", "Did you mean 'exploratory'?"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(change, told):
    with pytest.raises(RedoneError) as error:
        load_recipe("redone2-laptop", [change])
    assert told in str(error.value)
    assert "\n  stages: Tuple" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("redone1", "preference.rows.rationales=0.5", "pairs are made of answers to the plain question"),
        ("redone1", "preference.rows={ choose = \"balanced\", domain = 9, general = 1, soft_labels = {} }", "dpo learns from answers of the model's own"),
        ("sft-only", "sft.rows={ choose = \"balanced\", domain = 9, general = 1, rationales = \"written\", soft_labels = {} }", "leave one of them out"),
    ],
)  # fmt: skip
def test_what_a_kind_of_stage_has_no_use_for_is_refused(name, change, told):
    with pytest.raises(RecipeInvalid) as error:
        load_recipe(name, [change])
    assert told in str(error.value)


def test_a_file_that_is_no_recipe(tmp_path):
    with pytest.raises(UnknownName, match="Did you mean 'redone2'"):
        load_recipe("redone22")
    path = tmp_path / "mine.toml"
    with pytest.raises(UnknownName, match="mine.toml"):
        load_recipe(str(path))
    path.write_text("title = ")
    with pytest.raises(RecipeInvalid, match="mine.toml is not TOML"):
        load_recipe(str(path))
    path.write_text('title = "x"')
    with pytest.raises(RecipeInvalid, match=r"stages: is missing") as error:
        load_recipe(str(path))
    assert "docs/training.md" in str(error.value)


def test_files_of_a_recipe_are_beside_it(tmp_path):
    text = (RECIPES / "sft-only.toml").read_text()
    path = tmp_path / "mine.toml"
    path.write_text(text.replace("generated = 400", 'generated = 400\nfiles = ["rows.jsonl"]'))
    assert load_recipe(str(path)).data.files == (str(tmp_path / "rows.jsonl"),)


def test_the_final_page_asks_for_what_has_final_items():
    recipe = load_recipe(
        "redone2-laptop",
        ['gates.policy.protected={ "tweeteval/irony" = 5.0, "general_mini/facts" = 5.0 }'],
    )
    policy = recipe.policy("report")
    assert policy.partition == "report"
    assert set(policy.suites) == {"tweeteval", "general-mini-report"}
    assert set(recipe.policy().suites) == {"tweeteval", "general-mini"}
    assert set(policy.protected) == {"tweeteval/irony"}
    assert policy.alpha == recipe.policy().alpha


RENAMED = {"rarity": "label_balance", "contrast": "background_weight"}


def test_old_names_of_fields_are_accepted_with_a_warning(tmp_path, capsys):
    text = (RECIPES / "redone2-laptop.toml").read_text()
    now = load_recipe("redone2-laptop")
    assert capsys.readouterr().err == ""
    for old, new in RENAMED.items():
        assert f"{new} = " in text
        text = text.replace(f"{new} = ", f"{old} = ")
    (tmp_path / "old.toml").write_text(text)
    assert load_recipe(str(tmp_path / "old.toml")) == now
    told = capsys.readouterr().err
    assert "stage targeted, rows: contrast is now called background_weight" in told
    assert told.count("rarity is now called label_balance") == 3


def test_old_names_of_fields_can_be_set(capsys):
    changed = load_recipe("redone2-laptop", ["targeted.rows.contrast=0.5"])
    assert changed == load_recipe("redone2-laptop", ["targeted.rows.background_weight=0.5"])
    assert changed.stage("targeted").rows.background_weight == 0.5
    assert "--set targeted.rows.contrast=0.5: contrast is now called" in capsys.readouterr().err


def test_a_field_is_not_given_under_both_names(tmp_path):
    text = (RECIPES / "redone2-laptop.toml").read_text()
    text = text.replace("label_balance = 1.0", "label_balance = 1.0, rarity = 1.0")
    (tmp_path / "both.toml").write_text(text)
    with pytest.raises(RecipeInvalid, match="rarity is the old name of label_balance"):
        load_recipe(str(tmp_path / "both.toml"))


# --- limits of a small run ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "gate", "report"),
    [
        ([], 100, 200),
        (["evaluation.limit=8"], 8, 8),
        (["evaluation.limit = 500"], 500, 500),
        (["evaluation.limit=8", "evaluation.report_limit=20"], 8, 20),
        (["evaluation.report_limit=20", "evaluation.limit=8"], 8, 20),
        (["evaluation.report_limit=20"], 100, 20),
    ],
)
def test_a_limit_that_is_set_is_of_the_final_figures_too(changes, gate, report):
    evaluation = load_recipe("redone2-laptop", changes).evaluation
    assert (evaluation.items("gate"), evaluation.items("diagnose")) == (gate, gate)
    assert evaluation.items("report") == report
