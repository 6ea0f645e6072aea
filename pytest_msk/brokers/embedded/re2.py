"""Regular expressions in RE2's syntax, as the brokers read them with RE2/J (KIP-848, KIP-1152).

Not by way of Python's `re`: it reads much of that syntax in another way, and a pattern that makes it
backtrack for hours would stop every broker of the process. What is here follows all ways through a
pattern at once, as RE2 does. Sets of characters are made of those alone that the texts can have.
"""

from __future__ import annotations

import functools
import itertools
import string
import unicodedata
from collections.abc import Callable, Sequence

from pytest_msk.brokers.wire.errors import KafkaError

TOPIC_NAME_CHARACTERS = frozenset(string.ascii_letters + string.digits + "._-")
"""What the names of topics are made of."""

_WORD = frozenset(string.ascii_letters + string.digits + "_")
_LINE_END = frozenset("\n")
_MOST_REPEATS = 1000
_LONGEST_NUMBER = 8
_DEEPEST_NESTING = 100
_LAST_CHARACTER = 0x10FFFF

_PERL = {"d": frozenset(string.digits), "s": frozenset("\t\n\f\r "), "w": _WORD}
_ASCII = frozenset(map(chr, range(128)))
_PRINTABLE = frozenset(map(chr, range(32, 127)))
_POSIX = {
    "alnum": frozenset(string.ascii_letters + string.digits),
    "alpha": frozenset(string.ascii_letters),
    "ascii": _ASCII,
    "blank": frozenset("\t "),
    "cntrl": _ASCII - _PRINTABLE,
    "digit": frozenset(string.digits),
    "graph": _PRINTABLE - {" "},
    "lower": frozenset(string.ascii_lowercase),
    "print": _PRINTABLE,
    "punct": frozenset(string.punctuation),
    "space": frozenset(string.whitespace),
    "upper": frozenset(string.ascii_uppercase),
    "word": _WORD,
    "xdigit": frozenset(string.hexdigits),
}
_CATEGORIES = (
    "C Cc Cf Co Cs L Ll Lm Lo Lt Lu M Mc Me Mn N Nd Nl No P Pc Pd Pe Pf Pi Po Ps S Sc Sk Sm So Z Zl Zp Zs"
)
# Of these only Latin and Common have ASCII characters.
_SCRIPTS = (
    "Arabic Armenian Avestan Balinese Bamum Batak Bengali Bopomofo Brahmi Braille Buginese Buhid "
    "Canadian_Aboriginal Carian Cham Cherokee Common Coptic Cuneiform Cypriot Cyrillic Deseret "
    "Devanagari Egyptian_Hieroglyphs Ethiopic Georgian Glagolitic Gothic Greek Gujarati Gurmukhi Han "
    "Hangul Hanunoo Hebrew Hiragana Imperial_Aramaic Inherited Inscriptional_Pahlavi "
    "Inscriptional_Parthian Javanese Kaithi Kannada Katakana Kayah_Li Kharoshthi Khmer Lao Latin Lepcha "
    "Limbu Linear_B Lisu Lycian Lydian Malayalam Mandaic Meetei_Mayek Mongolian Myanmar New_Tai_Lue Nko "
    "Ogham Ol_Chiki Old_Italic Old_Persian Old_South_Arabian Old_Turkic Oriya Osmanya Phags_Pa "
    "Phoenician Rejang Runic Samaritan Saurashtra Shavian Sinhala Sundanese Syloti_Nagri Syriac Tagalog "
    "Tagbanwa Tai_Le Tai_Tham Tai_Viet Tamil Telugu Thaana Thai Tibetan Tifinagh Ugaritic Unknown Vai "
    "Yi"
)
_REPEATS: Sequence[tuple[str, int, int | None]] = (("*", 0, None), ("+", 1, None), ("?", 0, 1))
_ESCAPES = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
# The two characters beyond ASCII that are letters of it in another case.
_ODD_CASES = {"K": "\u212a", "S": "\u017f"}


class Pattern:
    """A regular expression that has to match a text as a whole.

    Args:
        pattern: the expression.
        alphabet: the characters that the texts can have.

    Raises:
        KafkaError: ``INVALID_REGULAR_EXPRESSION``; says why.
    """

    def __init__(self, pattern: str, alphabet: frozenset[str] = TOPIC_NAME_CHARACTERS) -> None:
        try:
            self._step = _Parser(pattern, alphabet).parse()
        except _Refused as refused:
            raise KafkaError(
                "INVALID_REGULAR_EXPRESSION",
                f"`{pattern}` cannot be read as a regular expression: {refused}.",
            ) from None

    def matches(self, text: str) -> bool:
        """Whether all of a text is what the expression describes."""
        subject = _Subject(text)
        return bool(self._step(subject, 1) & subject.end)


