"""Sentences of a file or of class names, as a stream."""

import numpy as np
import pytest

from mmkd_custom.errors import UserError
from mmkd_custom.models.networks import TextCorpus
from mmkd_custom.texts.corpus import Corpus
from mmkd_custom.texts.select import first_of_each


def read(**options):
    return Corpus(TextCorpus(**options))


def test_lines_without_blanks_and_empty_ones(corpus):
    sentences = list(read(file=str(corpus)))
    assert len(sentences) == 20
    assert sentences[7] == 'A cat.' and sentences[11] == 'a  cat.'
    parts = [len(b) for b in read(file=str(corpus)).batches(8)]
    assert parts == [8, 8, 4]


def test_prompts_of_class_names():
    found = read(class_names=['a {dog}', 'cat'], templates=['{}!', 'no {}'])
    assert list(found) == ['a {dog}!', 'no a {dog}', 'cat!', 'no cat']


def test_survey_tells_what_the_sentences_are(corpus, tmp_path):
    survey = read(file=str(corpus)).survey(wordings=True)
    assert survey.count == 20 and len(survey.sha256) == 64
    kept = first_of_each(survey.wordings)
    assert kept.tolist() == [i for i in range(20) if i not in (11, 13)]
    assert survey.wordings.dtype == np.uint64
    # Blank lines are no sentences, so the corpus is the same.
    other = tmp_path / 'other.txt'
    text = corpus.read_text()
    other.write_text(text.replace('   \n', ''))
    again = read(file=str(other)).survey()
    assert again == survey._replace(wordings=None)
    other.write_text(text.replace('number 3', 'number three'))
    assert read(file=str(other)).survey().sha256 != survey.sha256


def test_what_is_no_corpus_is_named(tmp_path):
    empty, binary = tmp_path / 'empty.txt', tmp_path / 'binary.txt'
    empty.write_text('\n  \n')
    binary.write_bytes(b'\xff\xfe\x00')
    with pytest.raises(UserError, match='empty corpus'):
        read(file=str(empty)).survey()
    with pytest.raises(UserError, match='UTF-8'):
        read(file=str(binary)).survey()
    with pytest.raises(UserError, match='nowhere'):
        read(file=str(tmp_path / 'nowhere'))
    for templates in ([], ['no place']):
        with pytest.raises(UserError, match='templates'):
            read(class_names=['cat'], templates=templates)
