"""Runtime shared by every config of this project."""

default_scope = 'mmkd_custom'

seed = {{'$SEED:0'}}
randomness = dict(seed=seed, deterministic=False)

default_hooks = dict(
    runtime_info=dict(type='RuntimeInfoHook'),
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=10),
    # Like MMEngine's, but each stage walks through its own schedule.
    param_scheduler=dict(type='StageParamSchedulerHook'),
    # Atomic files, and one more than the newest: a kill never leaves a run
    # without a checkpoint to continue from.
    checkpoint=dict(
        type='CheckpointHook',
        interval=1,
        max_keep_ckpts=2,
        backend_args=dict(backend='atomic'),
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='VisualizationHook', enable=False),
)

custom_hooks = [
    dict(type='StageHook'),
    dict(type='EpochSeedHook'),
    dict(type='StrictLoadHook'),
    dict(type='ResultsHook'),
    dict(type='ProgressHook'),
    dict(type='TeacherReportHook'),
    dict(type='TeacherCacheHook'),
    # For a model that has PropagatedLabels among its networks.
    dict(type='PropagateLabelsHook'),
    dict(type='ClassesHook'),
    # action='skip' leaves iterations out whose loss is not finite.
    dict(type='FiniteLossHook', action='raise'),
]

# Each stage trains one part of the model.
find_unused_parameters = True

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)

vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='UniversalVisualizer', vis_backends=vis_backends)
log_level = 'INFO'
load_from = None
resume = False