class _Refused(Exception):  # noqa: N818  # it is caught here
    """The pattern is no regular expression."""


class _Subject:
    """A text that is looked at. Sets of places in it are bits of a number: bit n is before character n."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.end = 1 << len(text)
        self._known: dict[frozenset[str], int] = {}

    def where(self, characters: frozenset[str]) -> int:
        """The places that one of these characters follows."""
        if characters not in self._known:
            self._known[characters] = sum(
                1 << place for place, character in enumerate(self.text) if character in characters
            )
        return self._known[characters]

    @functools.cached_property
    def word_boundaries(self) -> int:
        words = self.where(_WORD)
        return words ^ words << 1


_Step = Callable[[_Subject, int], int]
"""From the places where a part of the pattern may begin to those where it may end."""


def _one_of(characters: frozenset[str]) -> _Step:
    return lambda subject, places: (places & subject.where(characters)) << 1


def _sequence(steps: Sequence[_Step]) -> _Step:
    def go(subject: _Subject, places: int) -> int:
        for step in steps:
            places = step(subject, places)
        return places

    return go


def _either(steps: Sequence[_Step]) -> _Step:
    def go(subject: _Subject, places: int) -> int:
        reached = 0
        for step in steps:
            reached |= step(subject, places)
        return reached

    return steps[0] if len(steps) == 1 else go


def _repeated(step: _Step, least: int, most: int | None) -> _Step:
    def go(subject: _Subject, places: int) -> int:
        for _ in range(least):
            before, places = places, step(subject, places)
            if places == before:
                break
        reached = new = places
        for _ in itertools.count() if most is None else range(most - least):
            if not new:
                break
            new = step(subject, new) & ~reached
            reached |= new
        return reached

    return go


def _at_start(_: _Subject, places: int) -> int:
    return places & 1


def _at_end(subject: _Subject, places: int) -> int:
    return places & subject.end


def _at_line_start(subject: _Subject, places: int) -> int:
    return places & (1 | subject.where(_LINE_END) << 1)


def _at_line_end(subject: _Subject, places: int) -> int:
    return places & (subject.end | subject.where(_LINE_END))


def _at_word_boundary(subject: _Subject, places: int) -> int:
    return places & subject.word_boundaries


def _within_or_outside_words(subject: _Subject, places: int) -> int:
    return places & ~subject.word_boundaries


_ASSERTIONS: dict[str, _Step] = {
    "A": _at_start,
    "z": _at_end,
    "b": _at_word_boundary,
    "B": _within_or_outside_words,
}


class _Parser:
    """Reads a pattern as RE2/J's parser does, errors included."""

    def __init__(self, pattern: str, alphabet: frozenset[str]) -> None:
        self._pattern = pattern
        self._alphabet = alphabet
        self._at = 0
        self._depth = 0
        self._flags = frozenset[str]()
        self._names: set[str] = set()

    def parse(self) -> _Step:
        step = self._alternatives()
        if self._more():
            raise _Refused("unexpected )")
        return step

    def _more(self) -> bool:
        return self._at < len(self._pattern)

    def _ahead(self, text: str) -> bool:
        return self._pattern.startswith(text, self._at)

    def _take(self, text: str) -> bool:
        if self._ahead(text):
            self._at += len(text)
            return True
        return False

    def _pop(self, problem: str) -> str:
        if not self._more():
            raise _Refused(problem)
        self._at += 1
        return self._pattern[self._at - 1]

    def _alternatives(self) -> _Step:
        branches = [self._branch()]
        while self._take("|"):
            branches.append(self._branch())
        return _either(branches)

    def _branch(self) -> _Step:
        steps: list[_Step] = []
        repeated = False
        while self._more() and not self._ahead("|") and not self._ahead(")"):
            repeats = self._repeats()
            if repeats is None:
                repeated = self._ahead("{")  # Even one that stands for itself, as RE2/J has it.
                self._item(steps)
                continue
            if repeated:
                raise _Refused("invalid nested repetition operator")
            if not steps:
                raise _Refused("missing argument to repetition operator")
            self._take("?")  # Whether it is greedy decides what groups capture, not what matches.
            steps[-1] = _repeated(steps[-1], *repeats)
            repeated = True
        return _sequence(steps)

    def _repeats(self) -> tuple[int, int | None] | None:
        """The least and most times that a repetition operator stands for, if there is one."""
        for operator, least, most in _REPEATS:
            if self._take(operator):
                return least, most
        start = self._at
        times = self._braces() if self._take("{") else None
        if times is None:
            self._at = start  # A brace that begins no count stands for itself.
        return times

    def _braces(self) -> tuple[int, int | None] | None:
        least = most = self._number()
        unlimited = self._take(",}")
        if self._take(","):
            most = self._number()
        if least is None or most is None or not (unlimited or self._take("}")):
            return None
        if unlimited:
            most = None
        if least > _MOST_REPEATS or (most is not None and not least <= most <= _MOST_REPEATS):
            raise _Refused("invalid repeat count")
        return least, most

    def _number(self) -> int | None:
        start = self._at
        while self._more() and self._pattern[self._at] in string.digits:
            self._at += 1
        digits = self._pattern[start : self._at]
        if not digits or (len(digits) > 1 and digits[0] == "0"):
            return None
        return int(digits) if len(digits) <= _LONGEST_NUMBER else _MOST_REPEATS + 1

    def _item(self, steps: list[_Step]) -> None:
        if self._take("(?"):
            self._perl_group(steps)
        elif self._take("("):
            steps.append(self._group(self._flags))
        elif self._take("["):
            steps.append(_one_of(self._set()))
        elif self._take("."):
            steps.append(_one_of(self._alphabet if "s" in self._flags else self._alphabet - {"\n"}))
        elif self._take("^"):
            steps.append(_at_line_start if "m" in self._flags else _at_start)
        elif self._take("$"):
            steps.append(_at_line_end if "m" in self._flags else _at_end)
        elif self._take("\\Q"):
            quoted, _, _ = self._pattern[self._at :].partition("\\E")
            self._at += len(quoted) + len("\\E")
            steps.extend(self._literal(character) for character in quoted)
        elif self._ahead("\\"):
            steps.append(self._escaped())
        else:
            steps.append(self._literal(self._pop("")))

    def _literal(self, character: str) -> _Step:
        return _one_of(self._range(character, character))

    def _escaped(self) -> _Step:
        assertion = _ASSERTIONS.get(self._pattern[self._at + 1 : self._at + 2])
        if assertion is not None:
            self._at += 2
            return assertion
        found = self._class_escape()
        return self._literal(self._character_escape()) if found is None else _one_of(found)

    def _perl_group(self, steps: list[_Step]) -> None:
        """What follows ``(?``: a named group, flags, or a group with flags."""
        if self._take("P<") or self._take("<"):
            self._name()
            steps.append(self._group(self._flags))
            return
        flags, on, seen = self._flags, True, True
        while True:
            flag = self._pop("invalid or unsupported Perl syntax")
            if flag in "imsU":
                flags = flags | {flag} if on else flags - {flag}
                seen = True
            elif flag == "-" and on:
                on = seen = False
            elif flag in ":)" and seen:
                break
            else:
                raise _Refused("invalid or unsupported Perl syntax")
        if flag == ":":
            steps.append(self._group(flags))
        else:
            self._flags = flags

    def _name(self) -> None:
        name, closing, _ = self._pattern[self._at :].partition(">")
        if not closing or not name or not _WORD.issuperset(name):
            raise _Refused("invalid named capture")
        if name in self._names:
            raise _Refused("duplicate capture group name")
        self._names.add(name)
        self._at += len(name) + 1

    def _group(self, flags: frozenset[str]) -> _Step:
        """The rest of a group; flags that change in it go back to what they were before it."""
        self._depth += 1
        if self._depth > _DEEPEST_NESTING:
            raise _Refused(f"groups nested deeper than {_DEEPEST_NESTING}")
        outside, self._flags = self._flags, flags
        step = self._alternatives()
        if not self._take(")"):
            raise _Refused("missing closing )")
        self._flags = outside
        self._depth -= 1
        return step

    def _set(self) -> frozenset[str]:
        """The rest of a set in brackets."""
        negated = self._take("^")
        found = frozenset[str]()
        first = True
        while first or not self._take("]"):
            first = False
            named = self._posix_class()
            if named is None:
                named = self._class_escape()
            found |= self._set_range() if named is None else named
        return self._alphabet - found if negated else found

    def _set_range(self) -> frozenset[str]:
        low = high = self._set_character()
        if self._ahead("-") and not self._ahead("-]"):
            self._at += 1
            high = self._set_character()
            if high < low:
                raise _Refused("invalid character class range")
        return self._range(low, high)

    def _set_character(self) -> str:
        return self._character_escape() if self._ahead("\\") else self._pop("missing closing ]")

    def _range(self, low: str, high: str) -> frozenset[str]:
        return self._those(lambda character: low <= character <= high)

    def _those(self, wanted: Callable[[str], bool]) -> frozenset[str]:
        """The characters that are wanted, in this or (under ``(?i)``) in the other case."""
        if "i" not in self._flags:
            return frozenset(filter(wanted, self._alphabet))
        return frozenset(character for character in self._alphabet if any(map(wanted, _cases(character))))

    def _posix_class(self) -> frozenset[str] | None:
        if not self._ahead("[:"):
            return None
        end = self._pattern.find(":]", self._at)
        if end < 0:
            return None
        name = self._pattern[self._at + 2 : end]
        found = _POSIX.get(name.removeprefix("^"))
        if found is None:
            raise _Refused("invalid character class range")
        self._at = end + 2
        return self._signed(found.__contains__, negated=name.startswith("^"))

    def _class_escape(self) -> frozenset[str] | None:
        """The set that a backslash and a letter stand for, if they stand for one."""
        letter = self._pattern[self._at + 1 : self._at + 2] if self._ahead("\\") else ""
        if letter and letter in "pP":
            self._at += 2
            return self._unicode_class(negated=letter == "P")
        found = _PERL.get(letter.lower())
        if found is None:
            return None
        self._at += 2
        return self._signed(found.__contains__, negated=letter.isupper())

    def _unicode_class(self, *, negated: bool) -> frozenset[str]:
        name = self._pop("invalid character class range")
        if name == "{":
            name, closing, _ = self._pattern[self._at :].partition("}")
            if not closing:
                raise _Refused("invalid character class range")
            self._at += len(name) + 1
        if name.startswith("^"):
            negated, name = not negated, name[1:]
        return self._signed(self._unicode(name), negated=negated)

    def _unicode(self, name: str) -> Callable[[str], bool]:
        """What tells whether a character is of a Unicode category or script."""
        if name == "Any":
            return lambda _: True
        if name in _CATEGORIES.split():
            return lambda character: unicodedata.category(character).startswith(name)
        if name not in _SCRIPTS.split():
            raise _Refused("invalid character class range")
        if not _ASCII.issuperset(self._alphabet):
            raise _Refused("scripts of characters beyond ASCII are not known here")
        return lambda character: name == ("Latin" if character.isalpha() else "Common")

    def _signed(self, wanted: Callable[[str], bool], *, negated: bool) -> frozenset[str]:
        found = self._those(wanted)
        return self._alphabet - found if negated else found

    def _character_escape(self) -> str:
        """The character that a backslash and what follows it stand for."""
        self._at += 1
        letter = self._pop("trailing backslash at end of expression")
        if letter in _ESCAPES:
            return _ESCAPES[letter]
        if letter == "x":
            return self._hexadecimal()
        if letter == "0" or (
            letter in "1234567" and self._more() and self._pattern[self._at] in string.octdigits
        ):
            digits = letter
            while len(digits) < 3 and self._more() and self._pattern[self._at] in string.octdigits:  # noqa: PLR2004
                digits += self._pop("")
            return chr(int(digits, 8))
        if letter.isascii() and letter.isalnum():
            raise _Refused("invalid escape sequence")
        return letter

    def _hexadecimal(self) -> str:
        if self._take("{"):
            digits, closing, _ = self._pattern[self._at :].partition("}")
            self._at += len(digits) + len(closing)
        else:
            digits, closing = self._pattern[self._at : self._at + 2], "yes"
            self._at += 2
            if len(digits) < 2:  # noqa: PLR2004
                raise _Refused("invalid escape sequence")
        if not closing or not digits or not set(digits) <= set(string.hexdigits):
            raise _Refused("invalid escape sequence")
        code = int(digits, 16)
        if code > _LAST_CHARACTER:
            raise _Refused("invalid escape sequence")
        return chr(code)


def _cases(character: str) -> set[str]:
    lower, upper = character.lower(), character.upper()
    cases = {character, lower, upper, lower.upper(), upper.lower(), _ODD_CASES.get(upper, character)}
    return {case for case in cases if len(case) == 1}
