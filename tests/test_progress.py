import io
import re
import sys

import pytest

from semiretina import progress as module
from semiretina.progress import progress, say


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until the test moves it."""
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def open_terminal(monkeypatch) -> Terminal:
    # Not a fixture: pytest puts its own stderr back between a fixture and its test.
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    for name in ("NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    return screen


def plain(screen: io.StringIO) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())


def test_say_writes_one_line_to_stderr_only(capsys):
    say("hello")
    assert capsys.readouterr() == ("", "hello\n")


def test_plain_lines_first_then_now_and_then_and_last(capsys, clock):
    with progress("reading", 100) as advance:
        for _ in range(100):
            clock[0] += 0.5
            advance()
    out, err = capsys.readouterr()
    assert out == ""
    # After half a second, then at least ten seconds apart, and the end; what is left is linear in what is done.
    assert err.splitlines() == [
        "reading: 1/100, 50 s left",
        "reading: 21/100, 40 s left",
        "reading: 41/100, 30 s left",
        "reading: 61/100, 20 s left",
        "reading: 81/100, 10 s left",
        "reading: 100/100, 0 s left",
    ]


def test_plain_lines_carry_counts_and_notes(capsys, clock):
    with progress("stage 1", 10) as advance:
        clock[0] += 30
        advance(6, "loss 0.25")
        clock[0] += 1
        advance(2, "unseen")
        clock[0] += 1
        advance(2)
    assert capsys.readouterr().err.splitlines() == ["stage 1: 6/10, 20 s left, loss 0.25", "stage 1: 10/10, 0 s left"]


def test_nothing_to_do_says_nothing(capsys):
    with progress("reading", 0):
        pass
    assert capsys.readouterr().err == ""


def test_a_count_of_zero_does_not_divide_by_it(capsys):
    with progress("reading", 3) as advance:
        advance(0)
    assert capsys.readouterr().err == "reading: 0/3, 0 s left\n"


def test_a_bar_on_a_terminal(monkeypatch):
    terminal = open_terminal(monkeypatch)
    with progress("reading", 7) as advance:
        advance(3)
        advance(4, note="[/loss] 0.5")
        advance(0)
    shown = plain(terminal)
    assert "\x1b[" in terminal.getvalue()
    assert "reading" in shown
    assert "7/7" in shown
    assert "[/loss] 0.5" in shown  # brackets are text, not markup
    assert "━" in shown
    assert "s left" not in shown


def test_a_title_in_brackets_is_text(monkeypatch):
    terminal = open_terminal(monkeypatch)
    with progress("[red]eyes", 1) as advance:
        advance()
    assert "[red]eyes" in plain(terminal)


@pytest.mark.parametrize("on_terminal", [False, True])
def test_an_error_inside_comes_out(on_terminal, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal() if on_terminal else io.StringIO())

    def work() -> None:
        with progress("reading", 2) as advance:
            advance()
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        work()


def test_of_several_processes_the_first_speaks(monkeypatch, capsys):
    for rank, spoken in (("0", True), ("1", False)):
        monkeypatch.setenv("RANK", rank)
        say("hello")
        with progress("Work", 2) as advance:
            advance(2)
        assert bool(capsys.readouterr().err) is spoken
