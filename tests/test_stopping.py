"""A signal that is remembered ends the run that it came to, and no other."""

import os
import signal

import pytest

from dask_distill.runtime.stopping import Stopped, exit_code, refuse_stopped, stoppable


def test_refuse_stopped__only_while_somebody_listens():
    with stoppable():
        with pytest.raises(Stopped):
            os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Stopped):
            refuse_stopped()
    assert exit_code() == 128 + signal.SIGTERM
    # what is run later in this process was not asked to stop
    refuse_stopped()
    with stoppable():
        refuse_stopped()
