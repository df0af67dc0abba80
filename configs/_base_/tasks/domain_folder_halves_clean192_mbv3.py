"""Half of TARGET's images are unlabelled, the other half is tested.

What has seen the tested images themselves, labels or not, may do better on
them than on new ones: these numbers are of new ones. The halves are the same
with every seed, and have the same share of each class.
"""

_base_ = './domain_folder_clean192_mbv3.py'

task = f'{_base_.source}->{_base_.target}, other half'

half = dict(fraction=0.5)

train_dataloader = dict(dataset=dict(unlabelled=half))
val_dataloader = dict(dataset=dict(half, complement=True))
test_dataloader = val_dataloader
