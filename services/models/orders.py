"""Text that speaks to a model instead of a person: kept as data like any other, but it founds and ends nothing.

No list finds every such text. What must hold without it (scope, sources, citations) does not rest on it.
"""

import re

# Set aside what you were told; be something else; make a category: as it is said in the languages of most such texts.
_PATTERNS = (
    # English, and the marks of chat templates in any language.
    r"\b(?:ignore|disregard|forget|override)\b.{0,40}\b(?:instructions?|prompts?|rules|above|previous|everything)\b",
    r"\bsystem prompt\b|\byou are now\b|\bnew instructions?\b",
    r"\b(?:create|add|make|open) (?:a |the |new )*categor(?:y|ies)\b",
    r"<\|?/?(?:im_start|im_end|system|endoftext|tool_call|tool_response)|\[/?INST\]|^\s*system\s*:",
    # German, Dutch
    r"\b(?:ignorier\w*|vergiss|missachte|negeer|vergeet)\b.{0,40}(?:anweisung|vorgaben|regeln|instructies|regels)",
    r"\b(?:erstelle|lege|eröffne|maak)\b.{0,30}\b(?:kategorien?|categorie)\b",
    # Spanish, Portuguese, Italian, French
    r"\b(?:ignor\w+|olvid\w+|esque[çc]\w+|dimentic\w+|oubli\w+)\b.{0,40}(?:instru[cç]|istruz|consignes|r[eè]g(?:las|ole|les|ras))",
    r"\b(?:cre\w|crea\w*|crie|crée\w*|abr\w+)\b.{0,30}\b(?:categor[ií]a|categoria|catégorie)",
    # Russian, Polish
    r"(?:игнорир|забуд)\w*.{0,40}(?:инструкц|указани|правил)|созда\w*.{0,30}категори",
    r"\b(?:zignoruj|zapomnij)\b.{0,40}(?:instrukcj|polece)|\butwórz\b.{0,30}kategori",
    # Chinese, Japanese, Korean
    r"(?:忽略|无视|無視|忘记|忘掉).{0,20}(?:指令|指示|规则|規則)|(?:创建|建立|新建|創建).{0,20}(?:类别|分类|類別|分類)",
    r"(?:指示|命令|ルール).{0,10}(?:無視|忘れ)|カテゴリー?.{0,20}(?:作成|作って|追加)",
    r"(?:지시|명령|규칙).{0,10}무시|카테고리.{0,20}(?:만들|생성|추가)",
)
_ORDERS = re.compile("|".join(_PATTERNS), re.IGNORECASE | re.MULTILINE)


def gives_orders(text: str) -> bool:
    """Tell whether a text speaks to a model instead of a person."""
    return _ORDERS.search(text) is not None
