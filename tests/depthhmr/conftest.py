"""Two cores shared with others: one thread per test process is faster than two that wait for each other."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch = pytest.importorskip("torch", reason="the network's tests need the train extra")
    torch.set_num_threads(1)
