"""DomainNet (cleaned) at 224 px: SOURCE labelled, TARGET not.

Put the domain folders clipart, infograph, painting, quickdraw, real and
sketch, and the lists `image_list/<domain>_<train|test>.txt`, under DATA_ROOT.
Trained on the train lists of both domains, tested on the target's test list.
Images, batches and metrics are those of OfficeHome.
"""

_base_ = './officehome_224.py'

data_root = '{{$DATA_ROOT:data/domainnet}}'
source = '{{$SOURCE:real}}'
target = '{{$TARGET:clipart}}'
task = f'{source}->{target}'

labelled = dict(
    type='DomainList', data_root=data_root, domain=source, split='train'
)
unlabelled = dict(labelled, domain=target, classes_from=source)

train_dataloader = dict(dataset=dict(labelled=labelled, unlabelled=unlabelled))
val_dataloader = dict(dataset=dict(unlabelled, split='test'))
test_dataloader = val_dataloader
