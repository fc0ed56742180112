"""Knowledge: short open questions about the world; for training, kinds of animals."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from .items import Family, Item, pairs, say

# --- evaluation ----------------------------------------------------------------------------------

_FACTS: Mapping[str, tuple[str, str, str]] = {
    "capital": (
        "Which city is the capital of {}?",
        "{}的首都是哪座城市？",
        "France | Paris | 法国 | 巴黎; Japan | Tokyo | 日本 | 东京; "
        "Italy | Rome | 意大利 | 罗马; Egypt | Cairo | 埃及 | 开罗; "
        "Russia | Moscow | 俄罗斯 | 莫斯科; Spain | Madrid | 西班牙 | 马德里; "
        "Greece | Athens | 希腊 | 雅典; Thailand | Bangkok | 泰国 | 曼谷; "
        "Peru | Lima | 秘鲁 | 利马; Kenya | Nairobi | 肯尼亚 | 内罗毕; "
        "Norway | Oslo | 挪威 | 奥斯陆; Cuba | Havana | 古巴 | 哈瓦那; "
        "Austria | Vienna | 奥地利 | 维也纳; Portugal | Lisbon | 葡萄牙 | 里斯本; "
        "Canada | Ottawa | 加拿大 | 渥太华; Ireland | Dublin | 爱尔兰 | 都柏林",
    ),
    "language": (
        "Which language do most people speak in {}?",
        "{}的大多数人说哪种语言？",
        "Brazil | Portuguese | 巴西 | 葡萄牙语; Mexico | Spanish | 墨西哥 | 西班牙语; "
        "Germany | German | 德国 | 德语; Turkey | Turkish | 土耳其 | 土耳其语; "
        "Poland | Polish | 波兰 | 波兰语; Sweden | Swedish | 瑞典 | 瑞典语; "
        "Saudi Arabia | Arabic | 沙特阿拉伯 | 阿拉伯语; Vietnam | Vietnamese | 越南 | 越南语; "
        "Hungary | Hungarian | 匈牙利 | 匈牙利语; Australia | English | 澳大利亚 | 英语",
    ),
    "fame": (
        "Who is famous for {}?",
        "谁以{}闻名于世？",
        "the play Hamlet | Shakespeare | 戏剧《哈姆雷特》 | 莎士比亚; "
        "the theory of relativity | Einstein | 相对论 | 爱因斯坦; "
        "the law of gravity | Newton | 万有引力定律 | 牛顿; "
        "the novel War and Peace | Tolstoy | 小说《战争与和平》 | 托尔斯泰; "
        "the novel Oliver Twist | Dickens | 小说《雾都孤儿》 | 狄更斯; "
        "the opera The Magic Flute | Mozart | 歌剧《魔笛》 | 莫扎特; "
        "the Moonlight Sonata | Beethoven | 《月光奏鸣曲》 | 贝多芬; "
        "the painting Guernica | Picasso | 油画《格尔尼卡》 | 毕加索; "
        "the theory of evolution | Darwin | 进化论 | 达尔文; "
        "the epic Odyssey | Homer | 史诗《奥德赛》 | 荷马",
    ),
    "instrument": (
        "Which instrument measures {}?",
        "用哪种仪器测量{}？",
        "temperature | thermometer | 温度 | 温度计; earthquakes | seismograph | 地震 | 地震仪; "
        "air pressure | barometer | 气压 | 气压计; "
        "the speed of a car | speedometer | 汽车的速度 | 速度表; "
        "the weight of a parcel | scale | 包裹的重量 | 秤; "
        "the time of a day | clock | 一天的时间 | 钟表; "
        "the length of a table | ruler | 桌子的长度 | 尺子; "
        "electric voltage | voltmeter | 电压 | 电压表",
    ),
    "organ": (
        "Which part of the body {}?",
        "人体的哪个部位{}？",
        "pumps blood | heart | 推动血液流动 | 心脏; lets us see | eye | 让我们看见东西 | 眼睛; "
        "takes in air | lungs | 吸入空气 | 肺; lets us hear | ear | 让我们听见声音 | 耳朵; "
        "digests food first | stomach | 最先消化食物 | 胃; "
        "does the thinking | brain | 负责思考 | 大脑; "
        "smells flowers | nose | 能闻到花香 | 鼻子; "
        "cleans the blood and makes urine | kidneys | 过滤血液并产生尿液 | 肾脏",
    ),
    "trade": (
        "Who {} for a living?",
        "谁的工作是{}？",
        "repairs teeth | dentist | 治疗牙齿 | 牙医; "
        "flies aeroplanes | pilot | 驾驶飞机 | 飞行员; "
        "puts out fires | firefighter | 扑灭火灾 | 消防员; "
        "grows wheat | farmer | 种植小麦 | 农民; "
        "designs houses | architect | 设计房屋 | 建筑师; "
        "repairs water pipes | plumber | 修理水管 | 水管工; "
        "studies stars and planets | astronomer | 研究恒星和行星 | 天文学家; "
        "sells medicine | pharmacist | 配药和卖药 | 药剂师; "
        "teaches children | teacher | 给孩子们上课 | 教师",
    ),
    "material": (
        "What is {} made from?",
        "{}是用什么做成的？",
        "glass | sand | 玻璃 | 沙子; paper | wood | 纸 | 木材; cheese | milk | 奶酪 | 牛奶; "
        "wine | grapes | 葡萄酒 | 葡萄; steel | iron | 钢 | 铁; "
        "chocolate | cocoa beans | 巧克力 | 可可豆; a candle | wax | 蜡烛 | 蜡; "
        "a brick | clay | 砖 | 黏土",
    ),
    "planet": (
        "Which planet {}?",
        "哪颗行星{}？",
        "is closest to the sun | Mercury | 离太阳最近 | 水星; "
        "is called the red planet | Mars | 被称为红色星球 | 火星; "
        "is the largest | Jupiter | 体积最大 | 木星; "
        "is famous for its bright rings | Saturn | 以明亮的光环闻名 | 土星; "
        "do people live on | Earth | 上住着人类 | 地球; "
        "is farthest from the sun | Neptune | 离太阳最远 | 海王星",
    ),
}
"""Relation -> question in English, in Chinese; subject and answer in English, then in Chinese."""
_FACT_ASKS = {
    "en": ("{}", "Quiz: {}", "{} Answer in a few words."),
    "zh": ("{}", "知识问答：{}", "{}请简短回答。"),
}


def _fact(random: Random, language: str) -> Item:
    skill = random.choice(list(_FACTS))
    *questions, table = _FACTS[skill]
    rows = [row.split(" | ") for row in table.split("; ")]
    at = 0 if language == "en" else 1
    row = random.choice(rows)
    question = questions[at].format(row[2 * at])
    return Item(
        skill=skill,
        question=random.choice(_FACT_ASKS[language]).format(question),
        form="choice",
        answer=row[2 * at + 1],
        # The same fact in both languages is one source.
        source=f"{skill}: {row[0]}",
        options=tuple(dict.fromkeys(r[2 * at + 1] for r in rows)),
    )


FACTS = Family("facts", "Facts of the world", _fact)


# --- training ------------------------------------------------------------------------------------


_KINDS = {
    "bird": ("鸟类", "feathers and a beak", "有羽毛和喙"),
    "fish": ("鱼类", "gills and fins", "有鳃和鳍"),
    "insect": ("昆虫", "six legs", "有六条腿"),
    "mammal": ("哺乳动物", "fur or hair and feeds its young with milk", "有毛发，用乳汁哺育幼崽"),
    "reptile": ("爬行动物", "dry scales and lays eggs on land", "有干燥的鳞片，在陆地上产卵"),
}
"""English kind -> Chinese kind, how to recognize it in English, in Chinese."""
_ANIMALS = {
    "bird": pairs("sparrow, owl, eagle, penguin, swan", "麻雀、猫头鹰、鹰、企鹅、天鹅"),
    "fish": pairs("salmon, tuna, carp, cod, trout", "三文鱼、金枪鱼、鲤鱼、鳕鱼、鳟鱼"),
    "insect": pairs("ant, bee, butterfly, beetle, mosquito", "蚂蚁、蜜蜂、蝴蝶、甲虫、蚊子"),
    "mammal": pairs("horse, whale, rabbit, elephant, bat", "马、鲸、兔子、大象、蝙蝠"),
    "reptile": pairs("lizard, crocodile, tortoise, cobra, gecko", "蜥蜴、鳄鱼、陆龟、眼镜蛇、壁虎"),
}

_KIND_ASKS = {
    "en": (
        "Biology class: say whether the {} counts as {}.",
        "Label this living thing with its group. Living thing: {}. Groups: {}.",
        "My little sister asks me what sort of animal the {} is. Is it {}?",
        "Zoo sign to fill in. Animal: {}. Group ({}):",
    ),
    "zh": (
        "生物课练习：判断{}属于{}。",
        "给这种动物贴上类别标签。动物：{}。类别：{}。",
        "妹妹问我{}算哪一类动物，是{}？",
        "填写动物园的说明牌。动物：{}。类别（{}）：",
    ),
}


def _animal(random: Random, language: str) -> Item:
    english = language == "en"
    kind = random.choice(list(_KINDS))
    name = random.choice(_ANIMALS[kind])[0 if english else 1]
    others = random.sample([k for k in _KINDS if k != kind], random.choice((2, 3)))
    kinds = [kind, *others]
    random.shuffle(kinds)
    options = kinds if english else [_KINDS[k][0] for k in kinds]
    comma, last = (", ", " or ") if english else ("、", "还是")
    joined = comma.join(options[:-1]) + last + options[-1]
    chinese, sign, chinese_sign = _KINDS[kind]
    return Item(
        skill="kind",
        question=random.choice(_KIND_ASKS[language]).format(name, joined),
        form="choice",
        answer=kind if english else chinese,
        source=f"animal {name}",
        options=tuple(options),
        rationale=say(
            language,
            f"The {name} has {sign}. That is what makes a {kind}.",
            f"{name}{chinese_sign}，这是{chinese}的特征。",
        ),
    )


ANIMALS = Family("animals", "Kinds of animals", _animal, train=True)
