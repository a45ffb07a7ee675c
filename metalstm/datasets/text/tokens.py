"""Text as tokens: words, a vocabulary, and the hashed character n-grams of words that are not in it.

Legend: V tokens that there are, K tokens of a step, C classes, E examples of the largest class, S steps of the longest
example.
"""

from __future__ import annotations

import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import NamedTuple

import regex
import torch
from torch import Tensor

from metalstm.errors import ConfigError

Text = Sequence[str]  # the words of one example

# Unicode's word boundaries (UAX 29), by the properties that define them. Three things differ: words part at a full
# stop, a comma, a colon and a low line, as they did before; a middle dot joins only the Catalan l·l; and a script
# without spaces is cut into characters (grapheme clusters).
MARKS = r"[\p{M}\p{Join_Control}]"  # of the letter before them: accents, vowel signs, viramas
SPACELESS = (  # Complex_Context: Thai, Lao, Khmer, ...; Aksara: Javanese, Balinese, ...; ideographs: Yi, Tangut, ...
    r"[\p{Han}\p{Hiragana}\p{Katakana}\u30FC\p{Line_Break=Complex_Context}\p{Line_Break=Aksara}"
    r"[\p{L}&&\p{Line_Break=Ideographic}]]"
)
EMOJI = r"[\p{Extended_Pictographic}\p{Regional_Indicator}--[©®™]]"
LETTER = rf"(?:[\p{{L}}\p{{N}}--{SPACELESS}]{MARKS}*)"
HEBREW = r"(?:(?<=\p{Hebrew}\p{M}*)[\"\u05F4\u05F3](?=\p{Hebrew}))"
WORD = regex.compile(rf"(?V1)(?=[{SPACELESS}{EMOJI}])\X|{LETTER}+(?:(?:'|(?<=l)·(?=l)|{HEBREW}){LETTER}+)*")
NEW_SCRIPTS = regex.compile(rf"(?V1)[{SPACELESS}{EMOJI}\p{{Hebrew}}{MARKS}]|l·l")  # what was cut otherwise before
LONGEST_WORD = 1000  # characters, those beyond are cut off
NGRAM_LENGTHS = (3, 4, 5)  # characters, boundary marks among them


class TokenSettings(NamedTuple):
    """How text becomes tokens."""

    min_count: int = 2  # how often a word has to occur to be in the vocabulary
    subwords: bool = True  # whether a word has character n-grams as well
    ngram_buckets: int = 4096  # tokens that all n-grams share
    ngrams_per_word: int = 4  # at most
    max_words: int | None = None  # of an example, those beyond are cut off; None: all


class Vocabulary:
    """From a word to its tokens, after fastText (Bojanowski et al. 2017, section 3.2).

    Token 0 is none, 1..W are the words of the vocabulary by alphabet. With subwords the tokens after these are buckets
    that n-grams are hashed into: a word has its own token, if any, and those of its n-grams, so that a word never seen
    says something by its parts. Without, the one token after these stands for every word outside the vocabulary.

    A tag, such as a film's genre, stands among the words and has a token of its own however rare it is, but no n-grams:
    it has none at all where it is not in the vocabulary.

    Args:
        texts: what the vocabulary is made of; only meta-train may go into it.
        settings: how.
    """

    def __init__(self, texts: Iterable[Text], settings: TokenSettings) -> None:
        self.settings = settings
        self.counts = Counter(word for text in texts for word in text)
        common = sorted(word for word, count in self.counts.items() if count >= settings.min_count or is_tag(word))
        self.words = {word: token for token, word in enumerate(common, start=1)}

    def check(self) -> None:
        """Whether words can be told apart.

        Raises:
            ConfigError: no word is in the vocabulary, and there are no n-grams.
        """
        if self.words or self.settings.subwords:
            return
        most = max(self.counts.values())
        raise ConfigError.of(
            f"dataset.min_count={self.settings.min_count}, but no word of meta-train occurs more than {most} times",
            f"use dataset.min_count<={most}, or dataset.subwords=true",
        )

    @property
    def size(self) -> int:
        """V."""
        return 1 + len(self.words) + (self.settings.ngram_buckets if self.settings.subwords else 1)

    @property
    def width(self) -> int:
        """K: the most tokens that a word has."""
        return 1 + (self.settings.ngrams_per_word if self.settings.subwords else 0)

    def tokens(self, word: str) -> list[int]:
        """Return the tokens of a word, 1 to K of them; of a tag 0 or 1."""
        own = [self.words[word]] if word in self.words else []
        if is_tag(word):
            return own
        first = 1 + len(self.words)
        if not self.settings.subwords:
            return own or [first]
        parts = ngrams(word)[: self.settings.ngrams_per_word]
        # CRC-32 because it is the same in every process, which hash() is not.
        return own + [first + zlib.crc32(part.encode()) % self.settings.ngram_buckets for part in parts]

    def share_unknown(self, texts: Iterable[Text]) -> float:
        """Return the share of running words that are not in the vocabulary, 0..1."""
        known = [word in self.words for text in texts for word in text]
        return known.count(False) / max(1, len(known))


