"""Pictures of what a run sees and learns."""

from .similarity_hook import FeatureSimilarityHook

__all__ = ['FeatureSimilarityHook']
