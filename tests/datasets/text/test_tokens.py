"""Text as tokens: which words a text has, which tokens a word, and how texts of several classes become one tensor."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from metalstm.datasets.text.tokens import TokenSettings, Vocabulary, encode, ngrams, rarity, words

CARD, PIN = ["my", "card", "is", "lost"], ["lost", "my", "card", "pin"]
PLAIN = TokenSettings(subwords=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What's my PIN?", ["what's", "my", "pin"]),
        ("say 'good morning', in french", ["say", "good", "morning", "in", "french"]),
        ("'i don't know'", ["i", "don't", "know"]),
        ("don\N{RIGHT SINGLE QUOTATION MARK}t", ["don't"]),
        ("$20,000 at 5:30pm", ["20", "000", "at", "5", "30pm"]),
        ("to-do_list/now", ["to", "do", "list", "now"]),
        ("cafe\N{COMBINING ACUTE ACCENT} caf\N{LATIN SMALL LETTER E WITH ACUTE}", ["café", "café"]),
        ("  \t\n ?! ' '' _ ", []),
        ("y'all o'er 2.5", ["y'all", "o'er", "2", "5"]),
        (
            "\u0939\u093f\u0928\u094d\u0926\u0940 \u0939\u0940\u0928",
            ["\u0939\u093f\u0928\u094d\u0926\u0940", "\u0939\u0940\u0928"],
        ),  # Hindi
        (
            "\u0643\u064e\u062a\u064e\u0628 \u0643\u064f\u062a\u0650\u0628",
            ["\u0643\u064e\u062a\u064e\u0628", "\u0643\u064f\u062a\u0650\u0628"],
        ),  # Arabic
        ("\u6211\u559c\u6b22\u732b\u3002", list("\u6211\u559c\u6b22\u732b")),
        ("\u30ab\u30fc\u306f AI2", ["\u30ab", "\u30fc", "\u306f", "ai2"]),
        ("\u0e17\u0e35\u0e48\u0e19\u0e35\u0e48", ["\u0e17\u0e35\u0e48", "\u0e19\u0e35\u0e48"]),  # Thai
        ('\u05e6\u05d4"\u05dc "x"', ['\u05e6\u05d4"\u05dc', "x"]),  # Hebrew
        ("paral\u00b7lel WALL\u00b7E", ["paral\u00b7lel", "wall", "e"]),
        ("ok\U0001f600\U0001f600 \u2764\ufe0f\u2764 \u00a9", ["ok", *("\U0001f600",) * 2, *("\u2764",) * 2]),
        (
            "\U0001f468\u200d\U0001f469\u200d\U0001f467\U0001f1e9\U0001f1ea",
            ["\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea"],
        ),
        ("\ud800 x", ["x"]),  # half a pair, which JSON can hold and UTF-8 cannot
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("a", ["<a>"]),
        ("to", ["<to", "to>", "<to>"]),
        ("card", ["<ca", "car", "ard", "rd>", "<car", "card", "ard>", "<card", "card>"]),
        ("aaaa", ["<aa", "aaa", "aa>", "<aaa", "aaaa", "aaa>", "<aaaa", "aaaa>"]),  # aaa once
    ],
)
def test_ngrams(word: str, expected: list[str]) -> None:
    assert ngrams(word) == expected


def test_words_that_are_common_enough_have_tokens_of_their_own_by_alphabet() -> None:
    assert Vocabulary([CARD, PIN], TokenSettings(min_count=2)).words == {"card": 1, "lost": 2, "my": 3}
    assert Vocabulary([PIN, CARD], TokenSettings(min_count=1)).words == {
        **{"card": 1, "is": 2, "lost": 3, "my": 4, "pin": 5}
    }
    assert Vocabulary([CARD, PIN, ["pin"] * 5], TokenSettings(min_count=3)).words == {"pin": 1}


def test_a_known_word_has_its_own_token_and_those_of_its_ngrams() -> None:
    vocabulary = Vocabulary([CARD, PIN], TokenSettings(ngram_buckets=1000, ngrams_per_word=12))
    own, *parts = vocabulary.tokens("card")
    assert own == 1
    assert len(parts) == 9
    assert all(4 <= token < 1004 for token in parts)
    assert len(set(parts)) > 7  # a few may share a bucket
    assert (vocabulary.size, vocabulary.width) == (1004, 13)


def test_an_unknown_word_has_the_tokens_of_its_ngrams_alone() -> None:
    vocabulary = Vocabulary([CARD, PIN], TokenSettings(ngram_buckets=100_000, ngrams_per_word=20))
    known, unknown = vocabulary.tokens("card"), vocabulary.tokens("cards")
    assert min(unknown) > 3
    shared = {known[1 + ngrams("card").index(part)] for part in ("<ca", "car", "ard", "<car", "card", "<card")}
    assert set(known) & set(unknown) == shared  # it says that it is nearly the same
    assert not set(known) & set(vocabulary.tokens("money"))


@pytest.mark.parametrize("subwords", [True, False])
def test_a_tag_has_a_token_of_its_own_however_rare_and_no_ngrams(subwords: bool) -> None:
    settings = TokenSettings(min_count=2, subwords=subwords)
    vocabulary = Vocabulary([["genre War", *CARD], ["war", *PIN], ["war"]], settings)
    assert vocabulary.words == {"card": 1, "genre War": 2, "lost": 3, "my": 4, "war": 5}
    assert vocabulary.tokens("genre War") == [2]
    assert vocabulary.tokens("war")[0] == 5
    assert vocabulary.tokens("genre Opera") == []
    examples, _, lengths = encode([[["genre Opera", "war"]]], vocabulary)
    assert lengths.tolist() == [[2]]
    assert examples[0, 0, :, 0].tolist() == [0, 5]


def test_no_words_are_known_by_none() -> None:
    assert Vocabulary([CARD], PLAIN).share_unknown([[], []]) == 0


def test_no_more_ngrams_than_asked_for_and_shorter_ones_first() -> None:
    vocabulary = Vocabulary([CARD, PIN], TokenSettings(ngrams_per_word=4, ngram_buckets=100_000))
    more = Vocabulary([CARD, PIN], TokenSettings(ngrams_per_word=60, ngram_buckets=100_000))
    for word in ("card", "reservation"):
        assert vocabulary.tokens(word) == more.tokens(word)[: len(vocabulary.tokens(word))]
    assert len(vocabulary.tokens("card")) == vocabulary.width == 5
    assert len(vocabulary.tokens("reservation")) == 4
    assert len(more.tokens("reservation")) == 30


def test_without_subwords_unknown_words_share_a_token() -> None:
    vocabulary = Vocabulary([CARD, PIN], PLAIN)
    assert [vocabulary.tokens(word) for word in ("card", "my", "pin", "money")] == [[1], [3], [4], [4]]
    assert (vocabulary.size, vocabulary.width) == (5, 1)


def test_share_of_unknown_words() -> None:
    assert Vocabulary([CARD, PIN], PLAIN).share_unknown([CARD, ["pin", "pin"]]) == pytest.approx(3 / 6)


def test_tokens_are_the_same_in_every_process() -> None:
    vocabulary = Vocabulary([["my", "lost", "card"]] * 2, TokenSettings(ngrams_per_word=12))
    found = vocabulary.tokens("card") + vocabulary.tokens("caf\N{LATIN SMALL LETTER E WITH ACUTE}")
    # CRC-32 of UTF-8: of <ca, afé and <caf.
    expected = {
        0: 1,
        1: 4 + 0xA655AC4C % 4096,
        10: 4 + 0xA655AC4C % 4096,
        12: 4 + 0xA1596729 % 4096,
        14: 4 + 0x091F73F7 % 4096,
    }
    assert {place: found[place] for place in expected} == expected
    program = (
        "from metalstm.datasets.text.tokens import TokenSettings, Vocabulary\n"
        "vocabulary = Vocabulary([['my', 'lost', 'card']] * 2, TokenSettings(ngrams_per_word=12))\n"
        "print(*vocabulary.tokens('card'), *vocabulary.tokens('caf\\xe9'))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    ended = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert [int(token) for token in ended.stdout.split()] == found


def test_encoded_texts() -> None:
    vocabulary = Vocabulary([CARD, PIN], TokenSettings(ngrams_per_word=3))
    classes = [[CARD, ["pin"], PIN], [["card", "money"]]]
    examples, counts, lengths = encode(classes, vocabulary)
    assert examples.shape == (2, 3, 4, 4)
    assert {examples.dtype, counts.dtype, lengths.dtype} == {torch.int64}
    assert counts.tolist() == [3, 1]
    assert lengths.tolist() == [[4, 1, 4], [2, 1, 1]]
    for c, texts in enumerate(classes):
        for e in range(3):
            text = texts[e] if e < len(texts) else []
            for s in range(4):
                tokens = vocabulary.tokens(text[s]) if s < len(text) else []
                assert examples[c, e, s].tolist() == tokens + [0] * (4 - len(tokens))
    assert int(examples.max()) < vocabulary.size


def test_rarity() -> None:
    """ln((1 + N) / (1 + n)) + 1, by texts that have a token and not by how often they have it."""
    tokens = torch.tensor([[[[1, 1], [2, 0]], [[1, 3], [1, 0]]], [[[1, 0], [0, 0]], [[4, 4], [4, 4]]]])
    found = rarity(tokens, torch.tensor([2, 1]), 6)  # of the last text nothing is read
    want = torch.tensor([(4 / (1 + n)) for n in (3, 1, 1, 0, 0)]).log() + 1
    torch.testing.assert_close(found[1:], want / want.mean())
    everything = rarity(tokens, None, 6)
    assert everything[4] < found[4]
