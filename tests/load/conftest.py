"""The mini server's requests: the client sends them in these tests, too."""

from tests.server.conftest import requests, trace

__all__ = ["requests", "trace"]  # fixtures
