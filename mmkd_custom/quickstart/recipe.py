"""The config of a run, with the key ``distill``, and that of its student."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Dict, List

from mmengine.config import Config

from ..expand.shipped import shipped
from .data import Data
from .plan import Plan
from .students import Student
from .teachers import Teacher

#: Evaluations and checkpoints of a run, at the most.
LOOKS = 5


def run_config(
    data: Data,
    student: Student,
    teacher: Teacher,
    plan: Plan,
    method: str,
    seed: int,
    name: str,
) -> Dict[str, Any]:
    """Writes the config of a run: MMPretrain's of the student, and the key.

    Args:
        data (Data): The images.
        student (Student): The student.
        teacher (Teacher): The teacher.
        plan (Plan): How it is trained.
        method (str): A file of ``configs/_base_/methods/``.
        seed (int): Of the run.
        name (str): Of the task, for ``results.json``.

    Returns:
        dict: Of plain values.
    """
    train = [
        dict(type='LoadImageFromFile'),
        dict(
            type='RandomResizedCrop',
            scale=plan.size,
            crop_ratio_range=(0.5, 1.0),
        ),
        dict(type='RandomFlip', prob=0.5, direction='horizontal'),
        dict(type='ColorJitter', brightness=0.2, contrast=0.2, backend='cv2'),
        dict(type='PackInputs'),
    ]
    still = test_pipeline(plan.size)
    loader = dict(num_workers=plan.workers)
    tested = dict(
        loader,
        batch_size=plan.labelled + plan.unlabelled,
        dataset=dict(data.specs['test'], pipeline=still, test_mode=True),
        sampler=dict(type='DefaultSampler', shuffle=False),
    )
    evaluator = [
        dict(type='Accuracy', topk=1),
        dict(type='SingleLabelMetric', items=['recall', 'f1-score']),
    ]
    # Not more of them than the clock foresees.
    interval = math.ceil(plan.epochs / LOOKS)
    return dict(
        default_scope='mmpretrain',
        custom_imports=dict(imports=['mmkd_custom']),
        task=name,
        model=student.model,
        data_preprocessor=student.preprocessor,
        train_dataloader=dict(
            loader,
            batch_size=plan.labelled,
            dataset=dict(data.specs['labelled'], pipeline=train),
            sampler=dict(type='DefaultSampler', shuffle=True),
        ),
        val_dataloader=tested,
        test_dataloader=tested,
        val_evaluator=evaluator,
        test_evaluator=evaluator,
        distill=dict(
            teacher=teacher.spec,
            teacher_size=plan.teacher_size,
            teacher_view='whole',
            cache=True,
            unlabelled=dict(data.specs['unlabelled'], pipeline=train),
            unlabelled_batch=plan.unlabelled,
            method=method,
        ),
        optim_wrapper=dict(
            optimizer=dict(type='AdamW', lr=plan.lr, weight_decay=0.05)
        ),
        param_scheduler=_schedule(plan.epochs),
        train_cfg=dict(
            by_epoch=True, max_epochs=plan.epochs, val_interval=interval
        ),
        val_cfg=dict(),
        test_cfg=dict(),
        default_hooks=dict(
            logger=dict(type='LoggerHook', interval=10),
            checkpoint=dict(
                type='CheckpointHook', interval=interval, max_keep_ckpts=2
            ),
        ),
        randomness=dict(seed=seed),
    )


def student_config(data: Data, student: Student, plan: Plan) -> Dict[str, Any]:
    """Writes what MMPretrain's inferencer wants beside ``student.pth``."""
    model = dict(student.model)
    # Its weights are those of the file beside it.
    backbone = dict(model.get('backbone') or {})
    if backbone.pop('init_cfg', None) is not None:
        model['backbone'] = backbone
    model.pop('checkpoint_path', None)
    return dict(
        default_scope='mmpretrain',
        model=model,
        data_preprocessor=student.preprocessor,
        classes=list(data.classes),
        test_dataloader=dict(
            dataset=dict(
                type='CustomDataset', pipeline=test_pipeline(plan.size)
            )
        ),
    )


def test_pipeline(size: int) -> List[dict]:
    """Returns how images are made for the student when it is tested."""
    return [
        dict(type='LoadImageFromFile'),
        dict(type='Resize', scale=(size, size), interpolation='area'),
        dict(type='PackInputs'),
    ]


def write_config(path: Path, content: Dict[str, Any], about: str) -> None:
    """Writes a config as Python, below a docstring.

    Args:
        path (Path): The file.
        content (dict): The config.
        about (str): The docstring.
    """
    path.write_text(
        f'"""{about}"""\n\n{Config(content).pretty_text}', encoding='utf-8'
    )


def _schedule(epochs: int) -> List[dict]:
    warm, cosine = shipped('schedules/adamw_short.py')['param_scheduler']
    # One epoch alone has no time to warm up.
    return [warm, cosine] if epochs > 1 else [cosine]
