"""Two processes compute the gradients of one on the whole batch."""

import pytest
import torch
from mmengine.model import MMDistributedDataParallel

from mmkd_custom.stages import CUSTOMIZATION, DISTILLATION
from tests.helpers import build_customkd, make_batch, student_config
from tests.two_ranks import TwoRanks

LABELS = [0, 1, 2, 3, None, None, None, None]


def build():
    """A model whose forward treats every image on its own."""
    student = student_config()
    # BatchNorm over half a batch is another function than over the whole.
    student['backbone']['norm_eval'] = True
    student['head']['dropout_rate'] = 0.0
    return build_customkd(student=student)


def gradients(model, stage, batch):
    core = getattr(model, 'module', model)
    model.train()
    core.set_stage(stage)
    model.zero_grad()
    data = core.data_preprocessor(batch, True)
    loss, _ = core.parse_losses(model(**data, mode='loss'))
    loss.backward()
    return {
        name: parameter.grad.clone()
        for name, parameter in core.named_parameters()
        if parameter.grad is not None
    }


@pytest.mark.slow
class TestDistributed(TwoRanks):
    """Runs each test in two gloo processes."""

    def test_gradients_equal_one_process(self):
        self.join_group()
        whole = make_batch(LABELS)
        # Rank 0 gets labelled 0, 1 and the first two unlabelled images.
        mine = [
            2 * self.rank,
            2 * self.rank + 1,
            4 + 2 * self.rank,
            5 + 2 * self.rank,
        ]
        part = dict(
            inputs=whole['inputs'][mine],
            data_samples=[whole['data_samples'][i] for i in mine],
        )
        for stage, trained in (
            (CUSTOMIZATION, 'teacher_projection.'),
            (DISTILLATION, 'student'),
        ):
            model = MMDistributedDataParallel(
                build(), broadcast_buffers=False, find_unused_parameters=True
            )
            got = gradients(model, stage, part)
            expected = gradients(build(), stage, make_batch(LABELS))
            assert got.keys() == expected.keys()
            assert all(name.startswith(trained) for name in got)
            for name, gradient in expected.items():
                torch.testing.assert_close(
                    got[name], gradient, rtol=1e-3, atol=1e-5, msg=name
                )

    def test_no_teacher_in_the_reducer(self):
        self.join_group()
        model = MMDistributedDataParallel(build(), find_unused_parameters=True)
        teacher = {id(p) for p in model.module.teacher.parameters()}
        assert teacher
        assert not teacher & {id(p) for p in model.parameters()}
