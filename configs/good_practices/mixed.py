"""The same with Mixup of the unlabelled images, and of what is said of them.

A stand-in of ours for images that a diffusion model mixes. The soft targets
of a mix are the mix of the soft targets: the teacher does not see it.
"""

_base_ = './probe_then_distil.py'

model = dict(mixup=1.0)
