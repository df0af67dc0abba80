"""What the pages name exists."""

import re

import open_clip
import pytest
import timm
from packaging.version import Version
from timm.models import is_model


def page(repo, name):
    return (repo / 'docs' / name).read_text()


def family_rows(repo):
    text = page(repo, 'teachers.md').split('| family |')[1].split('\n\n')[0]
    return text.splitlines()[2:]


def test_every_test_that_is_named_exists(repo):
    sources = list((repo / 'tests').rglob('*.py'))
    known = {path.stem for path in sources}
    for path in sources:
        known.update(re.findall(r'def (test_\w+)\(', path.read_text()))
    for path in (repo / 'docs').glob('*.md'):
        named = set(re.findall(r'\btest_\w+', path.read_text()))
        # A tiny network of timm, which a page may show.
        lacking = {name for name in named - known if not is_model(name)}
        assert not lacking, path.name


def test_every_tool_and_config_that_is_named_exists(repo):
    for path in [repo / 'README.md', *(repo / 'docs').glob('*.md')]:
        text = path.read_text()
        named = re.findall(r'\b(?:tools|configs|tests)/[\w/]+\.\w+', text)
        lacking = [name for name in named if not (repo / name).is_file()]
        assert not lacking, path.name


@pytest.mark.skipif(
    Version(timm.__version__) < Version('1.0.20'),
    reason='the page names networks that came with timm 1.0.20',
)
def test_timm_knows_the_names_of_the_page(repo):
    names = [
        name
        for row in family_rows(repo)
        for part in re.findall(r'`TimmTeacher`, (.*?)(?:;|\|)', row)
        for name in re.findall(r'`(\w+(?:\.\w+)?)`', part)
        if not name.startswith('dinov2_')
    ]
    assert len(names) >= 12
    for name in names:
        architecture, _, tag = name.partition('.')
        assert is_model(architecture), name
        assert not tag or name in timm.list_pretrained(f'{architecture}.*')


def test_open_clip_knows_the_names_of_the_page(repo):
    names = [
        name
        for row in family_rows(repo)
        for part in re.findall(r'`OpenCLIPTeacher`, (.*?)(?:;|,|\|)', row)
        for name in re.findall(r'`([\w-]+)`', part)
    ]
    assert len(names) >= 8
    assert set(names) <= set(open_clip.list_models())
