"""Texts in runs: embedded once, drawn alike after a resume, or refused."""

import errno
from unittest import mock

import numpy as np
import pytest
import torch

from mmkd_custom.errors import UserError
from mmkd_custom.models.teachers.open_clip.text_tower import TextTower
from mmkd_custom.texts import embedded, hook
from tests.helpers import digests
from tests.texts.conftest import FILE, WIDTH


def texts_of(runner):
    return runner.model.networks['text']


def train(runner):
    runner.train()
    return runner


def with_file(path, **options):
    return {
        **FILE,
        'model.networks.text.file': str(path),
        **{f'model.networks.text.{k}': v for k, v in options.items()},
    }


def test_killed_and_resumed_the_student_is_the_same(dime_runner, corpus):
    options = with_file(corpus, nearest=2)
    whole = train(dime_runner('whole', **options))
    resumed = train(
        dime_runner('resumed', resume='whole/epoch_1.pth', **options)
    )
    assert resumed.iter == whole.iter
    assert digests(resumed.model) == digests(whole.model)
    network = texts_of(whole)
    assert network.iteration == whole.iter - 1
    # 18 images have at most 2 each, of 18 wordings.
    texts = network._held[0]
    assert 2 <= len(texts) <= 18 and not {11, 13} & {*texts.rows}
    # In its own folder it keeps its choice, whatever the teacher says now.
    with mock.patch.object(hook, 'teacher_features', side_effect=OSError):
        again = train(
            dime_runner('whole', resume='whole/epoch_1.pth', **options)
        )
    assert digests(again.model) == digests(whole.model)
    assert texts_of(again)._held[0].rows.tolist() == texts.rows.tolist()
    # What the student is, without this package too.
    saved = torch.load(f'{whole.work_dir}/student.pth', weights_only=True)[
        'state_dict'
    ]
    assert saved.keys() == whole.model.student.state_dict().keys()
    assert saved['head.layers.1.fc.weight'].shape[0] == WIDTH


def test_each_sentence_is_embedded_once_for_all_runs(
    dime_runner, tower, tmp_path, monkeypatch, corpus
):
    monkeypatch.setattr(embedded, 'BATCH_SIZE', 6)
    options = with_file(corpus, cache_dir=str(tmp_path / 'shared'))
    options['train_cfg.max_epochs'] = 1
    seen = []
    embed = TextTower.embed

    def noted(self, texts):
        seen.extend(t for t in texts if t)
        return embed(self, texts)

    with mock.patch.object(TextTower, 'embed', noted):
        first = train(dime_runner('one', **options))
        assert len(seen) == 20
        store = texts_of(first)._held[0].store
        rows = np.array([7, 19])
        expected = embed(tower, [seen[7], seen[19]])
        torch.testing.assert_close(
            embedded.read_entries(store, rows), expected, rtol=0, atol=1e-3
        )
        # As if it had been killed in the middle.
        store._checksums[12:] = 0
        store.flush()
        train(dime_runner('two', **options))
        assert len(seen) == 28
        train(dime_runner('three', **options))
        assert len(seen) == 28
    # Another corpus in its place is refused.
    corpus.write_text(corpus.read_text() + 'one more\n')
    with pytest.raises(UserError, match='cache_dir|corpus_sha256'):
        train(dime_runner('four', **options))
    # Other bytes are no features.
    store._arrays['feature'][3] += 1
    with pytest.raises(UserError, match='sentence 3'):
        embedded.read_entries(store, np.arange(5))


def test_texts_of_another_teacher_are_refused(dime_runner, tmp_path):
    shared = {
        'model.networks.text.cache_dir': str(tmp_path / 'shared'),
        'train_cfg.max_epochs': 1,
    }
    train(dime_runner('one', **shared))
    with pytest.raises(UserError) as error:
        # Random weights of another seed.
        train(dime_runner('two', seed=1, **shared))
    assert 'teacher_sha256' in str(error.value)


@pytest.mark.parametrize(
    'teacher, width, named',
    [
        (
            dict(
                _delete_=True,
                type='TimmTeacher',
                model_name='test_efficientnet',
            ),
            256,
            'expected an OpenCLIPTeacher',
        ),
        (dict(feature='pooled'), 32, "'projected'"),
    ],
)
def test_a_teacher_without_texts_is_named(dime_runner, teacher, width, named):
    def edit(config):
        inner = config.model.teacher
        if teacher.get('_delete_'):
            inner.teacher = {k: v for k, v in teacher.items() if k[0] != '_'}
        else:
            inner.teacher.update(teacher)
        config.model.student.head.num_classes = width

    with pytest.raises(UserError) as error:
        train(dime_runner(edit=edit))
    assert named in str(error.value)


def test_an_empty_corpus_is_named(dime_runner, tmp_path):
    path = tmp_path / 'empty.txt'
    path.write_text('\n')
    with pytest.raises(UserError, match='at least one sentence'):
        train(dime_runner(**with_file(path)))


def test_a_corpus_that_cannot_be_read_is_named(dime_runner, corpus):
    failed = PermissionError(errno.EACCES, 'Permission denied', str(corpus))
    with mock.patch.object(hook.Corpus, 'survey', side_effect=failed):
        with pytest.raises(UserError, match='corpus.txt'):
            train(dime_runner(**with_file(corpus)))


def test_the_processes_share_the_choice(dime_runner, corpus):
    options = with_file(corpus, nearest=2)
    options['train_cfg.max_epochs'] = 1
    texts = texts_of(train(dime_runner('one', **options)))._held[0]
    rows = []
    for rank in (0, 1):
        parts = []
        with (
            mock.patch.object(hook, 'get_dist_info', return_value=(rank, 2)),
            mock.patch.object(
                hook,
                'all_gather_object',
                side_effect=lambda part, parts=parts: (
                    parts.append(part) or parts
                ),
            ),
        ):
            train(dime_runner(f'rank{rank}', **options))
        rows.extend(parts[0])
    assert np.unique(rows).tolist() == texts.rows.tolist()
