"""What jinja2 prints, as transformers configures it, for constructs of chat templates.

HF_HUB_OFFLINE=1 python tools/golden/jinja.py    (transformers 5.23, jinja2 3.1.6)
Writes tests/golden/jinja.json: [template, what it prints, or null where it raises].
"""

import json
from pathlib import Path

import jinja2
import transformers
from transformers.utils.chat_template_utils import _compile_jinja_template

MESSAGES = [
    {"role": "system", "content": " Be kind. "},
    {"role": "user", "content": "Hi\nthere é 😀", "name": None},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "a1", "function": {"name": "f", "arguments": {"x": 1, "y": [1.5, None, True]}}}]},
    {"role": "tool", "content": "{\"ok\": true}"},
    {"role": "user", "content": [{"type": "text", "text": "two"}, {"type": "image"}]},
]
VARIABLES = {
    "messages": MESSAGES,
    "tools": [{"type": "function", "function": {"name": "f", "description": "It's \"quoted\"", "parameters": {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}}}],
    "documents": None,
    "add_generation_prompt": True,
    "bos_token": "<s>",
    "n": 7,
    "big": 12345678901234567890123,
    "half": 2.5,
    "text": "  The quick brown fox, it's <b>bold</b> & \"quoted\"  ",
    "words": ["delta", "Alpha", "charlie", "bravo"],
    "pairs": [{"k": "b", "v": 2, "o": {"z": 3}}, {"k": "A", "v": 1, "o": {"z": 1}}, {"k": "b", "v": 3, "o": {"z": 2}}],
    "empty": [],
    "mapping": {"b": 1, "a": [2, {"c": "d"}], "items": "mine"},
}

