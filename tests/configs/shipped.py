"""Which configs are shipped, and which of them are of one method each."""

from tests.cli import REPOSITORY

ROOT = REPOSITORY / 'configs'
CONFIGS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in ROOT.rglob('*.py')
    if '_base_' not in path.parts
)
#: A file of `_base_/runs/` and one of `_base_/methods/`. What is the same for
#: all of them, that is data, schedule and hooks, is tried with some of them.
METHODS = [n for n in CONFIGS if '/_base_/runs/' in (ROOT / n).read_text()]
#: What reads files that an earlier step has fitted: `test_good_practices.py`.
FITTED = [
    n for n in CONFIGS if n.startswith(('good_practices/', 'small_vit/'))
]
BUT_METHODS = [n for n in CONFIGS if n not in METHODS and n not in FITTED]
#: One of each of the runs, with heads, strong views and hooks of their own.
TRIED = [
    'dann/dann_mbv3_elpv.py',
    'dho/dho_mbv3_elpv.py',
    'fixmatch/fixmatch_mbv3_elpv.py',
    'frequency_view/frequency_view_mbv3_elpv.py',
    'gkd/gkd_mbv3_domain_folder.py',
    'lelp/lelp_mbv3_domain_folder.py',
    'mdcs/mdcs_mbv3_domain_folder.py',
]
