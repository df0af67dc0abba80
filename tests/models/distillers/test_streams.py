"""All streams and views of a dataset reach the distiller that wants them."""

import torch
from mmengine.dataset import default_collate
from torch.utils.data import DataLoader

from mmkd_custom.datasets import (
    ImageFolder,
    TwoStreamBatchSampler,
    TwoStreamDataset,
    TwoStreamSampler,
)
from tests.helpers import build_customkd, make_domains

PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomResizedCrop', scale=32),
    dict(type='PackInputs'),
]


def test_customization_is_labelled_and_distillation_sees_all(
    tmp_path, monkeypatch
):
    root = str(make_domains(tmp_path / 'data', classes=tuple('abcde')))

    def domain(name):
        return dict(
            type='mmkd_custom.DomainFolder',
            data_root=root,
            domain=name,
            pipeline=PIPELINE,
        )

    dataset = TwoStreamDataset(
        domain('art'),
        domain('photo'),
        synthetic=ImageFolder(f'{root}/photo/a', pipeline=PIPELINE),
        pipelines=dict(strong=PIPELINE),
    )
    sampler = TwoStreamSampler(dataset, 4, 4, synthetic=2, seed=0)
    model = build_customkd().train()
    sampler.set_schedule(model.schedule)
    batches = []
    for name in ('loss_customization', 'loss_distillation'):
        usual = getattr(model, name)
        monkeypatch.setattr(
            model, name, lambda b, f=usual: batches.append(b) or f(b)
        )
    for epoch in (0, 1):
        sampler.set_epoch(epoch)
        model.set_stage(model.schedule(epoch).name)
        loader = DataLoader(
            dataset,
            batch_sampler=TwoStreamBatchSampler(sampler, 10),
            collate_fn=default_collate,
        )
        data = model.data_preprocessor(next(iter(loader)), True)
        losses = model(**data, mode='loss')
        assert all(torch.isfinite(value).all() for value in losses.values())
    customization, distillation = batches
    streams = [s.stream for s in customization.samples]
    assert streams == ['labelled'] * 4
    streams = [s.stream for s in distillation.samples]
    assert streams[4:] == ['unlabelled'] * 4 + ['synthetic'] * 2
    rows = distillation.labelled, distillation.unlabelled
    assert rows == (slice(0, 4), slice(4, 8))
    assert distillation.synthetic == slice(8, 10)
    # The same transforms under the same seed.
    views = distillation.views
    assert torch.equal(views['strong'], views['student'])
