"""What is not the student does not ship as if it were."""

import math

import numpy as np
import pytest

from mmkd_custom.errors import UserError
from mmkd_custom.export.parity import Parity
from mmkd_custom.export.report import report

LOGITS = np.array([[1.0, 2.0], [30.0, 4.0]])


@pytest.mark.parametrize(
    'off, tolerance, refused',
    [
        (0.0, 1e-3, False),
        # Of logits up to 30.
        (0.02, 1e-3, False),
        (0.04, 1e-3, True),
        (9.0, math.inf, False),
        (math.nan, math.inf, True),
        (math.inf, math.inf, True),
    ],
)
def test_differences(off, tolerance, refused):
    parity, labels = Parity(), np.array([1, 0])
    said = LOGITS.copy()
    said[0, 0] += off
    parity.add(LOGITS, said, labels)
    parity.add(LOGITS, LOGITS, labels)
    if not refused:
        parity.check('a.onnx', tolerance)
        return
    with pytest.raises(UserError, match='a.onnx'):
        parity.check('a.onnx', tolerance)


@pytest.mark.parametrize('top1, warned', [(79.5, False), (78.0, True)])
def test_int8_that_loses_more_than_a_point_names_the_cure(top1, warned):
    file = dict(bytes=1, top1=top1, top1_of_student=80.0, test_images=200)
    file.update(same_top1=190, max_logit_difference=0.5)
    files = {'student_int8.onnx': file}
    said = report(
        dict(
            files=files,
            not_compared=None,
            needs=[],
            checked_with_mmpretrain=True,
        )
    )
    assert ('quantize=' in said) is warned
