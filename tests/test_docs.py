"""What the pages name exists."""

import re
from pathlib import Path

import open_clip
import pytest
import timm
from packaging.version import Version
from timm.models import is_model


@pytest.fixture(params=['README.md', 'CONTRIBUTING.md', 'docs'])
def pages(repo, request):
    path = repo / request.param
    return [path] if path.is_file() else sorted(path.glob('*.md'))


def test_every_file_that_is_named_exists(repo, pages):
    for page in pages:
        text = page.read_text()
        named = re.findall(r'\b(?:tools|configs|tests)/[\w/-]+\.\w+', text)
        lacking = {name for name in named if not (repo / name).is_file()}
        # One that a page says is gone.
        assert lacking <= {'tools/loader_throughput.py'}, page.name


def test_every_option_of_a_tool_that_is_shown_exists(repo, pages):
    commands = repo / 'mmkd_custom' / 'cli'
    shared = (commands / 'shared' / 'options.py').read_text()
    for page in pages:
        text = page.read_text().replace('\\\n', ' ')
        for tool, rest in re.findall(r'python (tools/[a-z]\w+\.py)(.*)', text):
            file = commands / Path(tool).name
            known = (
                shared + (file if file.is_file() else repo / tool).read_text()
            )
            for option in re.findall(r' (--[a-z][\w-]*)', rest.split('#')[0]):
                assert f"'{option}'" in known, (page.name, tool, option)


def test_every_link_leads_somewhere(pages):
    for page in pages:
        for target in re.findall(r'\]\(([^)]+)\)', page.read_text()):
            name, _, heading = target.partition('#')
            if '://' in name:
                continue
            found = page.parent / name if name else page
            assert found.is_file(), (page.name, target)
            headings = re.findall(r'^#+ (.*)$', found.read_text(), re.M)
            slugs = {re.sub(r'[^\w -]', '', h) for h in headings}
            slugs = {slug.lower().replace(' ', '-') for slug in slugs}
            assert not heading or heading in slugs, (page.name, target)


@pytest.fixture(scope='module')
def family_rows(repo):
    text = (repo / 'docs' / 'teachers.md').read_text()
    return text.split('| family |')[1].split('\n\n')[0].splitlines()[2:]


@pytest.mark.skipif(
    Version(timm.__version__) < Version('1.0.20'),
    reason='the page names networks that came with timm 1.0.20',
)
def test_timm_knows_the_names_of_the_page(family_rows):
    names = [
        name
        for row in family_rows
        for part in re.findall(r'`TimmTeacher`, (.*?)(?:;|\|)', row)
        for name in re.findall(r'`(\w+(?:\.\w+)?)`', part)
        if not name.startswith('dinov2_')
    ]
    assert len(names) >= 12
    for name in names:
        architecture, _, tag = name.partition('.')
        assert is_model(architecture), name
        assert not tag or name in timm.list_pretrained(f'{architecture}.*')


def test_open_clip_knows_the_names_of_the_page(family_rows):
    names = [
        name
        for row in family_rows
        for part in re.findall(r'`OpenCLIPTeacher`, (.*?)(?:;|,|\|)', row)
        for name in re.findall(r'`([\w-]+)`', part)
    ]
    assert len(names) >= 8
    assert set(names) <= set(open_clip.list_models())
