from pathlib import Path

import pytest

from mmkd_custom.datasets.domain_folder import DomainFolder
from mmkd_custom.datasets.domains import (
    class_root,
    domain_classes,
    find_domain,
    find_domains,
    find_root,
    is_trunked,
    split_names,
)
from mmkd_custom.datasets.subset import split_digest
from mmkd_custom.errors import UserError


@pytest.mark.parametrize(
    'wrapper', ['kfold', 'pacs_data', 'OfficeHomeDataset_10072016']
)
def test_folder_of_the_archive_is_passed_through(
    two_domains, tmp_path, wrapper
):
    # The root is tmp_path's only folder.
    assert find_domain(tmp_path, 'art') == Path(two_domains) / 'Art'
    right = split_digest(DomainFolder(two_domains, 'Art,Real World'))
    outer = tmp_path / 'outer'
    outer.mkdir()
    Path(two_domains).rename(outer / wrapper)
    # What lies beside it, as PACS' list files do, is no hindrance.
    (outer / 'Train val splits').mkdir()
    dataset = DomainFolder(str(outer), 'Art,real_world')
    assert dataset.data_root == str(outer / wrapper)
    assert split_digest(dataset) == right


def test_class_named_as_a_domain_is_none(tmp_path, touch):
    touch(tmp_path, 'mine/Art/sketch/1.png')
    with pytest.raises(UserError, match="domain 'sketch'"):
        find_domain(tmp_path / 'mine', 'sketch')


def test_exact_spelling_wins_and_a_tie_is_refused(tmp_path, touch):
    touch(tmp_path, 'Real World/a/1.png', 'Real_World/a/1.png')
    assert find_domain(tmp_path, 'Real_World').name == 'Real_World'
    with pytest.raises(UserError, match="'real world'.*'Real World'"):
        find_domain(tmp_path, 'real world')


@pytest.mark.parametrize('root', ['', None, '/no/such'])
def test_missing_root_is_named(root):
    with pytest.raises(UserError, match=f'data_root: .*{root or ""}.*DATA_RO'):
        find_root(root)


def test_unknown_domain_lists_those_there_are(two_domains):
    with pytest.raises(UserError, match="'Arts'.*'Art', 'Real World'"):
        find_domain(two_domains, 'Arts')
    (Path(two_domains) / 'Empty').mkdir()
    with pytest.raises(UserError, match="domain 'Empty'"):
        domain_classes(two_domains, 'Empty')


def test_names():
    assert split_names(' Art , Real World') == ['Art', 'Real World']
    assert split_names(('a', 'b')) == ['a', 'b']
    for none in (None, 3, [], '', 'a,,b', 'a,'):
        with pytest.raises(UserError, match='domain: '):
            split_names(none)


def test_several_domains_in_the_order_given(two_domains):
    found = find_domains(two_domains, 'real-world,Art')
    assert [folder.name for folder in found] == ['Real World', 'Art']
    for twice in ('Art,art', ['Art', 'ART']):
        with pytest.raises(UserError, match='domain: .*once'):
            find_domains(two_domains, twice)


def test_images_folder_of_images_alone_is_a_class(tmp_path, touch):
    touch(tmp_path, 'images/1.png')
    assert class_root(tmp_path) == tmp_path
    touch(tmp_path, 'images/a/1.png')
    assert class_root(tmp_path) == tmp_path / 'images'
    touch(tmp_path, 'b/1.png')
    assert class_root(tmp_path) == tmp_path


def test_trunks(tmp_path):
    assert not is_trunked(tmp_path)
    (tmp_path / 'trunk00').mkdir()
    assert is_trunked(tmp_path)
    (tmp_path / 'tree').mkdir()
    assert not is_trunked(tmp_path)
