"""CLINC150, Larson et al. 2019: short English queries to an assistant, of 150 intents in 10 domains."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from metalstm.config.fields import bounded
from metalstm.datasets.base import Dataset, FolderOfData
from metalstm.datasets.files.reader import Reader
from metalstm.datasets.splits import Shares, split_randomly
from metalstm.datasets.text.clinc150_files import Queries, find_folder, read_intents
from metalstm.datasets.text.texts import line_reader
from metalstm.datasets.text.tokens import TokenSettings, Vocabulary, encode, spelling
from metalstm.files.paths import dataset_root
from metalstm.registry import register
from metalstm.tasks.classes import ClassDataset

SHARES = Shares(validation=0.1, test=0.3)  # of the domains
DEFAULT = TokenSettings()


def load_clinc150(root: Path | None, split_seed: int = 0, settings: TokenSettings = DEFAULT) -> Dataset:
    """CLINC150 as sequences of words, each word its own token and those of its character n-grams.

    The classes are the intents, with all their queries; out-of-scope queries are left out. Splits are made of whole
    domains, so that meta-test's are never seen before: 6 / 1 / 3 of the 10, by a permutation. The vocabulary is made
    of meta-train's queries alone, and so are its tensors: each split is as long as its own longest query.

    Args:
        root: the folder with data_full.json and domains.json, itself or in `data/`; None: the user's own.
        split_seed: which permutation of the domains.
        settings: how queries become tokens.

    Raises:
        DataError: the data is missing, broken or of another form.
        ConfigError: no word is in the vocabulary, and there are no n-grams.
    """
    folder = find_folder(dataset_root(root, "clinc150"))
    domains, queries = read_intents(folder, settings.max_words)
    splits = split_randomly(list(domains), SHARES, split_seed, "clinc150")
    members = {split: [(d, intent) for d in chosen for intent in domains[d]] for split, chosen in splits.items()}
    texts = {split: [queries[intent] for _, intent in chosen] for split, chosen in members.items()}
    vocabulary = Vocabulary((text for intent in texts["meta_train"] for text in intent), settings)
    vocabulary.check()
    pools = {}
    for split, chosen in members.items():
        examples, counts, lengths = encode(texts[split], vocabulary)
        names = [f"{domain}/{intent}" for domain, intent in chosen]
        words = spelling(texts[split], vocabulary)
        pools[split] = ClassDataset(examples, names, counts, lengths, words=words)
    digest = hashlib.sha256(json.dumps([domains, queries, split_seed, settings]).encode())
    for pool in pools.values():
        digest.update(pool.examples.numpy().tobytes())
    unknown = vocabulary.share_unknown(text for intent in texts["meta_test"] for text in intent)
    sizes = " / ".join(str(pool.classes) for pool in pools.values())
    of_domains = " / ".join(str(len(chosen)) for chosen in splits.values())
    parts = f" and {settings.ngram_buckets:,} buckets of n-grams" if settings.subwords else ""
    return Dataset(
        name="clinc150",
        splits=pools,
        features=vocabulary.width,
        fingerprint=digest.hexdigest(),
        description=f"{sizes} intents of {of_domains} domains, {sum(map(len, queries.values())):,} queries "
        f"({shared_queries(queries)} in two intents); {len(vocabulary.words):,} words of meta-train{parts}, "
        f"{unknown:.1%} of meta-test's words not among them",
        vocabulary=vocabulary.size,
        reader=Reader("texts", line_reader(vocabulary, settings.max_words)),
    )


def shared_queries(queries: Queries) -> int:
    """How many queries stand in more than one intent, so that no one could tell which is meant."""
    return sum(times > 1 for times in Counter(q for texts in queries.values() for q in {*map(tuple, texts)}).values())


@register("dataset", "clinc150")
@dataclass(kw_only=True)
class Clinc150Settings(FolderOfData):
    """The settings of CLINC150."""

    searched: ClassVar[frozenset[str]] = frozenset(TokenSettings._fields)

    split_seed: int = bounded(minimum=0, below=2**32)
    min_count: int = bounded(minimum=1)
    subwords: bool
    ngram_buckets: int = bounded(minimum=1, maximum=2**20)
    ngrams_per_word: int = bounded(minimum=1, maximum=64)  # every step holds so many
    max_words: int | None = bounded(minimum=1)

    def load(self) -> Dataset:
        return load_clinc150(self.folder, self.split_seed, self.some(TokenSettings))
