"""CustomKD as the paper has it: two feature terms, alternating stages.

The weights 1 and 1 are our choice (docs/methods.md, CustomKD).
"""

method = dict(type='CustomKD', general_weight=1.0, specific_weight=1.0)
