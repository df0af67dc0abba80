"""Two processes compute the gradients of one on the whole batch."""

import pytest
import torch
import torch.distributed as dist
from mmengine.model import MMDistributedDataParallel
from mmengine.testing._internal import MultiProcessTestCase

from mmkd_custom.stages import CUSTOMIZATION, DISTILLATION
from tests.helpers import build_customkd, make_batch, student_config

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
class TestDistributed(MultiProcessTestCase):
    """Runs each test in two gloo processes."""

    @property
    def world_size(self):
        return 2

    def setUp(self):
        super().setUp()
        self._spawn_processes()

    def _check_return_codes(self, elapsed_time):
        # MMEngine's skips the test when a process was aborted; here that is
        # a failure.
        self._check_no_test_errors(elapsed_time)
        assert [p.exitcode for p in self.processes] == [0, 0]

    def _init(self):
        torch.set_num_threads(1)
        # A group that is still open when the process ends aborts it.
        self.addCleanup(dist.destroy_process_group)
        dist.init_process_group(
            backend='gloo',
            rank=self.rank,
            world_size=self.world_size,
            store=dist.FileStore(self.file_name, self.world_size),
        )

    def test_gradients_equal_one_process(self):
        self._init()
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
        self._init()
        model = MMDistributedDataParallel(build(), find_unused_parameters=True)
        teacher = {id(p) for p in model.module.teacher.parameters()}
        assert teacher
        assert not teacher & {id(p) for p in model.parameters()}
