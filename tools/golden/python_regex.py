"""Golden matches for src/python_re/pattern.test.ts: Python's own `re`, on patterns of every construct and on random ones.

Run: /tmp/ref/bin/python tools/golden/python_regex.py src/python_re/fixtures/python_regex.json   (Python 3.11)
Each row: pattern, text, function, and [match, *groups], null for no match, or "error: ..." as re.error says.
"""
import json
import random
import re
import sys
import warnings

warnings.simplefilter("ignore")
random.seed(0)
PATTERNS = [
    r"(?P<n>\d+)\.(?P=n)", r"(?i)Q_PROJ", r"(?x) q _ proj # c", r"(?i:Q)_proj", r"(?-i:q)", r"a(?i)b",
    r"\Aabc\Z", r"abc\z", r"a++b", r"(?>a+)ab", r"(a)?b(?(1)c|d)", r"(?P<x>a)?b(?(x)c|d)", r"(?<=a)b",
    r"(?<!a)b", r"(?<=a|bc)d", r"(?<=a+)b", r"\d+", r"\w+", r"\s", r"a$", r"^a", r"(?m)^b$", r"(?s).b",
    r"[a-", r"[]a]+", r"[^]a]+", r"[\w.-]+", r"[a\-z]+", r"[z-a]", r"[\d-z]", r"(", r")", r"a**", r"*a",
    r"a{2}{3}", r"a{2,1}", r"a{,2}", r"a{}", r"a{x}", r"{2}", r"a{2}?", r"a{2}+", r"(?P<a>x)(?P<a>y)",
    r"(?P<1>x)", r"\1", r"(a)\1", r"(a\1)", r"\q", r"\8", r"\x41", r"\u0041", r"\U00000041", r"\x4", r"\0",
    r"\012", r"\101", r"\400", r"(?#hi)a", r"a(?#hi)*", r"(?#hi", r"(?L)a", r"(?a)\w+", r"(?u)\w", r"(?au)a",
    r"(?z)a", r"(?P>a)", r"(?P", r"(?", r"(?:a|b)*c", r"(a*)*", r"(a*)+", r"(a|b)*?c", r"(?:(a)|b)*",
    r"(a*?)*b", r"((a)|(b))+", r"(?=a)*a", r"^*a", r"\b+a", r"(?:)*a", r"(?i)ſ", r"(?i)[a-z]+", r"(?i)ß",
    r"(?i)K", r"(?ia)k", r"(?i)[^a]+", r"[[a]]", r"a|b|", r"|a", r"(?(1)a)", r"(a)(?(1)b|c|d)", r"(?(0)a)",
    r"(?(x)a)", r"(?i-i:a)", r"(?i-:a)", r"(?-:a)", r"(?i-a:b)", r"(?a-i:b)", r"\B", r"a\Bb", r"[\b]",
    r"[\B]", r"[\A]", r"[\q]", r"[a-\d]", r"(?x:a b)c d", r"(?x)a\ b", r"(?x)[a b]", r"(?x)a #c",
    r"(?x)a{2} *", r"(?x)a + b", r"(?x)a+ +", r"(?i)(?s)a.", r"(?<name>a)", r"\p{L}", r"a{1,99999999999}",
    r"(?<=(a))\1", r"(?<=(a)\1)b", r"(a)(?<=\1)", r"(?!a)b", r"(?!(a))b", r"(?=(a))\1",
    r".*\.(?!lm_head)\w+", r".*(?<!\.mlp)\.up_proj", r"a{0}b", r"(a){0}b\1", r"(?:a{2}){3}", r"(a){2,3}?",
    r"(?>(a|ab))c", r"(?>a|ab)c", r"(ab|a)(bc|c)?", r"$a", r"a^", '\\\\', r"\.", r"a\n", r"[\n]", r"(?x)\#",
    r"(?P=a)", r"(?P<a>b(?P=a))",
]
TEXTS = [
    r"q_proj", r"Q_PROJ", r"model.layers.0.self_attn.q_proj", r"aaab", r"abab", r"ab", r"a", r"b", r"abc",
    r"bc", r"aab", 'a\n', 'a\nb', r"1.1", r"12", r"٣", r"é", r"ſ", r"s", r"k", r"K", r"ß", r"", r"ac", r"bd",
    r"abd", r"bcd", r"dd", r" ", '\x1c', '\ufeff', r"A", '\\', r"a-z", r"]a", r"[a]", r"a]", r"aa", r"aaaa",
    r"aaaaaa", r"😀", r"a😀b", r"x x", r"a b", r"abcabc", r".", r"1", r"10", '\x08', r"İi", r"i", r"ı", '\n',
    r"a{}", r"a{x}", r"a#c",
]
PIECES = [
    r"a", r"b", r"c", r"ab", r".", r"\w", r"\d", r"\b", r"\B", r"^", r"$", r"[ab]", r"[^a]", r"(a)",
    r"(b|c)", r"(?:ab)", r"(a*)", r"(?P<n>a)", r"\1", r"(?=b)", r"(?!c)", r"(?<=a)", r"(?<!b)", r"(?>a*)",
    r"(?i:A)", r"|", r"\.", r"(?(1)b|c)", r"(?:a|)", r"(a|b)*", r"((a)|b)+", r"\Z", r"\A",
]
REPEATS = ["", "", "", "*", "+", "?", "*?", "+?", "??", "*+", "?+", "{2}", "{1,2}", "{,2}?", "{0}"]
HOW = {"match": re.match, "fullMatch": re.fullmatch, "search": re.search}


def drawn():
    pattern = "".join(random.choice(PIECES) + random.choice(REPEATS) for _ in range(random.randint(1, 5)))
    if random.random() < 0.3:
        pattern = "(" + pattern + ")" + random.choice(REPEATS) + random.choice(PIECES)
    return pattern


def answer(pattern, text, how):
    try:
        if how == "matchAll":
            return [[m.start(), m.group(0)] for m in re.finditer(pattern, text)]
        match = HOW[how](pattern, text)
    except (re.error, OverflowError) as error:
        return f"error: {error}"
    return None if match is None else [match.group(0), *match.groups()]


rows = []
for pattern in PATTERNS:
    for text in random.sample(TEXTS, 6):
        how = random.choice([*HOW, "matchAll"])
        rows.append([pattern, text, how, answer(pattern, text, how)])
for _ in range(600):
    pattern, text = drawn(), "".join(random.choice("aabbc.1 A") for _ in range(random.randint(0, 7)))
    how = random.choice([*HOW, "matchAll"])
    rows.append([pattern, text, how, answer(pattern, text, how)])
with open(sys.argv[1], "w") as file:
    file.write("[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n")
