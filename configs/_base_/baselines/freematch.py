"""FreeMatch (arXiv 2205.07246): FixMatch with thresholds that follow.

Its fairness term is left out, and the momentum is for some hundred steps:
ours.
"""

_base_ = './fixmatch.py'

method = dict(
    terms=dict(
        consistency=dict(
            loss=dict(
                _delete_=True,
                type='PseudoLabel',
                adaptive='free',
                momentum=0.99,
            )
        )
    )
)
