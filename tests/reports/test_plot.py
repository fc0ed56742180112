"""Names on the seesaw hide no mark and no other name as long as there is room."""

import numpy as np

from redone.reports.seesaw import Axis, Change, Point, Seesaw
from redone.reports.seesaw_scene import scene


def sides(found):
    *stages, _ = scene(found).marks
    return [mark.side for mark in stages]


def placed(*stages):
    """The sides of the names of stages at (label, x, y), each sure to 20 points on both axes."""
    turn = np.linspace(0, 2 * np.pi, 50, endpoint=False)
    points = [
        Point(
            label,
            Change(x, x, x, x + 20 * np.cos(turn)),
            Change(y, y, y, y + 20 * np.sin(turn)),
            "pass",
            partial=False,
        )
        for label, x, y in stages
    ]
    axes = [Axis(role, (role,), role, 2.0) for role in ("domain", "robustness")]
    return sides(Seesaw(*axes, tuple(points), chain=False, moves=(), source=""))


def test_a_name_stands_above_its_mark():
    assert placed(("tuned", 10, 5)) == ["top"]


def test_or_below_where_another_mark_is_in_the_way():
    assert placed(("above", 10, 4), ("below", 10, 0)) == ["top", "bottom"]


def test_or_beside_it_where_names_stand_above_and_below():
    found = placed(("above", 10, 8), ("between", 10, 4), ("below", 10, 0))
    assert found == ["top", "right", "bottom"]


def test_the_word_base_is_not_covered():
    assert placed(("up", -2, 3), ("down", -2, -0.1)) == ["top", "left"]


def test_wide_letters_take_more_room():
    near = [("x", 10, 0), ("x" * 9, 19, 2)]
    assert placed(*near) == ["top", "top"]
    wide = [(label.replace("x", "社"), x, y) for label, x, y in near]
    assert placed(*wide) != ["top", "top"]


def test_stages_in_the_same_place_still_get_their_names():
    assert len(placed(*[("same", 3, 3)] * 6)) == 6


def test_a_stage_without_both_axes_has_no_name_to_place():
    lacking = Point("half", None, None, "pass", partial=True)
    whole = Point("tuned", *(Change(v, v, v, v + np.arange(9.0)) for v in (10, 5)), "pass", False)
    axes = [Axis(role, (role,), role, 2.0) for role in ("domain", "robustness")]
    found = Seesaw(*axes, (lacking, whole), chain=False, moves=(), source="")
    assert sides(found) == ["top"]
