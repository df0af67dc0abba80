"""Half of a domain is unlabelled, and the other half of it is tested."""

from mmengine.registry import DefaultScope

from mmkd_custom.engine.config import read_config
from mmkd_custom.registry import DATASETS
from tests.cli import REPOSITORY
from tests.helpers import make_domains

TASKS = REPOSITORY / 'configs' / '_base_' / 'tasks'


def images(dataset):
    return {
        dataset.get_data_info(index)['img_path']
        for index in range(len(dataset))
    }


def test_no_tested_image_is_in_a_stream(tmp_path, monkeypatch):
    domains = ('art_painting', 'photo')
    make_domains(tmp_path, domains=domains, per_class=4)
    monkeypatch.setenv('DATA_ROOT', str(tmp_path))
    seen = []
    for seed in '01':
        monkeypatch.setenv('SEED', seed)
        config = read_config(TASKS / 'domain_folder_halves_clean192_mbv3.py')
        with DefaultScope.overwrite_default_scope('mmkd_custom'):
            train = DATASETS.build(config.train_dataloader.dataset)
            tested = images(DATASETS.build(config.val_dataloader.dataset))
        unlabelled = images(train.unlabelled)
        whole = {str(p) for p in (tmp_path / 'photo').glob('*/*')}
        assert not tested & unlabelled
        assert tested | unlabelled == whole
        assert len(tested) == len(unlabelled)
        seen.append(tested)
    # One cache of the teacher serves all seeds.
    assert seen[0] == seen[1]