TEMPLATES = r"""
{{ none }} {{ None }} {{ true }} {{ False }} {{ 1 }} {{ 1.0 }} {{ 1e20 }} {{ 1e-7 }} {{ 1_000 }} {{ 0x1f }} {{ 0b11 }} {{ 0o17 }}
{{ {'a': [1, none, true]} }} {{ [1, 'b', 2.0] }} {{ (1,) }} {{ () }} {{ {} }} {{ 1, 2 }}
{{ "it's" }} {{ ["it's", 'say "x"', "both ' and \""] }} {{ ['a\n\t\\', '\x07é\u2028😀\u00ad'] }}
{{ 'a' 'b' "c" }} {{ "\x41\u00e9\U0001F600\101\d\q" }} {{ 'é\é' }}
{{ mapping }} {{ mapping.items() }} {{ mapping.keys() }} {{ mapping.values() }} {{ mapping['items'] }} {{ mapping.get('b') }} {{ mapping.get('zz') }} {{ mapping.get('zz', 9) }} {{ mapping.a[1].c }}
{{ messages[0].content.strip() }}|{{ messages[0]['content'].lstrip() }}|{{ messages[0].content | trim }}|{{ 'xxhixx'.strip('x') }}|{{ 'xyhiyx'.lstrip('xy') }}|{{ '--a--'|trim('-') }}
{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 7 / 2 }} {{ 8 / 2 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 2 ** 3 ** 2 }} {{ -2 ** 2 }} {{ 7.5 // 2 }} {{ -7.5 % 2 }}
{{ 1 + 1.0 }} {{ 1 + true }} {{ 3 * 2.5 }} {{ 10 / 3 }} {{ 0.1 + 0.2 }} {{ 1e308 * 10 }} {{ 2 ** 100 }} {{ big }} {{ big + 1 }} {{ big * 2 // 3 }}
{{ 'ab' * 3 }} {{ 3 * 'ab' }} {{ [1] * 2 }} {{ [1] + [2] }} {{ (1,) + (2,) }} {{ 'a' ~ 1 ~ none ~ 2.0 ~ [1] ~ undefined_name }}
{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 3 > 2 >= 2 }} {{ 1 == 1.0 }} {{ true == 1 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ 'a' == 1 }} {{ none == false }} {{ 1 != 2 != 1 }}
{{ 'a' in 'abc' }} {{ 2 in [1, 2] }} {{ 'b' in mapping }} {{ 'zz' not in mapping }} {{ 1.0 in [1] }} {{ not 'a' in 'b' }} {{ 'x' in undefined_name }}
{{ 'yes' if n > 5 else 'no' }} {{ 'yes' if n < 5 }} {{ ('a' if false else 'b') ~ 'c' }} {{ 'x' if 0 else 'y' if 0 else 'z' }}
{{ 1 and 2 }} {{ 0 and 2 }} {{ '' or 'd' }} {{ none or [] }} {{ not none }} {{ not 1 == 2 }} {{ 1 or raise_exception('no') }}
{{ undefined_name }}|{{ undefined_name is defined }}|{{ undefined_name|default('d') }}|{{ ''|default('d') }}|{{ ''|default('d', true) }}|{{ none|d('x') }}|{{ none|d('x', boolean=true) }}
{{ messages[0].nothing }}|{{ messages[0].nothing is none }}|{{ messages[0]['nothing'] is undefined }}|{{ messages[99] is defined }}|{{ messages[-1].role }}
{{ undefined_name|length }} {{ undefined_name|upper }}| {{ undefined_name|list }} {{ undefined_name|join }}| {% for x in undefined_name %}x{% else %}none{% endfor %} {{ undefined_name == other_name }}
{{ undefined_name.a }}
{{ undefined_name + 1 }}
{{ undefined_name['a'] }}
{{ undefined_name() }}
{{ undefined_name < 1 }}
{{ undefined_name|int }}
{{ undefined_name|tojson }}
{{ none + 1 }}
{{ 'a' + 1 }}
{{ none.a }}|{{ none['a'] }}|{{ (5).a }}|{{ 'a'.b }}
{{ none.a.b }}
{{ none() }}
{{ 1 / 0 }}
{{ 1 < 'a' }}
{{ [1] < 1 }}
{{ 1 in 5 }}
{{ 1 in 'a' }}
{{ nofilter|nosuchfilter }}
{{ 1 is nosuchtest }}
{{ raise_exception('stop') }}
{{ for }}
{% if %}
{% endif %}
{% for x in [1] %}
{{ 'a }}
{{ (1 }}
{{ a b }}
{% nosuchtag %}
{% for m in messages %}{{ m.role }}{% if m.role == 'user' %}{% continue %}{% endif %};{% endfor %}
{% for m in messages %}{{ m.role }}{% if m.role == 'user' %}!{% break %}{% endif %};{% endfor %}
{% for i in range(3) %}{% for j in range(5) %}{% if j == i %}{% break %}{% endif %}{{ i }}{{ j }} {% endfor %}|{% endfor %}
{% for i in range(5) %}{% if i is odd %}{% continue %}{% endif %}{{ i }}{{ ',' if not loop.last }}{% endfor %}
{% for x in words %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }} {% endfor %}
{% for x in words %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {% endfor %}
{% for x in [1, 1, 2, 2, 1] %}{{ loop.changed(x) }} {{ loop.cycle('a', 'b') }} {% endfor %}
{% for x in words if x != 'Alpha' %}{{ loop.index }}/{{ loop.length }} {{ x }} {% endfor %}
{% for x in words if 'q' in x %}{{ x }}{% else %}none of {{ words|length }}{% endfor %}
{% for k, v in mapping.items() %}{{ k }}={{ v }};{% endfor %}{% for k in mapping %}{{ k }}{% endfor %}{% for k, v in mapping|dictsort %}{{ k }}{% endfor %}
{% for a, (b, c) in [(1, (2, 3)), [4, [5, 6]]] %}{{ a }}{{ b }}{{ c }} {% endfor %}
{% for a, b in [(1, 2, 3)] %}{% endfor %}
{% for x in [1, [2, [3]], 4] recursive %}{{ loop(x) if x is iterable else x }}{{ loop.depth }} {% endfor %}
{% for x in 'aé😀' %}{{ x }}.{% endfor %} {{ 'aé😀'|length }} {{ 'aé😀'[2] }} {{ 'aé😀'[::-1] }} {{ 'aé😀'[-1:] }}
{% for x in 5 %}{% endfor %}
{% for x in none %}{% endfor %}
{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = x + 1 %}{{ x }}{% endfor %}{{ x }}
{% set ns = namespace(x=1, items=[]) %}{% for i in [1, 2] %}{% set ns.x = ns.x + i %}{% set ns.items = ns.items + [i] %}{% endfor %}{{ ns.x }} {{ ns.items }} {{ ns.nothing }}| {{ ns }}
{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set (c, d) = (3, 4) %}{{ c }}{{ d }}{% set e = 5, %}{{ e }}
{% set x %}inner {{ n }}{% endset %}[{{ x }}]{% set y | upper | replace('A', 'b') %}abc{% endset %}[{{ y }}]
{% set ns = namespace() %}{% set ns._a = 1 %}
{% set ns = {} %}{% set ns.a = 1 %}
{% if n == 7 %}{% set inside = 'kept' %}{% endif %}{{ inside }}{% with q = 1, r = 2 %}{{ q }}{{ r }}{% set s = 3 %}{% endwith %}{{ q }}{{ s }}
{% with a = 1 %}{% with a = 2, b = a %}{{ a }}{{ b }}{% endwith %}{% endwith %}
{% macro f(a, b=2, c='x') %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ f(1) }} {{ f(1, c=3) }} {{ f(b=1) }} {{ f(1, 2, 3) }} {{ f }}
{% macro f(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1, 2, 3, k=4) }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, 2) }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(z=2) }}
{% macro f(x, y=x) %}{{ x }}{{ y }}{% endmacro %}{{ f(1) }}
{% set x = 1 %}{% macro f() %}{{ x }}{% endmacro %}{% set x = 2 %}{{ f() }}
{% macro f(x) %}{% if x > 0 %}{{ x }}{{ f(x - 1) }}{% endif %}{% endmacro %}{{ f(5) }}
{% macro f() %}[{{ caller() }}]{% endmacro %}{% call f() %}in {{ n }}{% endcall %}
{% macro f(xs) %}{% for x in xs %}{{ caller(x) }}{% endfor %}{% endmacro %}{% call(y) f([1, 2]) %}<{{ y }}>{% endcall %}
{% macro f() %}a{% endmacro %}{% call f() %}b{% endcall %}
{% macro f() %}{{ caller is defined }}{% endmacro %}{{ f() }}
{% macro f(a, b) %}{% endmacro %}{{ f.name }} {{ f.arguments }} {{ f is callable }}
{% filter upper %}abc {{ n }}{% endfilter %} {% filter replace('a', 'b') | title %}aa cc{% endfilter %}
{% block title %}in block {{ n }}{% endblock %} {% autoescape true %}x{% endautoescape %} {% print 1, 'a' %}
{% raw %}{{ not }} {% this %}{% endraw %}|{%- raw -%}  x  {%- endraw %}|
{# comment {{ x }} #}a{#- b -#}   c {#+ d +#} e
a  {{- 1 -}}  b {{ 2 }}  c  {%- if true -%}  d  {%- endif -%}  e
{% include 'x' %}
{% extends 'x' %}
{{ words|join(', ') }} {{ [1, none, 2.0]|join('-') }} {{ pairs|join('+', attribute='k') }} {{ words|join }} {{ 'abc'|join('.') }}
{{ words|sort }} {{ words|sort(reverse=true) }} {{ words|sort(case_sensitive=true) }} {{ pairs|sort(attribute='k')|map(attribute='v')|list }} {{ pairs|sort(attribute='k,v')|map(attribute='v')|list }} {{ pairs|sort(attribute='o.z')|map(attribute='v')|join }}
{{ words|map('upper')|list }} {{ words|map('replace', 'a', 'X')|list }} {{ pairs|map(attribute='o.z')|list }} {{ pairs|map(attribute='q', default='-')|list }} {{ [1.5, '2']|map('int')|list }}
{{ [1, 2, 3, 4]|select('odd')|list }} {{ [1, 2, 3]|reject('eq', 2)|list }} {{ [0, 1, '', 'a']|select|list }} {{ pairs|selectattr('k', 'equalto', 'b')|list|length }} {{ pairs|rejectattr('v', 'gt', 1)|map(attribute='k')|first }} {{ pairs|selectattr('q')|list }} {{ messages|selectattr('role', 'in', ['user', 'tool'])|list|length }}
{{ [3, 1, 2]|max }} {{ [3, 1, 2]|min }} {{ words|max }} {{ pairs|max(attribute='v') }} {{ empty|max }}| {{ [1, 2, 3]|sum }} {{ pairs|sum(attribute='v') }} {{ [0.5]|sum(start=1) }}
{{ words|first }} {{ words|last }} {{ empty|first }}| {{ empty|last }}| {{ 'abc'|first }} {{ 'abc'|last }} {{ words|length }} {{ words|count }} {{ mapping|length }}
{{ [1, 2, 2, 'A', 'a']|unique|list }} {{ words|reverse|list }} {{ 'abc'|reverse }} {{ mapping|list }} {{ 'abc'|list }} {{ range(3)|list }}
{{ pairs|groupby('k')|list|length }} {% for k, g in pairs|groupby('k') %}{{ k }}:{{ g|map(attribute='v')|join(',') }} {% endfor %} {{ (pairs|groupby('v'))[0].grouper }}
{{ [1, 2, 3, 4, 5]|batch(2)|list }} {{ [1, 2, 3]|batch(2, 'x')|list }} {{ [1, 2, 3, 4, 5]|slice(3)|list }} {{ [1, 2, 3, 4]|slice(3, 0)|list }}
{{ mapping|dictsort }} {{ {'B': 1, 'a': 2}|dictsort }} {{ {'B': 1, 'a': 2}|dictsort(true) }} {{ {'x': 2, 'y': 1}|dictsort(by='value') }} {{ {'x': 2, 'y': 1}|dictsort(false, 'key', true) }} {{ {'a': 1}|items|list }}
{{ 'hello world'|title }} {{ "can't-stop (now)"|title }} {{ 'HELLO wORLD'|capitalize }} {{ 'aBc'|upper }} {{ 'aBc'|lower }} {{ 5|upper }} {{ none|lower }}
{{ text|trim|replace('quick', 'slow') }} {{ 'aaa'|replace('a', 'b', 2) }} {{ 5|replace(5, 6) }} {{ 'ab'|replace('', '-') }} {{ 'abc'|replace('b', none) }}
{{ 'a\nb\n\nc'|indent }}|{{ 'a\nb'|indent(2, true) }}|{{ 'a\n\nb'|indent(1, blank=true) }}|{{ 'a\nb\n'|indent('> ') }}|{{ 'a'|indent(width=2, first=true) }}
{{ 'abc'|center(9) }}| {{ 'foo bar baz qux'|truncate(9) }} {{ 'foo bar baz qux'|truncate(9, true) }} {{ 'foo bar baz qux'|truncate(11) }} {{ 'foo bar baz qux'|truncate(11, false, '..', 0) }}
{{ '<a href="x">\'&'|e }} {{ '<a>'|escape|length }} {{ '<p>a <b>b</b></p>'|striptags }} {{ '<b>'|safe }} {{ 'a b/ü?'|urlencode }} {{ {'a': 1, 'b c': 'd&'}|urlencode }} {{ {'a': 'x"', 'b': none}|xmlattr }}
{{ '3'|int }} {{ '3.7'|int }} {{ 'x'|int }} {{ 'x'|int(5) }} {{ 3.9|int }} {{ -3.9|int }} {{ 'ff'|int(0, 16) }} {{ '0x1f'|int(0, 16) }} {{ none|int }} {{ true|int }} {{ ' 42 '|int }} {{ '1_000'|int }}
{{ '3.5'|float }} {{ 'x'|float }} {{ 3|float }} {{ 'x'|float(1.5) }} {{ '1e3'|float }} {{ 'inf'|float }} {{ 'nan'|float }} {{ -1|abs }} {{ -1.5|abs }}
{{ 2.5|round }} {{ 3.5|round }} {{ 42.55|round(1) }} {{ 42.55|round(1, 'floor') }} {{ 42.1|round(0, 'ceil') }} {{ 42|round }} {{ 1234|round(-2) }} {{ 0.125|round(2) }} {{ 2.675|round(2) }} {{ -0.4|round }}
{{ 'abc def'|wordcount }} {{ 1000|filesizeformat }} {{ 1500000|filesizeformat }} {{ 1024|filesizeformat(true) }} {{ 1|filesizeformat }} {{ 7|string }} {{ [1]|string|length }}
{{ mapping|attr('b') }}|
{{ mapping|tojson }} {{ messages[2]|tojson }} {{ [1.0, 1e20, none, true, 'é"\n/<>\'&\x7f']|tojson }} {{ {1: 2, none: 3, true: 4, 1.5: 5}|tojson }}
{{ mapping|tojson(indent=2) }}
{{ mapping|tojson(indent='\t', sort_keys=true) }} {{ []|tojson(indent=2) }} {{ {}|tojson(indent=2) }} {{ [[]]|tojson(indent=0) }}
{{ mapping|tojson(separators=(',', ':')) }} {{ 'é😀'|tojson(ensure_ascii=true) }} {{ 'é😀'|tojson }} {{ (1, 2)|tojson }} {{ [1]|tojson(true, 1) }}
{{ {'b': 1, 'a': 2}|tojson(sort_keys=true) }} {{ tools|tojson(indent=4) }}
{{ range(3)|tojson }}
{{ '%s and %d' % ('a', 5) }} {{ '%05d|%-5s|%5s|%+d|%x|%X|%o|%e|%.2f|%g|%c|%r|%%' % (42, 'ab', 'cd', 3, 255, 255, 8, 12345.678, 2.345, 0.0001, 65, 'q') }} {{ '%(a)s %(b)03d' % {'a': 1, 'b': 2} }} {{ 'x %s' % 'y' }} {{ '%s' % [1, 2] }} {{ '%5.1f|%*d' % (1.25, 4, 7) }}
{{ '%d' % 3.7 }} {{ '%i' % true }} {{ '%#x' % 255 }} {{ '% d' % 5 }} {{ '%.3s' % 'abcdef' }} {{ '%s' % none }} {{ '%g' % 1e10 }} {{ '%g' % 100000 }} {{ '%g' % 1234567 }} {{ '%.3g' % 0.00012345 }} {{ '%e' % 0 }}
{{ '%s %s' % 'a' }}
{{ '%d' % 'a' }}
{{ 'a' % 'b' }}
{{ '%s-%s'|format(1, 'b') }} {{ '%(x)s'|format(x=1) }} {{ '{} {}'.format(1, 'b') }} {{ '{0}{1}{0}'.format('a', 'b') }} {{ '{x} {y!r}'.format(x=1, y='z') }} {{ '{{}} {:>5}|{:<5}|{:^5}|{:05d}|{:+}|{:,}|{:.2f}|{:x}|{:%}|{:*^7}|{:e}'.format('a', 'b', 'c', 42, 3, 1234567, 2.345, 255, 0.5, 'mid', 12345.678) }}
{{ '{a.b}{c[0]}{d[k]}'.format(a={'b': 1}, c=[2], d={'k': 3}) }} {{ '{:{w}}|'.format('a', w=4) }} {{ '{:g} {:n} {:b} {:#o} {:_}'.format(1.5, 5, 5, 8, 1234567) }} {{ '{:.3}'.format('abcdef') }} {{ '{:.3}'.format(3.14159) }} {{ '{!s:>4}'.format(none) }} {{ '{}'.format([1, 'a']) }} {{ '{:5}|{:<5}'.format(true, 7) }}
{{ '{} {}'.format(1) }}
{{ '{:d}'.format('a') }}
{{ '{0.__class__}'.format(1) }}|{{ '{a}'.format_map({'a': 1}) }}
{{ 'a,b,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a,b,c'.split(',', 1) }} {{ 'a b c'.split(none, 1) }} {{ 'a,b,c'.rsplit(',', 1) }} {{ ' a b c '.rsplit(maxsplit=1) }} {{ ''.split() }} {{ ''.split(',') }} {{ 'a\nb\r\nc'.splitlines() }} {{ 'a\nb\n'.splitlines(true) }}
{{ 'abc'.startswith('a') }} {{ 'abc'.startswith(('x', 'a')) }} {{ 'abc'.endswith('c', 1) }} {{ 'abcabc'.find('c') }} {{ 'abcabc'.rfind('c') }} {{ 'abc'.find('z') }} {{ 'aXbXc'.index('X') }} {{ 'aaa'.count('a') }} {{ 'abc'.replace('b', 'x') }} {{ 'aaa'.replace('a', 'b', 1) }}
{{ 'abc'.upper() }} {{ 'ABC'.lower() }} {{ 'hello world'.title() }} {{ "they're bill's".title() }} {{ 'hELLO'.capitalize() }} {{ 'aBc'.swapcase() }} {{ 'straße'.upper() }} {{ 'straße'.casefold() }} {{ 'ab'.center(6, '*') }} {{ 'ab'.center(5) }}| {{ 'abc'.center(6) }}| {{ 'ab'.ljust(4, '.') }} {{ 'ab'.rjust(4) }} {{ '-5'.zfill(4) }} {{ 'a\tb'.expandtabs(4) }}
{{ 'abc'.isalpha() }} {{ '12'.isdigit() }} {{ 'a1'.isalnum() }} {{ ' '.isspace() }} {{ 'Ab'.istitle() }} {{ 'ab'.islower() }} {{ 'AB'.isupper() }} {{ ''.isalpha() }} {{ '½'.isnumeric() }} {{ 'a b'.isidentifier() }} {{ 'é'.isascii() }} {{ '²'.isdecimal() }} {{ 'a\n'.isprintable() }}
{{ 'a-b-c'.partition('-') }} {{ 'a-b-c'.rpartition('-') }} {{ 'abc'.partition('-') }} {{ 'prefix'.removeprefix('pre') }} {{ 'file.py'.removesuffix('.py') }} {{ ','.join(['a', 'b']) }} {{ ', '.join(words) }} {{ '.'.join('abc') }}
{{ ','.join([1]) }}
{{ 'abc'.index('z') }}
{{ 'abc'.split('') }}
{{ 'abc'.nosuch() }}
{{ 'abc'.upper(1) }}
{{ 'abcdef'[1:3] }} {{ 'abcdef'[:-2] }} {{ 'abcdef'[::2] }} {{ 'abcdef'[::-2] }} {{ [1, 2, 3, 4][1:] }} {{ [1, 2, 3, 4][-2:] }} {{ (1, 2, 3)[:2] }} {{ [1, 2, 3][5:] }} {{ messages[1:]|length }} {{ range(10)[2:4]|list }} {{ 'abc'[1] }} {{ 'abc'[-1] }} {{ 'abc'[9] }}|
{{ mapping[1:2] }}
{{ [1, 2][::0] }}
{{ [1, 2, 2].index(2) }} {{ [1, 2, 2].count(2) }} {{ [1].copy() }} {{ (1, 2).index(2) }} {{ 5 .bit_length() }} {{ (1.5).is_integer() }} {{ {'a': 1}.copy() }} {{ [1].0 }}
{{ words.append('x') }}
{{ mapping.update({'x': 1}) }}
{{ mapping.pop('b') }}
{{ ''.__class__ }}|{{ ''.__class__ is defined }}|{{ [].__class__.__mro__ }}
{{ messages.__proto__ }}|{{ messages.constructor }}|{{ mapping.toString }}|{{ mapping.hasOwnProperty }}|{{ 'a'.length }}|{{ words.length }}|{{ words.map }}|{{ toString }}|{{ constructor }}|{{ __proto__ }}|{{ mapping['__proto__'] }}|{{ mapping['constructor'] }}
{{ mapping.constructor('x') }}
{{ {'__proto__': 1, 'constructor': 2}.constructor }} {{ {'__proto__': 1}['__proto__'] }} {{ {'toString': 3}.toString }} {{ {'__proto__': 1} }}
{{ 1 is odd }} {{ 2 is even }} {{ 9 is divisibleby 3 }} {{ 9 is divisibleby(4) }} {{ none is none }} {{ 1 is number }} {{ 1.0 is float }} {{ 1 is integer }} {{ true is integer }} {{ true is number }} {{ true is boolean }} {{ true is true }} {{ 1 is true }} {{ 'a' is string }} {{ mapping is mapping }} {{ [] is sequence }} {{ 'a' is sequence }} {{ mapping is sequence }} {{ 5 is sequence }} {{ 5 is iterable }} {{ [] is iterable }} {{ none is iterable }}
{{ 'a' is lower }} {{ 'A' is upper }} {{ 1 is eq 1 }} {{ 1 is equalto(2) }} {{ 1 is ne 2 }} {{ 1 is lt 2 }} {{ 2 is ge 2 }} {{ 1 is in [1, 2] }} {{ 1 is not in [1] }} {{ x is not defined }} {{ not x is defined }} {{ 'upper' is filter }} {{ 'zz' is filter }} {{ 'odd' is test }} {{ none is sameas none }} {{ 1 is sameas 1 }} {{ 1 is sameas true }} {{ range is callable }} {{ 1 is callable }} {{ 'a' is escaped }} {{ 1 is defined and 2 is defined }}
{{ namespace(a=1).a }} {{ namespace({'b': 2}).b }} {{ dict(a=1, b=2) }} {{ dict({'a': 1}, b=2) }} {{ dict([('x', 1)]) }} {{ range(5) }} {{ range(1, 10, 3)|list }} {{ range(5, 0, -2)|list }} {{ range(3)[1] }} {{ 2 in range(3) }} {{ range(0)|list }} {{ range(3)|length }}
{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{% set j = joiner('; ') %}{% for x in [1, 2] %}{{ j() }}{{ x }}{% endfor %}
{{ range(1000000) }}
{{ range(1.5) }}
{{ {'a': 1, 'a': 2} }} {{ {1: 'x', 1.0: 'y', true: 'z'} }} {{ {none: 1}[none] }} {{ {(1, 2): 3}[(1, 2)] }} {{ {'a': 1} == {'a': 1.0} }} {{ [1, [2]] == [1, [2]] }} {{ (1, 2) == [1, 2] }}
{{ {[]: 1} }}
{{ [1, 2, 3,] }} {{ {'a': 1,} }} {{ words[n - 6] }} {{ mapping['a'][0] }} {{ {'a': {'b': [10, 20]}}.a.b[1] }} {{ [[1, 2], [3]][0][1] }} {{ (words|first)[0] }} {{ (words|map('length')|list)[1] }}
{{ "a" ~ "b" | upper }} {{ ("a" ~ "b") | upper }} {{ -1 | abs }} {{ 'a' 'b' | upper }} {{ not 0 | default(1) }} {{ (2 * 3 ~ 4) + '5' }} {{ 1 ~ 2 == '12' }} {{ 10 - 2 - 3 }} {{ 2 + 3 * 4 }} {{ (2 + 3) * 4 }} {{ 100 // 7 % 5 }}
{{ f(*[1, 2], **{'c': 3}) if false }} {% macro f(a, b, c) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ f(*[1, 2], **{'c': 3}) }} {{ f(1, *[2, 3]) }}
{%- set x = [1, 2, 3] -%}{{ x[0] }}{{ x[-1] }}{{ x|length }}{%- if x %} yes{% else %} no{% endif %}{% if not empty %} empty{% endif %}{% if n is defined and n > 5 and n < 10 %} ok{% elif n == 5 %} five{% else %} other{% endif %}
{% for message in messages %}{% if loop.first and message['role'] != 'system' %}no{% endif %}{{ bos_token if loop.first }}{{ '[' + message['role'] + ']' }}{% if message['content'] is string %}{{ message['content'] | trim }}{% elif message['content'] is none %}-{% else %}{% for p in message['content'] %}{% if p['type'] == 'text' %}{{ p['text'] }}{% else %}<{{ p.type }}>{% endif %}{% endfor %}{% endif %}{% endfor %}{% if add_generation_prompt %}>{% endif %}
{% for m in messages if m.tool_calls is defined and m.tool_calls %}{% for c in m.tool_calls %}{{ c.function.name }}({% for k, v in c.function.arguments|items %}{{ k }}={{ v|tojson }}{{ ', ' if not loop.last }}{% endfor %}){{ c.id }}{{ c.function.arguments is mapping }}{{ c.function.arguments }}{% endfor %}{% endfor %}
{% set loop_messages = messages[1:] if messages[0].role == 'system' else messages %}{{ loop_messages|length }}{% for m in loop_messages %}{{ (m['role'] == 'user') != (loop.index0 % 2 == 0) }}{% endfor %}
{% for m in messages[::-1] %}{% set index = (messages|length - 1) - loop.index0 %}{{ index }}{{ m.role }} {% endfor %}{{ messages[messages|length - 1].role }}{{ (messages|last).role }}
{{ {'a': none}.a }} {{ {'a': none}.a is none }} {{ {'a': none}.get('a', 1) }} {{ namespace(a=none).a is none }} {{ [none][0] is none }} {{ messages[1].name is none }} {{ messages[2].content or 'x' }} {{ {'a': false}.a is defined }} {{ 'content' in messages[2] }}
{{ words|map('first')|join }} {{ words|map('length')|sum }}
{{ [[1, 2], [3]]|sum(start=[]) }} {{ ['x']|list|tojson }} {{ [1, 2]|map('string')|join(',') }} {{ ['1', '2']|map('int')|sum }} {{ [{'a': 1}]|map(attribute='a')|max }} {{ 'b,a'.split(',')|sort|join(',') }}
{{ words|map('upper') is iterable }} {{ (words|map('upper')|list).0 }} {{ words|select('in', ['Alpha'])|first }} {% set it = words|map('upper') %}{{ it|first }}{{ it|list|length }}
{{ 'a'.join(words)[:3] }}{{ words[0][0]|upper }}{{ words[0][1:] }} {{ 'x'.__len__ }}| {{ '' is none }} {{ 'abc' is eq('abc') }}
{{ 'z' > 'é' }} {{ '😀' > '￿' }} {{ ['b', 'a', '😀', '￿']|sort }} {{ 'İ'|lower|length }} {{ 'ǆ'|title }} {{ 'ß'|capitalize }} {{ 'ΑΣ'|lower }}
{{ -0.0 }} {{ 1.0|string }} {{ 100.0 }} {{ 1e16 }} {{ 123456789012345680.0 }} {{ 1e15 }} {{ 0.0001 }} {{ 0.00001 }} {{ 1.5e300 * 1e10 }} {{ 3.0 == 3 }} {{ 5.0 // 2 }} {{ 2 ** 0.5 }} {{ 4 ** 0.5 }}
{{ [] }}{{ '' }}{{ 0 }}{{ 0.0 }}{% if [] or '' or 0 or 0.0 or none or {} or () %}x{% else %}all false{% endif %}{% if range(0) %}x{% else %} empty range{% endif %}{% if ' ' %} space{% endif %}
{{ n.real }} {{ half.real }} {{ true.real }} {{ n.numerator }} {{ 'a' * 0 }}| {{ 'a' * -1 }}| {{ [1] * 0 }} {{ true + true }} {{ not true }} {{ +true }} {{ -true }}
{% if (messages[0].content) %}a{% endif %}{% if ((n)) == (7) %}b{% endif %}{{ (((1))) }}{{ ((1, 2), 3) }}
{{ loop }}|{% for x in [1] %}{{ loop }}{% endfor %}
{{ strftime_now is callable }} {{ strftime_now('%%') }} {{ strftime_now('%Y')|length }}
{%for x in[1,2]%}{{x}}{%endfor%}{%if n==7%}y{%endif%}{{n}}{{'a'if n else'b'}}
{% set x = {"a": {"b": "}}"}} %}{{ x.a.b }}{{ "%}" }}{{ '{{' }}{{ "{#" }}
{{ 'a\
b' }}
{% generation %}x{{ n }}{% set inside = 1 %}{% endgeneration %}{{ inside }}
{{ 1if 1else 2 }} {{ 1.5.real }} {{ 1..real }}
{% call nothing %}{% endcall %}
{% set true = 1 %}
{{ words is sameas words }} {{ [] is sameas [] }} {{ 'a' is sameas 'a' }}
{% for x in [1, 2, 3] %}{% if loop.index is divisibleby 2 %}{{ x }}{% endif %}{% endfor %}{% for c in 'ab' -%} {{ c }} {%- endfor %}
{{ (1, 2) + [3] }}
{{ [3] + (1, 2) }}
{{ {} + {} }}
{{ 'abc' - 'a' }}
{{ -'a' }}
{{ [1, 'a']|sort }}
{{ mapping|sort }}|{{ mapping|first }}|{{ mapping|last }}|{{ mapping|join(',') }}
{{ 5|length }}
{{ none|length }}
{{ none|list }}
{{ 5|join }}
{{ words|join(none) }}|{{ words|join(1) }}
{{ [1, 2]|first(1) }}
{{ 'a'|replace('a') }}
{{ mapping.items()[0] }}
{% if false %}{{ 1 / 0 }}{{ x.y.z }}{% endif %}{{ 'ok' }}
{{ words|map(attribute='0')|list }} {{ [[1, 2], [3, 4]]|map('last')|list }} {{ [{'a': 'x'}, {}]|map(attribute='a')|list }} {{ [3, none]|map('default', 1)|list }} {{ ['a']|map('tojson')|join }} {{ [' a ']|map('trim')|first }}
{{ pairs|selectattr('o.z', 'lessthan', 3)|map(attribute='o')|list }} {{ messages|selectattr('role', 'ne', 'user')|map(attribute='role')|unique|join(' ') }} {{ messages|rejectattr('tool_calls')|list|count }} {{ messages|rejectattr('content', 'none')|list|length }} {{ messages|selectattr('content', 'string')|list|length }}
{% set ns = namespace(found=false, n=0) %}{% for m in messages %}{% if m.role == 'tool' and not ns.found %}{% set ns.found = true %}{% set ns.n = loop.index0 %}{% endif %}{% endfor %}{{ ns.found }}{{ ns.n }}
{% set content = messages[1].content %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1].lstrip('\n') %}{% endif %}{{ content }}{{ '<think>a</think>\n\nb'.split('</think>')[-1].lstrip('\n') }}{{ '<think>a</think>b'.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') }}
{% macro render(m, last=false) -%}{{ '<|' ~ m.role ~ '|>' }}{%- if m.content is string %}{{ m.content }}{% endif -%}{{ '<|end|>' if not last }}{%- endmacro %}{% for m in messages %}{{ render(m, last=loop.last) }}{% endfor %}
{{ messages|map(attribute='role')|join(' ') }} {{ (messages|map(attribute='role')|list)[-1] }} {{ messages|length > 3 and messages[0].role == 'system' }} {{ messages[0].role ~ ':' ~ messages[0].content|trim ~ '!' }}
{{ {'type': 'object', 'n': 1.0, 'list': [1, 2.5, 'x']}|tojson }} {{ 3.0|tojson }} {{ 3|tojson }} {{ none|tojson }} {{ 'q'|tojson|tojson }} {{ {'b': {'z': 1, 'a': 2}, 'a': 1}|tojson(sort_keys=true, separators=(',', ':')) }}
{{ [1, 2, 3]|join(', ', attribute=none) }} {{ {'x': 1}.x is defined }} {{ {'x': 1}['x'] + 1 }} {{ {'get': 5}['get'] }} {{ {'keys': 1}['keys'] }} {{ {'k': {'items': 2}}.k['items'] }}
{{ 'abc'|list|last }} {{ 'a b'|replace(' ', '\n') }} {{ 'a\\nb' }} {{ "tab\there" }} {{ 'new\nline' }} {{ 'q\'q' }} {{ "q\"q" }} {{ '\u4e2d' }} {{ '中文😀' }} {{ '中文😀'|upper|reverse }}
{{ 5 is divisibleby 0 }}
{{ 'x' is divisibleby 2 }}
{{ [] is odd }}
{{ 3.5 is odd }} {{ 3.0 is odd }} {{ true is odd }} {{ 'abc' is in 'xabcx' }} {{ 'a' is in mapping }} {{ 1 is not none }} {{ none is not none }} {{ (1 is none) is false }}
{{ range(5)|batch(2)|map('join', '-')|join(' ') }} {{ range(3)|map('string')|list }} {{ range(4)|reverse|list }} {{ range(4)|last }} {{ range(4)|sum }} {{ range(2, 5)|join }} {{ range(3)[::-1]|list }} {{ range(10)[1:8:3]|list }} {{ range(3) == range(0, 3) }}
{{ {'a': [1, {'b': (1, 'x')}]} }} {{ [{'a': 'it\'s'}] }} {{ {'é': '中'} }} {{ [1.0, -0.0, 1e100] }} {{ [undefined_name] }} {{ [range] is iterable }} {{ {1: {2: 3}} }} {{ [true, none, false] }}
{{ words|sort(false, true) }} {{ words|sort|first }} {{ [2, 10, 1]|sort }} {{ ['10', '9', '2']|sort }} {{ [[2, 'a'], [1, 'b']]|sort }} {{ [(1, 2), (1, 1)]|sort }} {{ [1.5, 1, 2]|sort }} {{ [true, false]|sort }} {{ 'hello'|sort|join }} {{ {'b': 1, 'a': 2}|sort }}
{% for row in [1, 2, 3, 4]|batch(2) %}{% for x in row %}{{ x }}{{ loop.last }}{% endfor %}{{ loop.index }};{% endfor %}{% for x in words|map('upper') %}{{ x }}{{ loop.last }}{{ loop.length }} {% endfor %}
{% for m in messages %}{% set is_last = loop.last %}{% for c in 'ab' %}{{ loop.index }}{{ is_last }}{% endfor %}{{ loop.index }} {% endfor %}
{% macro outer() %}{% macro innermost() %}deep{% endmacro %}{{ innermost() }}{% endmacro %}{{ outer() }}{{ innermost is defined }}
{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}later{% endmacro %}{{ a() }}
{% for x in [1, 2] %}{% macro m() %}{{ x }}{% endmacro %}{{ m() }}{% endfor %}
{% macro m() %}{{ loop is defined }}{{ n }}{% set n = 1 %}{{ n }}{% endmacro %}{% for x in [1] %}{{ m() }}{% endfor %}{{ n }}
{{ 'a' if true }}{{ 'b' if false }}{{ ('c' if false) is defined }}{{ ['d' if false else 'e'][0] }}{{ 'f' if false or true else 'g' }}
{{ ('a' if false) + 'b' }}
{{ [1, 2] is sequence and [1, 2] is iterable and [1, 2] is not mapping and [1, 2] is not string }} {{ messages[4].content is sequence }} {{ messages[4].content is string }} {{ messages[4].content[0] is mapping }} {{ messages[0].content is sequence }}
{{ messages[0].content|default('', true)|trim }} {{ (messages[2].content|default('', true))|length }} {{ messages[2].content|default('x')|string }} {{ (messages[2].content or '')|trim|length }}
{{ messages[2].content + 'x' }}
{{ messages[2].content|trim }} {{ messages[2].content|length if messages[2].content else 0 }}
{{ tools[0].function.parameters.properties.items() }} {{ tools[0].function.parameters.properties|items|list }} {{ tools[0]|tojson(indent=4) }} {{ tools|map(attribute='function')|map(attribute='name')|join }} {{ tools|tojson|length }} {{ tools|string|length }} {{ tools[0].function.parameters.required|tojson }}
{{ text|wordcount }} {{ text.split()|length }} {{ text|trim|length }} {{ text|e|trim }} {{ text|title|trim }} {{ text.strip().split(' ', 2) }} {{ text|trim|truncate(15) }}
{{ 1000000|string }} {{ '{:,.2f}'.format(1234567.891) }} {{ '%.2f'|format(3.14159) }} {{ '%5s|%-5s|'|format('a', 'b') }} {{ '{:08.3f}'.format(3.14159) }} {{ '{:>+8.1f}'.format(2.25) }} {{ '{:.0f} {:.0f} {:.0f}'.format(0.5, 1.5, 2.5) }} {{ '%.0f' % 0.5 }} {{ '%.1f' % 0.25 }} {{ '{:.1e}'.format(125000) }} {{ '{:c}'.format(97) }}
{{ mapping.items()|list|first }} {{ mapping.items()|length }} {{ mapping.keys()|list }} {{ 'a' in mapping.keys() }} {{ mapping.values()|first }}
""".strip("\n").replace("\\\nb", "\0").split("\n")

