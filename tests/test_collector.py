"""The collector of cycles is as it was after work without it."""

import gc

import pytest

from semiretina.collector import uncollected


@pytest.fixture(autouse=True)
def _enabled():
    assert gc.isenabled()
    yield
    gc.enable()


def test_it_is_off_within_and_on_again_after_an_error():
    @uncollected()
    def work():
        assert not gc.isenabled()
        raise KeyError

    with pytest.raises(KeyError):
        work()
    assert gc.isenabled()


def test_it_stays_off_where_it_was_off():
    gc.disable()
    with uncollected(), uncollected():
        assert not gc.isenabled()
    assert not gc.isenabled()
