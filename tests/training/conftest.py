"""Fixtures of the tests of training."""

import pytest
import torch


@pytest.fixture
def one_thread():
    """Threads that wait for each other would be most of the time of small networks."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
