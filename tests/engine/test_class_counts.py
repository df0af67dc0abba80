"""Numbers of classes that differ are found before the first step."""

import json

import pytest

from mmkd_custom.errors import UserError

PLAIN = 'labelled_only/labelled_only_mbv3_domain_folder.py'


@pytest.fixture
def refused(small_runner):
    """Starts a plain classifier on three classes; gives the sentence."""

    def run(edit=lambda config: None, **options):
        runner = small_runner(
            name=PLAIN,
            validate=True,
            **{'train_dataloader.batch_size': 2},
            edit=edit,
            **{key.replace('__', '.'): v for key, v in options.items()},
        )
        with pytest.raises(UserError) as error:
            runner.train()
        assert runner.iter == 0
        return str(error.value)

    return run


@pytest.mark.parametrize('count', [2, 7])
def test_a_plain_classifier(refused, count):
    said = refused(model__head__num_classes=count)
    assert 'model.head.num_classes: expected 3' in said
    assert f'got {count}' in said


def test_the_top_of_its_own_accuracy(refused):
    options = dict(model__head__cal_acc=True, model__head__topk=(1, 5))
    assert 'topk=5' in refused(**options)


@pytest.mark.parametrize('count', [2, 7])
def test_a_classifier_of_timm(refused, count):
    def edit(config):
        config.model = dict(
            type='mmpretrain.TimmClassifier',
            model_name='test_efficientnet',
            num_classes=count,
        )

    said = refused(edit)
    assert 'model.num_classes: expected 3' in said
    assert f'got {count}' in said


def test_labels_of_classes_without_names(refused, tmp_path):
    def edit(config):
        images = sorted((tmp_path / 'data' / 'art').rglob('*.jpg'))
        entries = [
            dict(img_path=str(path), gt_label=4 * i)
            for i, path in enumerate(images[:2])
        ]
        listed = tmp_path / 'list.json'
        listed.write_text(json.dumps(dict(metainfo={}, data_list=entries)))
        old = config.train_dataloader.dataset
        config.train_dataloader = dict(
            batch_size=2,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=True),
            dataset=dict(
                type='mmpretrain.BaseDataset',
                ann_file=str(listed),
                pipeline=old.get('labelled', old).pipeline,
            ),
        )

    said = refused(edit)
    assert 'model.head.num_classes: ' in said and 'got 4' in said
