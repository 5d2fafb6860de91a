from tests.prove.conftest import forks

__all__ = ["forks"]
