"""ScaleKD from BEiT-L/14 or EVA-L/14 to ViTs.

The authors' sums over 16 x 16 positions with .016 and .008 are means with
4.096 and 2.048.
"""

places = dict(original=4.096, alternative=2.048, num_heads=8)
method = dict(type='ScaleKD', stage3=places, stage4=places)
