"""Breaking into Python code that holds the processor.

All of it runs without giving the GIL away between looking at the thread and raising into it, so that the exception
cannot meet anything but what was looked at.
"""

import sys

cdef extern from "Python.h":
    ctypedef struct PyObject
    int PyThreadState_SetAsyncExc(unsigned long thread, PyObject* exception)


def running(unsigned long thread, code not None, str name not None):
    """The local variable `name` of the innermost frame of `code` that the thread is in; None when it is in none."""
    frame = sys._current_frames().get(thread)
    while frame is not None:
        if frame.f_code is code:
            return frame.f_locals.get(name)
        frame = frame.f_back
    return None


def interrupt(unsigned long thread, code not None, str name not None, type exception not None):
    """Raises `exception` in the thread if it is in a frame of `code`: in the Python code called from there, as soon as
    that runs again. Returns what `running` does."""
    found = running(thread, code, name)
    if found is not None:
        PyThreadState_SetAsyncExc(thread, <PyObject*>exception)
    return found
