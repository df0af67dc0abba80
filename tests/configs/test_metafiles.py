"""model-index.yml and the metafiles say what is there."""

import pytest
from modelindex.load_model_index import load

EXCEPT = ('_base_', 'benchmark')


@pytest.fixture(scope='module')
def index(repo):
    found = load(str(repo / 'model-index.yml'))
    # Reads every metafile, and raises for what it should not hold.
    found.check()
    return found


def test_every_config_has_an_entry(index, repo):
    listed = [model.config for model in index.models]
    shipped = {
        path.relative_to(repo).as_posix()
        for path in (repo / 'configs').rglob('*.py')
        if path.relative_to(repo).parts[1] not in EXCEPT
    }
    assert sorted(listed) == sorted(shipped)
    names = {collection.name for collection in index.collections}
    for model in index.models:
        assert model.name == model.config.split('/')[-1][: -len('.py')]
        assert model.in_collection in names


def test_the_code_of_a_method_exists(index, repo):
    for collection in index.collections:
        code = collection.data.get('Code')
        assert code is None or (repo / code['URL']).is_file()


def test_results_are_those_of_the_page(index, repo):
    page = (repo / 'docs' / 'results.md').read_text()
    for model in index.models:
        for result in model.results or ():
            for name, value in result.metrics.items():
                assert f'{value:.1f}' in page, (model.name, name)
