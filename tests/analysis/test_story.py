"""The picture of the demo: what is shown, and what is said of it."""

import numpy as np
import torch
from PIL import Image

from mmkd_custom.analysis.runs import read_runs
from mmkd_custom.analysis.story import (
    RIGHT,
    WRONG,
    Said,
    disagreements,
    draw_story,
    probe_says,
    tell_story,
)
from mmkd_custom.analysis.students import build_tested
from mmkd_custom.analysis.style import drawing
from mmkd_custom.models.teachers.wrappers.probed import Probe


def test_images_of_each_class_on_which_two_disagree():
    labels = np.array([0, 0, 1, 1, 1])
    found = disagreements(
        labels, np.array([0, 1, 1, 1, 0]), np.array([0, 0, 0, 1, 1]), 3
    )
    assert [row.tolist() for row in found] == [[1], [2, 4], []]


def test_what_is_right_is_marked_by_sign_and_colour():
    said = [
        Said('one', np.array([[0.9, 0.1], [0.7, 0.3]])),
        Said('other', np.array([[0.2, 0.8], [0.4, 0.6]])),
    ]
    images = [np.zeros((8, 8, 3), np.uint8)] * 2
    with drawing() as pyplot:
        figure = draw_story(
            pyplot,
            [('always a', 40.0), ('one', 60.0), ('other', 70.0)],
            'a task',
            images,
            np.array([0, 1]),
            said,
            ['first', 'second'],
        )
        bars, *boxes = figure.axes
        texts = [
            [(text.get_text(), text.get_color()) for text in box.texts]
            for box in boxes
        ]
        assert texts == [
            [('✓ one 90 %', RIGHT), ('✗ other 80 %', WRONG)],
            [('✗ one 70 %', WRONG), ('✓ other 60 %', RIGHT)],
        ]
        assert 'a task' in bars.get_title('left')
        assert [text.get_text() for text in bars.texts] == [
            *('40.0', '60.0', '70.0')
        ]
        assert [text.get_text() for text in figure.texts] == [
            *('first', 'second')
        ]


def test_of_finished_runs(finished, tmp_path):
    runs = {name: finished / name for name in ('plain', 'distilled')}
    path = tell_story(runs, tmp_path)
    assert path.with_suffix('.svg').is_file()
    with Image.open(path) as image:
        assert 800 <= image.width <= 1660


def test_the_probe_is_fitted_to_the_labelled_images_alone(finished, tmp_path):
    tested = build_tested(read_runs([finished / 'distilled'])[0])
    config = tested.student.config
    scores = probe_says(config, [0, 5, 11], tmp_path)
    assert scores.shape == (3, 3)
    np.testing.assert_allclose(scores.sum(1), 1, atol=1e-5)
    assert torch.isfinite(torch.from_numpy(scores)).all()
    probe = Probe.load(tmp_path / 'probe.safetensors')
    assert probe.split_sha256 == tested.run.results['split_sha256']
    # What it was given is as it was.
    assert 'indices' not in config.train_dataloader.dataset.labelled
