from pathlib import Path

import pytest

from mmkd_custom.datasets.domain_folder import DomainFolder
from mmkd_custom.datasets.domains import (
    class_root,
    find_domain,
    find_domains,
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
    right = split_digest(DomainFolder(two_domains, 'Art,Real World'))
    outer = tmp_path / 'outer'
    outer.mkdir()
    Path(two_domains).rename(outer / wrapper)
    # What lies beside it, as PACS' list files do, is no hindrance.
    (outer / 'Train val splits').mkdir()
    dataset = DomainFolder(str(outer), 'Art,real_world')
    assert dataset.data_root == str(outer / wrapper)
    assert split_digest(dataset) == right


def test_only_folder_is_passed_through(two_domains, tmp_path):
    # conftest's root is the only folder of tmp_path.
    assert find_domain(tmp_path, 'art') == Path(two_domains) / 'Art'


def test_root_a_level_too_high_is_named(two_domains, tmp_path):
    (tmp_path / 'other').mkdir()
    with pytest.raises(UserError, match=f'it is in {two_domains}: set DATA_R'):
        find_domain(tmp_path, 'Art')


@pytest.mark.parametrize('inner', ['', '/images'])
def test_root_a_level_too_deep_is_named(tmp_path, write_image, inner):
    for domain in ('amazon', 'dslr'):
        write_image(Path(f'{tmp_path}/{domain}{inner}') / 'bike' / '1.png')
    for deep in {tmp_path / 'amazon', Path(f'{tmp_path}/amazon{inner}')}:
        with pytest.raises(UserError, match=f'it is in {tmp_path}: set DATA'):
            find_domain(deep, 'dslr')


def test_no_place_is_named_that_does_not_hold_it(two_domains):
    with pytest.raises(UserError) as refused:
        find_domain(two_domains, 'cat')
    assert 'it is in' not in str(refused.value)


def test_class_named_as_a_domain_is_no_domain(tmp_path, write_image):
    write_image(tmp_path / 'mine' / 'Art' / 'sketch' / '1.png')
    with pytest.raises(UserError, match="domain 'sketch' is unknown"):
        find_domain(tmp_path / 'mine', 'sketch')


def test_names():
    assert split_names(' Art , Real World') == ['Art', 'Real World']
    assert split_names(('a', 'b')) == ['a', 'b']
    assert split_names('a') == ['a']
    for none in (None, 3, [], '', 'a,,b'):
        with pytest.raises(UserError, match='domain: a name, a list of names'):
            split_names(none)


def test_several_domains_in_the_order_given(two_domains):
    found = find_domains(two_domains, 'real-world,Art')
    assert [folder.name for folder in found] == ['Real World', 'Art']


def test_images_folder_of_images_alone_is_a_class(tmp_path, write_image):
    write_image(tmp_path / 'mine' / 'images' / '1.png')
    assert class_root(tmp_path / 'mine') == tmp_path / 'mine'
    write_image(tmp_path / 'mine' / 'images' / 'a' / '1.png')
    assert class_root(tmp_path / 'mine') == tmp_path / 'mine' / 'images'
    write_image(tmp_path / 'mine' / 'b' / '1.png')
    assert class_root(tmp_path / 'mine') == tmp_path / 'mine'


def test_trunks(tmp_path):
    assert not is_trunked(tmp_path)
    (tmp_path / 'trunk00').mkdir()
    assert is_trunked(tmp_path)
    (tmp_path / 'tree').mkdir()
    assert not is_trunked(tmp_path)
