"""The sentences of a corpus: a stream, whatever its size."""

from __future__ import annotations

import hashlib
from array import array
from itertools import islice
from pathlib import Path
from typing import Iterator, List, NamedTuple, Optional, Sequence

import numpy as np

from ..errors import UserError
from ..models.networks import TextCorpus
from ..models.teachers.open_clip.zero_shot import (
    PLACE,
    check_class_names,
    load_templates,
)
from ..utils.progress import progress


class Survey(NamedTuple):
    """What is known of a corpus after it was read once.

    Attributes:
        count (int): Number of its sentences.
        sha256 (str): Of these, in order, 64 digits.
        wordings (ndarray, optional): A 64-bit digest of each sentence, letters
            in lower case and blanks alike; if it was asked for.
    """

    count: int
    sha256: str
    wordings: Optional[np.ndarray]


class Corpus:
    """Sentences of a file, or prompts of class names; never held whole.

    A sentence is a line without the blanks around it, and empty lines are
    none.

    Args:
        network (TextCorpus): Whose options say what they are.

    Raises:
        UserError: If there is no such file, or names or templates are none.
    """

    def __init__(self, network: TextCorpus) -> None:
        self.file: Optional[Path] = None
        self._names: Sequence[str] = ()
        self._templates: Sequence[str] = ()
        if network.file is not None:
            self.file = Path(network.file).expanduser()
            if not self.file.is_file():
                raise UserError(
                    'TextCorpus.file: expected a text file, one sentence a '
                    f'line, got {str(network.file)!r}.'
                )
            return
        self._names = check_class_names(
            network.class_names, 'TextCorpus.class_names'
        )
        self._templates = load_templates(
            network.templates, 'TextCorpus.templates'
        )

    def __iter__(self) -> Iterator[str]:
        if self.file is None:
            for name in self._names:
                for template in self._templates:
                    yield template.replace(PLACE, name)
            return
        try:
            with open(self.file, encoding='utf-8') as lines:
                for line in lines:
                    sentence = line.strip()
                    if sentence:
                        yield sentence
        except UnicodeDecodeError as error:
            raise UserError(
                'TextCorpus.file: expected a text file in UTF-8, got '
                f'{str(self.file)!r} ({error}).'
            ) from error

    def batches(self, size: int) -> Iterator[List[str]]:
        """Yields the sentences in order, so many at a time."""
        sentences = iter(self)
        while True:
            batch = list(islice(sentences, size))
            if not batch:
                return
            yield batch

    def survey(self, wordings: bool = False) -> Survey:
        """Reads all once.

        Args:
            wordings (bool): Whether to tell sentences of one wording, at 8
                bytes a sentence. Defaults to False.

        Raises:
            UserError: If there is no sentence.
        """
        sha, count, found = hashlib.sha256(), 0, array('Q')
        with progress('reading the corpus', unit='sentences') as bar:
            for batch in self.batches(4096):
                sha.update('\n'.join([*batch, '']).encode())
                count += len(batch)
                if wordings:
                    found.extend(map(_wording, batch))
                bar.advance(len(batch))
        if not count:
            raise UserError(
                'TextCorpus.file: expected at least one sentence, got an '
                f'empty corpus {str(self.file)!r}.'
            )
        told = np.frombuffer(found, np.uint64) if wordings else None
        return Survey(count, sha.hexdigest(), told)


def _wording(sentence: str) -> int:
    plain = ' '.join(sentence.lower().split())
    digest = hashlib.blake2b(plain.encode(), digest_size=8).digest()
    return int.from_bytes(digest, 'little')
