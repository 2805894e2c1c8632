"""Ctrl-C between two steps, never within one."""

import os
import signal

import pytest

from depthhmr_cli.interrupts import Interrupts


def test_a_held_step_runs_to_its_end_and_is_interrupted_behind_it():
    done = []

    with pytest.raises(KeyboardInterrupt), Interrupts() as interrupts:
        with interrupts.held():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("first")
        done.append("second")

    assert done == ["first"]


def test_between_steps_it_interrupts_at_once():
    with pytest.raises(KeyboardInterrupt), Interrupts() as interrupts:
        with interrupts.held():
            pass
        os.kill(os.getpid(), signal.SIGINT)
        signal.pause()


def test_an_error_in_a_step_is_the_error_that_is_seen():
    with pytest.raises(ValueError, match="full"), Interrupts() as interrupts, interrupts.held():
        os.kill(os.getpid(), signal.SIGINT)
        raise ValueError("full")


def test_what_was_there_before_is_back_afterwards():
    before = signal.getsignal(signal.SIGINT)

    with Interrupts():
        assert signal.getsignal(signal.SIGINT) != before

    assert signal.getsignal(signal.SIGINT) == before
