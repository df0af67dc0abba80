"""The same with the weight a and the temperature T of the environment.

So that `tools/benchmark.py --tasks ALPHA=0.3,TEMPERATURE=1 …` has a column for
each pair.
"""

_base_ = './probe_then_distil.py'

alpha = {{'$ALPHA:0.5'}}
temperature = {{'$TEMPERATURE:2.0'}}
task = f'{_base_.source}->{_base_.target}, a={alpha}, T={temperature}'

model = dict(
    supervised_weight=1 - alpha,
    terms=dict(kd=dict(loss=dict(temperature=temperature), weight=alpha)),
)
