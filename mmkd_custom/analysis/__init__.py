"""Pictures of what a run sees and learns, and what its teacher knows."""

from .similarity_hook import FeatureSimilarityHook
from .teacher_metrics import TeacherMetricsHook

__all__ = ['FeatureSimilarityHook', 'TeacherMetricsHook']
