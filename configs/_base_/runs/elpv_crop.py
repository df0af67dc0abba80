"""Solar cells in 20 epochs; the teacher sees the student's crop.

For methods on maps and tokens, whose positions have to show the same. Of the
maps it is the last, on the grid of the student's last one.
"""

_base_ = ['../tasks/elpv_mbv3.py', '../schedules/adamw_short.py']

model = dict(teacher=dict(map_indices=[-1]))