# Templates of several lines: white space around tags, line ends.
LINES = [
    "a\n  {% if true %}\n    b\n  {% endif %}\nc\n",
    "a\n  {%+ if true %}\n    b\n  {%+ endif +%}\nc\n\n",
    "  {% set x = 1 %}  \n{{ x }}\n\n  {{- x }}\n{# c #}\n  {# d #}  e\n",
    "{% for x in [1, 2] %}\n  {{ x }}\n{% endfor %}\n\n",
    "{% for x in [1, 2] -%}\n  {{ x }}\n{%- endfor %}\nend",
    "a\r\n{% if true %}\r\nb\r\n{% endif %}\r\nc\r\n",
    "a\r{% if true %}\rb{% endif %}\r\rc\r",
    "{{ 'x\r\ny' }}|{% raw %}\r\n z \r\n{% endraw %}\r\nq",
    "\n\n{% if true %}x{% endif %}\n\n",
    "   {% if true %}x{% endif %}   ",
    "a {% if true %}\n x\n {% endif %} b",
    "x\n\t {#- gone -#} \n y",
    "{{ 1 }}\n{{ 2 }}\n",
    "{{ 1 -}}\n\n {{ 2 }}\n",
    "{% raw -%}\n  {{ x }}\n{%- endraw -%}\n  y",
    "{% raw %}\n  {{ x }}\n  {% endraw %}\n  y",
    "{%- macro f(x) -%}\n  [{{ x }}]\n{%- endmacro -%}\n{{ f(1) }}\n{{ f(2) }}",
    "{% set x -%}\n  body\n{%- endset %}\n<{{ x }}>",
    "a\n    {%- if true %}\n    b\n    {%- endif %}\nc",
    "line\u2028{% if true %}\u2028 x{% endif %}\u00a0\n\u00a0{% if true %}y{% endif %}",
    "",
    "\n",
    "{{ '' }}\n\n\n",
    "{#\n multi\n line #}\n  x {#- a -#}\n\n y",
    "{{\n  1\n  +\n  2\n}}",
    "{% if\n true\n%}yes{% endif\n%}\n\nno",
    "{{ {'a':\n 1} }}{{ [\n1,\n2\n] }}",
    "{% call\n%}",
]


def golden(template):
    try:
        return _compile_jinja_template(template).render(**VARIABLES)
    except Exception:
        return None


def main():
    templates = [t.replace("\0", "\\\nb") for t in TEMPLATES] + LINES
    rows = [[template, golden(template)] for template in templates]
    out = {"made_with": f"transformers {transformers.__version__}, jinja2 {jinja2.__version__}", "variables": VARIABLES, "rows": rows}
    path = Path(__file__).parents[2] / "tests/golden/jinja.json"
    path.write_text(json.dumps(out, ensure_ascii=True, indent=0) + "\n")
    print(len(rows), "templates,", sum(want is None for _, want in rows), "raise")


main()
