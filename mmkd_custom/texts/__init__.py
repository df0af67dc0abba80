"""Texts beside images: a corpus, its embeddings, zero-shot evaluation."""

from .embedded import EmbeddedTexts
from .hook import TextCorpusHook

__all__ = ['EmbeddedTexts', 'TextCorpusHook']
