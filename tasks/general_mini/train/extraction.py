"""Train family: picking one piece (an address, a price, a date) out of a message, as it stands."""

from __future__ import annotations

from random import Random

from ..family import Family, Item

_USERS = ("rosa", "felix", "desk", "sales", "pia", "kurt")
_HOSTS = ("example.com", "example.org", "example.net")
_MONTHS = ("March", "April", "May", "June", "July", "August")
_MESSAGES = {
    "en": (
        "Hi! The workshop on {date} costs {amount}, sign up with {mail} soon.",
        "Reminder: {amount} are due by {date}; questions go to {mail}.",
        "We moved the concert to {date}. Tickets stay at {amount}. Write to {mail} for refunds.",
    ),
    "zh": (
        "您好！{date}的课程收费{amount}，报名请发邮件到{mail}。",
        "提醒：请在{date}之前缴纳{amount}，有疑问请联系{mail}。",
        "音乐会改到{date}举行，票价仍是{amount}，退票请写信给{mail}。",
    ),
}
_ASKS = {
    "en": {
        "mail": "Copy the e-mail address out of this message.",
        "amount": "Copy the amount of money out of this message.",
        "date": "Copy the date out of this message.",
    },
    "zh": {
        "mail": "请从下面的消息中摘出邮箱地址。",
        "amount": "请从下面的消息中摘出金额。",
        "date": "请从下面的消息中摘出日期。",
    },
}
_SIGNS = {
    "en": {
        "mail": "An e-mail address has an @ in it",
        "amount": "An amount of money has a currency sign",
        "date": "A date names a day and a month",
    },
    "zh": {"mail": "邮箱地址里有@符号", "amount": "金额带有货币单位", "date": "日期由月和日组成"},
}


def _make(random: Random, language: str) -> Item:
    english = language == "en"
    day = random.randint(1, 28)
    amount = random.randint(5, 250)
    pieces = {
        "mail": f"{random.choice(_USERS)}{random.randint(1, 99)}@{random.choice(_HOSTS)}",
        "amount": f"${amount}" if english else f"{amount}块钱",
        "date": f"{day} {random.choice(_MONTHS)}"
        if english
        else f"{random.randint(3, 8)}月{day}日",
    }
    skill = random.choice(list(pieces))
    message = random.choice(_MESSAGES[language]).format(**pieces)
    sign = _SIGNS[language][skill]
    return Item(
        language=language,
        skill=skill,
        question=f"{_ASKS[language][skill]}\n---\n{message}",
        form="verbatim",
        answer=pieces[skill],
        source=message,
        options=tuple(pieces.values()),
        rationale=(
            f"{sign}. In the message that is {pieces[skill]}."
            if english
            else f"{sign}，消息里符合的是{pieces[skill]}。"
        ),
    )


EXTRACTION = Family("extraction", "Picking a piece out of a message", _make, train=True)
