"""The `endpoint` backend: a model behind any OpenAI-compatible server."""

from .client import EndpointOptions, key_from
from .model import EndpointModel

__all__ = ["EndpointModel", "EndpointOptions", "key_from"]
