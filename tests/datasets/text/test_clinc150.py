"""CLINC150: from its two files, whole or broken, to splits by domain; small files made here, and the real ones."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from metalstm.datasets.base import Dataset
from metalstm.datasets.text import tokens
from metalstm.datasets.text.clinc150 import load_clinc150
from metalstm.datasets.text.clinc150_files import read_intents
from metalstm.datasets.text.tokens import TokenSettings, Vocabulary
from metalstm.errors import ConfigError
from metalstm.tasks.classes import ClassDataset
from metalstm.tasks.sampler import TaskSampler, TaskShape
from support.datasets import pools, refusal, same_classes
from support.places import shared_data

DOMAINS = {f"domain{d}": [f"intent{d}{letter}" for letter in "ba"] for d in range(10)}
FEW = {"train": 3, "val": 1, "test": 2}
Content = dict[str, Any]


@pytest.fixture
def content() -> Content:
    """Ten domains of two intents, six queries of each: `please word3 word3a number1 ...`, of 4 to 6 words."""
    queries = [
        [
            (part, [f"please word{d} {intent.replace('intent', 'word')} number{n}" + " now" * (n % 3), intent])
            for part, count in FEW.items()
            for n in range(count)
        ]
        for d, intents in enumerate(DOMAINS.values())
        for intent in intents
    ]
    rows = [row for intent in queries for row in intent]
    data: Content = {part: [row for of, row in rows if of == part] for part in FEW}
    data |= {f"oos_{part}": [["who won", "oos"], ["?!", "oos"]] for part in FEW}
    return data


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def written(content: Any, domains: Any = DOMAINS, folder: str = "clinc") -> Path:
        root = tmp_path / folder
        root.mkdir(parents=True, exist_ok=True)
        for name, value in (("data_full.json", content), ("domains.json", domains)):
            (root / name).write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
        return root

    return written


def load(root: Path | None, split_seed: int = 0, **settings: Any) -> Dataset:
    return load_clinc150(root, split_seed, TokenSettings(**settings))


def domains_of(pool: ClassDataset) -> set[str]:
    return {name.partition("/")[0] for name in pool.names}


failing = partial(refusal, load)


def changed(content: Content, domain: str, change: Callable[[str], str]) -> Content:
    """The queries of one domain changed."""
    intents = DOMAINS[domain]
    return {part: [[change(q) if i in intents else q, i] for q, i in rows] for part, rows in content.items()}


# Splits


def test_splits_are_whole_domains(content: Content, write: Callable[..., Path]) -> None:
    dataset = load(write(content))
    found = pools(dataset)
    assert [len(domains_of(pool)) for pool in found.values()] == [6, 1, 3]
    assert [pool.classes for pool in found.values()] == [12, 2, 6]
    assert set().union(*map(domains_of, found.values())) == set(DOMAINS)
    assert sorted(name for pool in found.values() for name in pool.names) == sorted(
        f"{domain}/{intent}" for domain, intents in DOMAINS.items() for intent in intents
    )
    assert (dataset.name, dataset.kind, dataset.steps, dataset.outputs, dataset.images) == (
        *("clinc150", "classification", None, None, False),
    )
    assert dataset.description.startswith("12 / 2 / 6 intents of 6 / 1 / 3 domains, 120 queries (0 in two intents)")


def test_another_seed_another_permutation_whatever_the_order_of_the_file(
    content: Content, write: Callable[..., Path]
) -> None:
    root = write(content)
    tests = [domains_of(pools(load(root, split_seed=seed))["meta_test"]) for seed in range(5)]
    assert len(set(map(frozenset, tests))) > 2
    turned = {domain: intents[::-1] for domain, intents in reversed(DOMAINS.items())}
    again, dataset = load(write(content, turned, "turned")), load(root)
    assert again.fingerprint == dataset.fingerprint
    assert all(same_classes(pools(again)[name], pool) for name, pool in pools(dataset).items())


@pytest.mark.parametrize(("count", "sizes"), [(3, [1, 1, 1]), (4, [2, 1, 1]), (20, [12, 2, 6])])
def test_other_numbers_of_domains(count: int, sizes: list[int], write: Callable[..., Path]) -> None:
    domains = {f"d{n:02}": [f"i{n}"] for n in range(count)}
    queries = {part: [[f"a query {n}", f"i{n}"] for n in range(count)] for part in FEW}
    assert [pool.classes for pool in pools(load(write(queries, domains))).values()] == sizes


# Queries


def test_an_intents_queries_are_those_of_all_parts_in_order(content: Content, write: Callable[..., Path]) -> None:
    root = write(content)
    dataset = load(root)
    train = pools(dataset)["meta_train"]
    _, queries = read_intents(root)
    assert "oos" not in queries
    vocabulary = Vocabulary([q for name in train.names for q in queries[name.partition("/")[2]]], TokenSettings())
    assert dataset.vocabulary == vocabulary.size
    for pool in pools(dataset).values():
        assert pool.lengths is not None
        for c, name in enumerate(pool.names):
            intent = name.partition("/")[2]
            texts = [text.split() for part in FEW for text, of in content[part] if of == intent]
            assert queries[intent] == texts
            assert pool.lengths[c].tolist() == [4, 5, 6, 4, 4, 5] == [len(text) for text in texts]
            for e, text in enumerate(texts):
                for s, word in enumerate(text):
                    held = vocabulary.tokens(word)
                    assert pool.examples[c, e, s, : len(held)].tolist() == held
                assert not pool.examples[c, e, len(text) :].any()


def test_words_of_meta_test_alone_have_no_token_of_their_own(content: Content, write: Callable[..., Path]) -> None:
    dataset = load(write(content), subwords=False)
    splits = {split: domains_of(pool) for split, pool in pools(dataset).items()}
    words = {f"word{domain[-1]}" for domain in splits["meta_train"]}
    per_intent = {f"{word}{letter}" for word in words for letter in "ab"}
    assert dataset.vocabulary == 1 + len(words | per_intent | {"please", "now", "number0", "number1", "number2"}) + 1
    unknown = dataset.vocabulary - 1
    steps = pools(dataset)["meta_test"].examples[..., 0]  # [C, E, S]
    assert (steps[:, :, 1:3] == unknown).all()  # word3 word3a
    assert not (steps[:, :, 0] == unknown).any()  # please
    assert not (pools(dataset)["meta_train"].examples == unknown).any()
    assert "42.9% of meta-test's words" in dataset.description  # 12 of 28


def test_meta_train_does_not_depend_on_the_queries_of_other_splits(
    content: Content, write: Callable[..., Path]
) -> None:
    before = load(write(content))
    for split in ("meta_validation", "meta_test"):
        domain = min(domains_of(pools(before)[split]))
        after = load(
            write(changed(content, domain, lambda query: f"{query} and many new words and words"), folder=split)
        )
        assert same_classes(pools(after)["meta_train"], pools(before)["meta_train"])
        assert not same_classes(pools(after)[split], pools(before)[split])
        assert after.vocabulary == before.vocabulary
        assert after.fingerprint != before.fingerprint
    domain = min(domains_of(pools(before)["meta_train"]))
    after = load(write(changed(content, domain, lambda query: f"{query} and so on"), folder="train"))
    assert after.vocabulary == before.vocabulary + 3
    assert not same_classes(pools(after)["meta_train"], pools(before)["meta_train"])


def test_the_settings_of_tokens(content: Content, write: Callable[..., Path]) -> None:
    root = write(content)
    dataset = load(root, ngram_buckets=50, ngrams_per_word=7)
    assert dataset.features == 8
    assert dataset.vocabulary == 1 + 6 + 12 + 5 + 50
    assert max(int(pool.examples.max()) for pool in pools(dataset).values()) < dataset.vocabulary
    # In meta-train: please 72 times, now 48, number0 36, number1 24, number2 and each of the domains 12, intents 6.
    assert load(root, min_count=12).vocabulary == 1 + 5 + 6 + 4096
    assert load(root, min_count=13).vocabulary == 1 + 4 + 4096
    cut = pools(load(root, max_words=5))["meta_test"]
    assert cut.lengths is not None
    assert cut.lengths[0].tolist() == [4, 5, 5, 4, 4, 5]
    assert cut.examples.shape[2] == 5


def test_without_ngrams_some_word_has_to_be_common_enough(content: Content, write: Callable[..., Path]) -> None:
    root = write(content)
    assert load(root, min_count=73).vocabulary == 1 + 4096
    assert load(root, min_count=72, subwords=False).vocabulary == 3
    with pytest.raises(ConfigError, match=r"min_count=73, but no word .* more than 72 times"):
        load(root, min_count=73, subwords=False)


def test_intents_of_fewer_queries(content: Content, write: Callable[..., Path]) -> None:
    content["test"] = [row for row in content["test"] if row[1] != "intent3a"]
    dataset = load(write(content))
    (pool,) = [pool for pool in pools(dataset).values() if "domain3/intent3a" in pool.names]
    assert pool.smallest() == ("domain3/intent3a", 4)
    batch = pool.sample(20, TaskShape(2, 1, 3), torch.Generator().manual_seed(0))
    assert (batch.query.inputs[:, :, 0] > 0).any(dim=-1).all()  # none of those that are not there


def test_queries_in_two_intents_are_counted(content: Content, write: Callable[..., Path]) -> None:
    for intent in ("intent0a", "intent1a", "intent0a"):
        content["train"].append(["What is it?", intent])
    content["val"].append(["what IS it", "intent5b"])
    content["val"] += [["twice in one", "intent5b"]] * 2
    assert "126 queries (1 in two intents)" in load(write(content)).description


# Fingerprints


def test_the_fingerprint_is_of_the_content_wherever_it_lies(content: Content, write: Callable[..., Path]) -> None:
    root = write(content)
    dataset = load(root)
    moved = write(json.dumps(content, indent=4), folder="elsewhere/data")
    content["oos_train"] = []
    unused = write(content, folder="unused")
    assert {load(place).fingerprint for place in (moved, moved.parent, unused)} == {dataset.fingerprint}


@pytest.mark.parametrize(
    "setting",
    [
        *({"split_seed": 1}, {"min_count": 3}, {"subwords": False}, {"ngram_buckets": 4095}),
        *({"ngrams_per_word": 11}, {"max_words": 5}),
    ],
)
def test_the_fingerprint_changes_with_each_setting(
    setting: dict[str, Any], content: Content, write: Callable[..., Path]
) -> None:
    root = write(content)
    assert load(root, **setting).fingerprint != load(root).fingerprint


def test_the_fingerprint_changes_with_a_word_or_a_domain(content: Content, write: Callable[..., Path]) -> None:
    fingerprints = {load(write(content)).fingerprint}
    content["val"][7][0] += " again"
    fingerprints.add(load(write(content)).fingerprint)
    fingerprints.add(load(write(content, {f"{domain}x": i for domain, i in DOMAINS.items()})).fingerprint)
    assert len(fingerprints) == 3


def test_the_fingerprint_changes_with_a_word_that_has_no_token_and_with_the_rule(
    content: Content, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = load(write(content), subwords=False)
    domain = min(domains_of(pools(dataset)["meta_test"]))
    other = load(
        write(changed(content, domain, lambda query: query.replace("word", "other")), folder="x"), subwords=False
    )
    assert same_classes(pools(other)["meta_test"], pools(dataset)["meta_test"])
    assert other.fingerprint != dataset.fingerprint
    before = load(write(content)).fingerprint
    monkeypatch.setattr(tokens, "NGRAM_LENGTHS", (2, 3))  # as another version of this program might have it
    assert load(write(content)).fingerprint != before


# What is wrong with the data


def test_missing_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message = failing(tmp_path / "nowhere")
    assert f"{tmp_path / 'nowhere'}: no such folder" in message
    assert "put data_full.json and domains.json of https://" in message
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    assert f"{tmp_path / 'xdg' / 'metalstm' / 'clinc150'}: no such folder" in failing(None)
    assert "dataset.root" in failing(Path("~nobody-is-called-so/x"))


def test_the_users_own_folder(
    content: Content, write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    write(content, folder="xdg/metalstm/clinc150/data")
    assert load(None).fingerprint == load(write(content)).fingerprint


def test_empty_folder_and_a_file_in_its_place(tmp_path: Path) -> None:
    assert f"{tmp_path}: data_full.json and domains.json missing: 0 of 2 files found" in failing(tmp_path)
    (tmp_path / "file").touch()
    assert "file: not a folder" in failing(tmp_path / "file")
    (tmp_path / "data").touch()
    assert "0 of 2 files found" in failing(tmp_path)


@pytest.mark.parametrize("name", ["data_full.json", "domains.json"])
def test_one_file_missing(name: str, content: Content, write: Callable[..., Path]) -> None:
    root = write(content, folder="clinc/data")
    (root / name).unlink()
    assert f"{root}: {name} missing: 1 of 2 files found" in failing(root.parent)


@pytest.mark.parametrize("closed", ["", "data"])
def test_unreadable_folder(
    closed: str, content: Content, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write(content, folder="clinc/data").parent
    real = os.listdir

    def listdir(path: Path) -> list[str]:  # tests may run as root, whom no permission bit stops
        if path == root / closed:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "listdir", listdir)
    assert f"{root / closed}: cannot be read: Permission denied" in failing(root)


@pytest.mark.parametrize("name", ["data_full.json", "domains.json"])
@pytest.mark.parametrize(
    ("broken", "named"),
    [
        ("", "truncated or not JSON"),
        ('{"train": [["a', "truncated or not JSON: Unterminated string starting at: line 1"),
        (b"\xff\xfe\xff", "truncated or not JSON"),
        ("[" * 100_000, "truncated or not JSON"),
        ("[]", "no mapping, but a list"),
        ("null", "no mapping, but a NoneType"),
    ],
)
def test_broken_file(name: str, broken: str | bytes, named: str, content: Content, write: Callable[..., Path]) -> None:
    root = write(content)
    (root / name).write_bytes(broken.encode() if isinstance(broken, str) else broken)
    message = failing(root)
    assert f"{root / name}: {named}" in message
    assert message.count("error:") == 1


def test_a_folder_in_a_files_place(content: Content, write: Callable[..., Path]) -> None:
    root = write(content)
    (root / "domains.json").unlink()
    (root / "domains.json").mkdir()
    assert "domains.json: cannot be read: Is a directory" in failing(root)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"val": None}, "data_full.json: 'val' is missing"),
        ({"val": {"a": "b"}}, "data_full.json: 'val' is no list"),
        ({"val": ["a query"]}, "'val', entry 0 is no pair of a query and its intent: 'a query'"),
        ({"val": [["please", "intent0a"], ["a", "intent0a", "c"]]}, "'val', entry 1 is no pair"),
        ({"val": [["please", 3]]}, "'val', entry 0 is no pair of a query and its intent: ['please', 3]"),
        ({"test": [["please", "intent0a"], [" ?!", "intent0b"]]}, "'test', entry 1 (intent0b) has no words: ' ?!'"),
        ({"test": [["please", "oos"]]}, "domains.json: in no domain: 1 intents: oos"),
    ],
)
def test_queries_of_another_form(change: Content, named: str, content: Content, write: Callable[..., Path]) -> None:
    content |= change
    message = failing(write({part: rows for part, rows in content.items() if rows is not None}))
    assert named in message
    assert message.count("error:") == 1


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"domain0": []}, "domains.json: domain 'domain0' has no intents"),
        ({"domain0": "intent0a"}, "domains.json: domain 'domain0' is no list of intents' names"),
        ({"domain0": ["intent0a", 7]}, "domains.json: domain 'domain0' is no list of intents' names"),
        ({"domain0": ["intent0a"]}, "domains.json: in no domain: 1 intents: intent0b"),
        ({"domain9": ["intent9a", "intent9b", "intent0a"]}, "intent 'intent0a' is in 'domain0' and 'domain9'"),
        ({"domain0": ["intent0a", "intent0a", "intent0b"]}, "intent 'intent0a' is in 'domain0' and 'domain0'"),
        ({"domain0": ["intent0a", "intent0b", "new"]}, "data_full.json: without a query: 1 intents: new"),
    ],
)
def test_domains_of_another_form(change: Content, named: str, content: Content, write: Callable[..., Path]) -> None:
    message = failing(write(content, DOMAINS | change))
    assert named in message
    assert message.count("error:") == 1


def test_too_few_domains(content: Content, write: Callable[..., Path]) -> None:
    message = failing(write(content, {"one": ["a"], "two": ["b"]}))
    assert "domains.json: 2 domains, but splitting takes 3" in message


def test_all_problems_at_once_and_many_of_a_kind_summed_up(content: Content, write: Callable[..., Path]) -> None:
    content["train"] = [["...", "intent0a"]] * 9
    del content["val"]
    message = failing(write(content, DOMAINS | {"domain0": []}))
    assert message.count("has no words") == 5
    assert "4 more such entries" in message
    assert "'val' is missing" in message
    assert "'domain0' has no intents" in message
    few = failing(write({part: rows[:8] for part, rows in content.items()} | {"train": [], "val": []}))
    assert "without a query: 16 intents: intent2a, intent2b, intent3a, intent3b, intent4a, ..." in few


# The real data


def test_real_clinc150(tmp_path: Path) -> None:
    dataset = load(shared_data("clinc150"))
    found = pools(dataset)
    assert [tuple(pool.examples.shape[:2]) for pool in found.values()] == [(90, 150), (15, 150), (45, 150)]
    assert [len(domains_of(pool)) for pool in found.values()] == [6, 1, 3]
    assert len({name.partition("/")[2] for pool in found.values() for name in pool.names}) == 150
    assert "22,500 queries (4 in two intents)" in dataset.description
    lengths = torch.cat([pool.lengths.flatten() for pool in found.values() if pool.lengths is not None])
    assert (int(lengths.min()), int(lengths.median()), int(lengths.max())) == (1, 8, 28)
    for pool in found.values():
        assert pool.lengths is not None
        real = torch.arange(pool.examples.shape[2]) < pool.lengths.unsqueeze(-1)
        assert torch.equal((pool.examples > 0).any(dim=-1), real)
        assert int(pool.examples.max()) < dataset.vocabulary
        assert 100 < int(pool.examples.flatten(0, 1).flatten(1).unique(dim=0).shape[0]) / pool.classes <= 150
    batch = TaskSampler(found["meta_test"], TaskShape(5, 5, 15), 4, 0, "meta_test")(0)
    for part, examples in ((batch.support, 25), (batch.query, 75)):
        assert part.lengths is not None
        assert part.inputs.shape == (4, examples, part.lengths.max(), dataset.features)
    assert sum(pool.examples.nbytes for pool in found.values()) < 70e6
    shutil.copytree(shared_data("clinc150") / "data", tmp_path / "copy")
    assert load(tmp_path / "copy").fingerprint == dataset.fingerprint
