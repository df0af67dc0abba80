import pytest

from mmkd_custom.datasets import ImageCSV
from mmkd_custom.errors import UserError

LINES = ['path,label,note', 'a b.png,dog,x', 'c.png,cat,', 'd.png,,y']


@pytest.fixture
def table(tmp_path, write_image):
    for name in ('a b.png', 'c.png', 'd.png'):
        write_image(tmp_path / name)
    file = tmp_path / 'images.csv'
    file.write_text('\n'.join(LINES), encoding='utf-8-sig')
    return file


def names(dataset):
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    return [
        (info['img_path'].rpartition('/')[2], info.get('gt_label'))
        for info in infos
    ]


def test_rows_with_and_without_a_label(table):
    labelled = ImageCSV(str(table))
    assert labelled.CLASSES == ('cat', 'dog')
    assert names(labelled) == [('a b.png', 1), ('c.png', 0)]
    unlabelled = ImageCSV(str(table), rows='unlabelled')
    assert unlabelled.CLASSES is None
    assert names(unlabelled) == [('d.png', None)]
    assert [label for _, label in names(ImageCSV(str(table), rows='all'))] == [
        None
    ] * 3


def test_paths_below_another_root_and_classes_of_others(table, tmp_path):
    file = tmp_path / 'below' / 'images.tsv'
    file.parent.mkdir()
    file.write_text('label\tpath\ndog\tc.png\n')
    dataset = ImageCSV(
        str(file), data_root=str(tmp_path), classes=['cat', 'dog']
    )
    assert names(dataset) == [('c.png', 1)]
    assert dataset.get_data_info(0)['img_path'] == str(tmp_path / 'c.png')


def test_a_subset_of_every_class(table):
    with table.open('a') as file:
        file.write('\na b.png,cat\n')
    kept = ImageCSV(str(table), labels_per_class=1, seed=0)
    rest = ImageCSV(str(table), labels_per_class=1, seed=0, complement=True)
    assert sorted(names(kept) + names(rest)) == sorted(
        names(ImageCSV(str(table)))
    )


@pytest.mark.parametrize(
    ('text', 'options', 'said'),
    [
        ('', {}, 'columns'),
        ('file,label\na.png,x\n', {}, "'file'"),
        ('path,label\n', {}, 'rows'),
        ('path,label\n,x\n', {}, 'line 2'),
        ('path,label\na.png,\n', {}, 'a label'),
        ('path,label\na.png,x\n', dict(rows='unlabelled'), 'empty label'),
        ('path,label\na.png,x\n', dict(classes=['y']), "line 2.*'x'"),
        ('path,label\na.png,x\n', dict(rows='some'), 'rows'),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, options, said):
    file = tmp_path / 'images.csv'
    file.write_text(text)
    with pytest.raises(UserError, match=said):
        ImageCSV(str(file), **options)
    with pytest.raises(UserError, match='nowhere'):
        ImageCSV(str(tmp_path / 'nowhere.csv'))
