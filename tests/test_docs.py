"""What the pages name exists, and the site is built without a warning."""

import os
import re
import subprocess
import sys

import open_clip
import pytest
import timm
import yaml
from packaging.version import Version
from timm.models import is_model

from mmkd_custom.version import __version__

#: Files that a page says are gone.
GONE = {'tools/loader_throughput.py'}


@pytest.fixture(params=['README.md', 'CONTRIBUTING.md', 'docs'])
def pages(repo, request):
    path = repo / request.param
    return [path] if path.is_file() else sorted(path.glob('*.md'))


def options_of(repo, name):
    """Returns the source in which a tool declares its options, if any."""
    package = repo / 'mmkd_custom'
    places = repo / 'tools', package / 'cli', package / 'cli' / 'teachers'
    own = [place / f'{name}.py' for place in places]
    own = [file for file in own if file.is_file()]
    shared = (package / 'cli' / 'shared').glob('*.py')
    return ''.join(file.read_text() for file in (*own, *shared) if own)


def headings_of(page):
    return re.findall(r'^#+ (.*)$', page.read_text(), re.M)


def test_every_file_that_is_named_exists(repo, pages):
    for page in pages:
        text = page.read_text()
        named = re.findall(r'\b(?:tools|configs|tests)/[\w/-]+\.\w+', text)
        lacking = {name for name in named if not (repo / name).is_file()}
        assert lacking <= GONE, page.name


def test_every_option_of_a_tool_that_is_shown_exists(repo, pages):
    for page in pages:
        text = page.read_text().replace('\\\n', ' ')
        shown = re.findall(r'python tools/([a-z]\w+)\.py(.*)', text)
        shown += re.findall(r'^mmkd ([a-z]\w+)(.*)', text, re.M)
        for tool, rest in shown:
            known = options_of(repo, tool)
            if not known:
                # A tool that does not exist is another test's finding.
                continue
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
            if not heading:
                # A picture, say.
                continue
            slugs = {re.sub(r'[^\w -]', '', h) for h in headings_of(found)}
            slugs = {slug.lower().replace(' ', '-') for slug in slugs}
            assert heading in slugs, (page.name, target)


def test_every_page_that_the_code_cites_exists(repo):
    for folder in ('mmkd_custom', 'configs', 'tools'):
        for file in (repo / folder).rglob('*.py'):
            text = ' '.join(file.read_text().split())
            for page, heading in re.findall(
                r'\bdocs/(\w+)\.md(?:, ([A-Z][\w ]+?)[).;])?', text
            ):
                found = repo / 'docs' / f'{page}.md'
                assert found.is_file(), (file, page)
                if heading:
                    assert heading in headings_of(found), (file, heading)


def test_the_site_is_built_without_a_warning(repo, tmp_path):
    done = subprocess.run(
        [sys.executable, '-m', 'mkdocs', 'build', '--strict']
        + ['--site-dir', str(tmp_path / 'site')],
        cwd=repo,
        env=dict(os.environ, NO_MKDOCS_2_WARNING='1'),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for page in (repo / 'docs').glob('*.md'):
        name = '' if page.stem == 'index' else page.stem
        built = (tmp_path / 'site' / name / 'index.html').read_text()
        # Nothing is fetched from elsewhere when a page is read.
        loaded = re.findall(r'<(?:script|link|img)[^>]*>', built)
        assert not [tag for tag in loaded if '="http' in tag], page.name
    changes = (tmp_path / 'site' / 'changelog' / 'index.html').read_text()
    assert 'id="unreleased"' in changes


def test_the_citation_is_of_this_version(repo):
    citation = yaml.safe_load((repo / 'CITATION.cff').read_text())
    assert citation['version'] == __version__
    assert '2503.18244' in str(citation['preferred-citation'])


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