def is_tag(word: str) -> bool:
    """Whether it stands for something other than a word: `genre War` does, by its space, which no word has."""
    return " " in word


def words(text: str, most: int | None = None) -> list[str]:
    """Return the words of a text in lower case, at most so many.

    Letters with their marks, digits, and apostrophes inside.

    A character of a script without spaces (Chinese, Japanese, Thai, ...) is a word, and so is an emoji. All else parts
    words and is dropped. The typographic apostrophe counts as the plain one, and an accent is part of its letter
    however it is written (Unicode's NFKC).
    """
    return [found.group()[:LONGEST_WORD] for found in islice(WORD.finditer(normalised(text)), most)]


def normalised(text: str) -> str:
    """Return the text as words are cut from it; an emoji is the same whatever selects its style."""
    lower = unicodedata.normalize("NFKC", text).lower()
    return lower.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").replace("\N{VARIATION SELECTOR-16}", "")


def ngrams(word: str) -> list[str]:
    """Return the distinct character n-grams of `<word>`, shorter ones first, each length from front to back."""
    marked = f"<{word}>"
    return list(dict.fromkeys(marked[at : at + n] for n in NGRAM_LENGTHS for at in range(len(marked) - n + 1)))


def rarity(examples: Tensor, counts: Tensor | None, vocabulary: int) -> Tensor:
    """How much a token says about a text, the more the fewer texts have it: 1 on average over tokens, [V].

    It is the inverse document frequency (Sparck Jones 1972), ln((1 + N) / (1 + n)) + 1 of N texts and the n that have
    the token.

    Args:
        examples: [C, E, S, K], meta-train's.
        counts: [C], how many of E there are; None: all.
        vocabulary: V.
    """
    having, texts = torch.zeros(vocabulary), 0
    for number, of_class in enumerate(examples):
        there = of_class[: None if counts is None else int(counts[number])].flatten(1)
        texts += len(there)
        having += torch.zeros(len(there), vocabulary).scatter_(1, there, 1).sum(dim=0)
    found = ((1 + texts) / (1 + having)).log() + 1
    return found / found[1:].mean()


def encode(classes: Sequence[Sequence[Text]], vocabulary: Vocabulary) -> tuple[Tensor, Tensor, Tensor]:
    """Return the examples of classes as a `ClassDataset` takes them; a step is a word.

    Args:
        classes: C times up to E texts of one word or more.
        vocabulary: gives each word's tokens.

    Returns:
        examples [C, E, S, K], counts [C] and lengths [C, E], all int64; what is not there is token 0, and of length 1.
    """
    most = max(len(texts) for texts in classes)
    lengths = torch.tensor([[len(text) for text in texts] + [0] * (most - len(texts)) for texts in classes])
    real = torch.arange(int(lengths.max())) < lengths.unsqueeze(-1)  # [C, E, S]
    table = [[0] * vocabulary.width]  # a row for each word that occurs; the first one is of no word
    numbers: dict[str, int] = {}  # of these rows
    running = [word for texts in classes for text in texts for word in text]
    for word in running:
        if word not in numbers:
            numbers[word] = len(table)
            tokens = vocabulary.tokens(word)
            table.append(tokens + [0] * (vocabulary.width - len(tokens)))
    rows = torch.zeros(real.shape, dtype=torch.int64)
    rows[real] = torch.tensor([numbers[word] for word in running])
    return torch.tensor(table)[rows], torch.tensor([len(texts) for texts in classes]), lengths.clamp(min=1)


def spelling(classes: Sequence[Sequence[Text]], vocabulary: Vocabulary) -> dict[tuple[int, ...], str]:
    """Return the word that a step [K] of `encode` stands for, so that examples can be read.

    Words alike count as the first of them.
    """
    found: dict[tuple[int, ...], str] = {}
    for word in dict.fromkeys(word for texts in classes for text in texts for word in text):
        tokens = vocabulary.tokens(word)
        if tokens:
            found.setdefault((*tokens, *[0] * (vocabulary.width - len(tokens))), word)
    return found
