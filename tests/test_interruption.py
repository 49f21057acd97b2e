# SPDX-License-Identifier: MIT
"""Signals are held back, honoured once asked for, and given back."""

import os
import signal
import threading

import pytest

from mcrage.interruption import SIGNALS, Interrupted, Interruption


@pytest.fixture(autouse=True)
def no_signal_before(monkeypatch):
    monkeypatch.setattr(Interruption, "_latest", -1e9)


def send(signum: int) -> None:
    os.kill(os.getpid(), signum)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_waits_until_it_is_asked_for(signum, code):
    done = []

    def work() -> None:
        with Interruption() as interruption:
            interruption.check()
            send(signum)
            done.append("step")
            interruption.check()
            done.append("never")

    with pytest.raises(Interrupted, match=f"stopped by {signum.name}") as stop:
        work()
    assert done == ["step"]
    assert stop.value.code == code


def test_a_signal_that_nobody_asked_for_is_honoured_at_the_end():
    with pytest.raises(Interrupted), Interruption():
        send(signal.SIGTERM)


def test_handlers_are_given_back():
    before = [signal.getsignal(signum) for signum in SIGNALS]
    with Interruption():
        assert [signal.getsignal(signum) for signum in SIGNALS] != before
    assert [signal.getsignal(signum) for signum in SIGNALS] == before


@pytest.mark.parametrize("inside", [True, False])
def test_at_once_is_at_once(inside):
    done = []

    def work() -> None:
        with Interruption() as interruption:
            if not inside:
                send(signal.SIGINT)
            with interruption.at_once():
                if inside:
                    send(signal.SIGINT)
                for _ in range(1000):
                    pass
                done.append("never")

    with pytest.raises(Interrupted):
        work()
    assert done == []


def test_one_request_may_come_twice():
    def work() -> None:
        with Interruption() as interruption:
            send(signal.SIGTERM)
            send(signal.SIGTERM)
            interruption.check()

    with pytest.raises(Interrupted):
        work()


def test_an_inner_interruption_has_the_signals():
    done = []

    def work() -> None:
        with Interruption() as outer, outer.at_once(), Interruption() as inner:
            send(signal.SIGTERM)
            done.append("saved")
            inner.check()

    with pytest.raises(Interrupted):
        work()
    assert done == ["saved"]


def test_a_second_signal_kills():
    child = os.fork()
    if child == 0:
        from mcrage import interruption as module

        module._SAME_REQUEST_SECONDS = 0.0
        with Interruption():
            send(signal.SIGTERM)
            send(signal.SIGTERM)
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interruption() as interruption:
            send(signal.SIGINT)
            interruption.check()
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_do_without():
    errors = []

    def work() -> None:
        try:
            with Interruption() as interruption, interruption.at_once():
                pass
        except ValueError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert errors == []
