"""SNS-Bench Gender: will a note set off talk between women and men (Guo et al., ICML 2025)."""

from __future__ import annotations

from ..task import Prompt
from .base import yes_no_task

TASK = yes_no_task(
    "gender",
    "Note-Gender",
    "Gender",
    "user behaviour modelling",
    texts=("content",),
    prompts={
        "en": Prompt(
            "You predict how people discuss the posts of a social network. Is the post likely to "
            "make women and men talk about matters between them? Such matters are: love, dating, "
            "break-ups; marriage, weddings, in-laws, divorce; pregnancy, birth, bringing up "
            "children; sexuality, harassment, violence; what is expected of women or of men, and "
            "unequal treatment at work, in sport or at home. Reply with Yes or No only.\n\n"
            "Example\nPost: He wants me to quit my job after the wedding. Am I wrong to be angry?\n"
            "Answer: Yes\n\nExample\nPost: Three screws left over after building the shelf\n"
            "Answer: No",
            "Post: {content}\nAnswer:",
        ),
        "zh": Prompt(
            "你负责预测社交平台笔记会引发怎样的讨论。这篇笔记是否容易引起男女双方关于两性话题的讨论？"
            "两性话题包括：恋爱、约会、分手；婚姻、婚礼、婆媳、离婚；怀孕、生育、育儿；性、性骚扰、暴力；"
            "对男性或女性的刻板期待，以及职场、运动、家庭中的不平等。只回复“是”或“否”。\n\n"
            "示例\n笔记：他要我婚后辞职，我生气有错吗？\n回答：是\n\n"
            "示例\n笔记：书架装好了，多出来三颗螺丝\n回答：否",
            "笔记：{content}\n回答：",
        ),
    },
)
