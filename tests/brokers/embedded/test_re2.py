"""Regular expressions as RE2/J reads them. All that is expected here was had from RE2/J 1.8."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_msk.brokers.embedded.re2 import Pattern
from pytest_msk.brokers.wire.errors import KafkaError


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("orders", ["orders"], ["order", "orders2", "Orders", ""]),
        ("", [""], ["a"]),
        ("orders|users", ["orders", "users"], ["ordersusers"]),
        ("a|", ["", "a"], ["b"]),
        ("or.*", ["or", "orders", "or-1.2_3"], ["xor"]),
        (r"or\.ders", ["or.ders"], ["orxders"]),
        ("(ab)+", ["ab", "abab"], ["", "aba"]),
        ("a{2}", ["aa"], ["a", "aaa"]),
        ("a{1,2}b", ["ab", "aab"], ["b", "aaab"]),
        ("a{2,}", ["aa", "aaaa"], ["a"]),
        ("a??b", ["b", "ab"], ["aab"]),
        ("a*?", ["", "aa"], ["b"]),
        ("[a-c1]", ["a", "b", "1"], ["d", "2", ""]),
        ("[^a-c]", ["d", "-"], ["a", ""]),
        ("[]a]", ["a"], ["b"]),
        ("[a-]", ["a", "-"], ["b"]),
        ("[-a]", ["a", "-"], ["b"]),
        ("[[:alpha:]_]+", ["aZ_"], ["a1"]),
        ("[[:^digit:]]", ["a", "."], ["0"]),
        (r"\d\D\w\W", ["1a_-"], ["aa_-", "1aa_"]),
        (r"[\d.]+", ["1.2"], ["a"]),
        (r"\pL\p{Nd}\p{^Lu}", ["a1a"], ["11a", "a1A"]),
        (r"\p{Latin}\p{Common}\P{Greek}", ["a-b"], ["--b"]),
        ("(?i)Orders", ["orders", "ORDERS"], ["order"]),
        ("a(?i)b|c", ["ab", "aB", "c", "C"], ["Ab"]),
        ("a(?i:b)c", ["aBc"], ["aBC", "Abc"]),
        ("(?i)a(?-i)b", ["Ab"], ["AB"]),
        ("(a(?i)b)c", ["aBc"], ["abC"]),
        ("(?i)[^a]", ["b"], ["a", "A"]),
        ("(?i)\u212a", ["k", "K"], ["s"]),
        (r"\Qa.b\E*", ["a.", "a.bb"], ["aab"]),
        (r"\Qa.b", ["a.b"], ["a.", "aab"]),
        (r"^a$", ["a"], ["ab"]),
        (r"\Aa\z", ["a"], ["b"]),
        (r"a\b.b", ["a-b"], ["acb"]),
        (r"a\Bb", ["ab"], ["a"]),
        (r"\x61\x{62}\103", ["abC"], ["abc"]),
        ("(?P<name>a)(?<other>b)", ["ab"], ["a"]),
        ("a{,2}", [], ["", "a", "aa"]),
        ("a{01}", [], ["a"]),
        (r"a\-b\_", ["a-b_"], ["ab"]),
        ("a(?i)*", ["", "aaa"], ["A"]),
    ],
)
def test_matches_whole_names(pattern: str, matching: list[str], others: list[str]) -> None:
    found = Pattern(pattern)
    assert [name for name in [*matching, *others] if found.matches(name)] == matching


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("(a", "missing closing )"),
        ("a)", "unexpected )"),
        ("[a", "missing closing ]"),
        ("*a", "missing argument to repetition operator"),
        ("a|*", "missing argument to repetition operator"),
        ("(+)", "missing argument to repetition operator"),
        ("a**", "invalid nested repetition operator"),
        ("a{2}{3}", "invalid nested repetition operator"),
        ("a?+", "invalid nested repetition operator"),
        ("{*", "invalid nested repetition operator"),
        ("a{1001}", "invalid repeat count"),
        ("a{2,1}", "invalid repeat count"),
        ("a{999999999}", "invalid repeat count"),
        ("[b-a]", "invalid character class range"),
        ("[[:foo:]]", "invalid character class range"),
        (r"\p{Foo}", "invalid character class range"),
        (r"\p", "invalid character class range"),
        (r"\p{L", "invalid character class range"),
        (r"(a)\1", "invalid escape sequence"),
        (r"\Z", "invalid escape sequence"),
        (r"\C", "invalid escape sequence"),
        (r"\x{110000}", "invalid escape sequence"),
        (r"\x6", "invalid escape sequence"),
        (r"[\b]", "invalid escape sequence"),
        ("a\\", "trailing backslash at end of expression"),
        ("(?=a)", "invalid or unsupported Perl syntax"),
        ("(?!a)", "invalid or unsupported Perl syntax"),
        ("(?>a)", "invalid or unsupported Perl syntax"),
        ("(?#a)", "invalid or unsupported Perl syntax"),
        ("(?i-)", "invalid or unsupported Perl syntax"),
        ("(?x)a", "invalid or unsupported Perl syntax"),
        ("(?P=a)", "invalid or unsupported Perl syntax"),
        ("(?<=a)", "invalid named capture"),
        ("(?P<a.b>a)", "invalid named capture"),
        ("(?P<n>a)(?P<n>b)", "duplicate capture group name"),
        ("(" * 101 + ")" * 101, "groups nested deeper than 100"),
    ],
)
def test_refuses_what_re2_does_not_know(pattern: str, problem: str) -> None:
    with pytest.raises(KafkaError) as refused:
        Pattern(pattern)
    assert refused.value.name == "INVALID_REGULAR_EXPRESSION"
    assert refused.value.message == f"`{pattern}` cannot be read as a regular expression: {problem}."


@pytest.mark.parametrize(
    "pattern", ["(a+)+b", "(a|a)*b", "(a?){1000}b", "((a{0,1000}){1000}){1000}b", "(((a*)*)*)*b"]
)
def test_no_pattern_takes_long(pattern: str) -> None:
    began = time.perf_counter()
    assert not Pattern(pattern).matches("a" * 249)
    assert time.perf_counter() - began < 1


@given(st.text(st.sampled_from("ab.-01*+?()[]{}|^$\\,idDwpPLQE:")))
def test_takes_or_refuses_any_pattern(pattern: str) -> None:
    with contextlib.suppress(KafkaError):
        Pattern(pattern).matches("ab.0-1")


def test_other_alphabets_have_lines_and_letters_of_all_kinds() -> None:
    alphabet = frozenset("aé \n")
    assert Pattern(r"\pL\s.", alphabet).matches("é a")
    assert not Pattern("a.a", alphabet).matches("a\na")
    assert Pattern("(?s)a.a", alphabet).matches("a\na")
    assert Pattern("(?m)^a$\n^a$", alphabet).matches("a\na")
    assert not Pattern("a$\n^a", alphabet).matches("a\na")
    assert Pattern("(?i)É", alphabet).matches("é")
    with pytest.raises(KafkaError, match="beyond ASCII"):
        Pattern(r"\p{Latin}", alphabet)
