"""What all data share: two streams to train on, top-1 and macro-F1.

A file of this folder adds its images, statistics and sizes. Batch sizes and
the ratio of the streams are our choices (docs/protocols.md).
"""

data_preprocessor = dict(
    num_classes='auto',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True,
)

train_dataloader = dict(
    batch_size=128,
    num_workers=2,
    dataset=dict(type='TwoStreamDataset', seed={{'$SEED:0'}}),
    sampler=dict(
        type='TwoStreamSampler',
        labelled=64,
        unlabelled=64,
        epoch_length='longer',
    ),
    batch_sampler=dict(type='TwoStreamBatchSampler'),
)
val_dataloader = dict(
    batch_size=128,
    num_workers=2,
    dataset=dict(test_mode=True),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
test_dataloader = val_dataloader

val_evaluator = [
    dict(type='Accuracy', topk=1),
    dict(type='SingleLabelMetric', items=['f1-score']),
]
test_evaluator = val_evaluator

# The learning rates of the configs are meant for one process.
auto_scale_lr = dict(base_batch_size=128)
