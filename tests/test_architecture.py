"""A lower floor never imports a higher one, and no folder is a drawer."""

import ast
from statistics import median

import pytest

from tests.cli import REPOSITORY

PACKAGE = REPOSITORY / 'mmkd_custom'
#: As in docs/architecture.md; the longest prefix counts.
FLOORS = [
    ('registry', 'errors', 'stages', 'version', 'utils'),
    (
        'models.outputs',
        'models.source',
        'models.options',
        'models.losses',
        'models.connectors',
        'models.backbones',
        'datasets',
    ),
    ('models',),
    ('models.distillers',),
    ('evaluation', 'export'),
    ('engine', 'expand'),
    (
        *('cache', 'fitting', 'texts', 'benchmark', 'measuring', 'analysis'),
        'prediction',
    ),
    ('quickstart',),
    ('cli', '__main__'),
]
FILES = sorted(PACKAGE.rglob('*.py'))


def module_of(path):
    parts = path.relative_to(PACKAGE).with_suffix('').parts
    return '.'.join(part for part in parts if part != '__init__')


def floor_of(module):
    known = {name: i for i, names in enumerate(FLOORS) for name in names}
    found = [n for n in known if f'{module}.'.startswith(f'{n}.')]
    return known[max(found, key=len)]


def imports_of(path):
    """Modules of this package that a file imports, wherever it does."""
    package = (
        module_of(path).split('.')
        if path.name == '__init__.py'
        else (module_of(path).split('.')[:-1])
    )
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = [p for p in package if p][: len(package) - node.level + 1]
            for alias in node.names:
                module = [*base, *filter(None, (node.module or '').split('.'))]
                whole = PACKAGE.joinpath(*module, f'{alias.name}.py')
                if whole.is_file() or whole.with_suffix('').is_dir():
                    module.append(alias.name)
                yield '.'.join(module)


@pytest.mark.parametrize('path', FILES, ids=module_of)
def test_no_file_looks_up(path):
    module = module_of(path)
    if not module or module in ('models', 'models.teachers'):
        return
    higher = [
        other
        for other in imports_of(path)
        if other and floor_of(other) > floor_of(module)
    ]
    assert not higher


def test_no_folder_is_a_drawer_and_no_file_a_book():
    for folder in {path.parent for path in FILES}:
        files = {*folder.glob('*.py')} - {folder / '__init__.py'}
        assert len(files) <= 15, folder
    lengths = {p: len(p.read_text().splitlines()) for p in FILES}
    assert not {p: n for p, n in lengths.items() if n > 300}


def test_losses_are_short_and_share_no_lines():
    losses = sorted((PACKAGE / 'models' / 'losses').glob('*/[!_]*.py'))
    texts = [path.read_text() for path in losses]
    assert median(len(text.splitlines()) for text in texts) <= 60
    seen = {}
    for path, text in zip(losses, texts):
        code = ast.unparse(_Logic().visit(ast.parse(text)))
        lines = [line.strip() for line in code.splitlines() if line.strip()]
        for six in zip(*(lines[i:] for i in range(6))):
            assert seen.setdefault(six, path) == path, (path, six)


class _Logic(ast.NodeTransformer):
    """Leaves what a file computes: neither imports nor docstrings."""

    def visit_ImportFrom(self, node):
        return None

    visit_Import = visit_ImportFrom

    def visit_Expr(self, node):
        return None if isinstance(node.value, ast.Constant) else node
