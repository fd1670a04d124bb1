"""Breaking into Python code that holds the processor.

All of it runs without giving the GIL away between looking at the thread and raising into it, so that the exception
cannot meet anything but what was looked at.
"""

import sys

cdef extern from "Python.h":
    ctypedef struct PyObject
    int PyThreadState_SetAsyncExc(unsigned long thread, PyObject* exception)


def interrupt(unsigned long thread, code not None, str name not None, double held, type exception not None):
    """Raises `exception` in the thread if it is in a frame of `code`: in the Python code called from there, as soon as
    that runs again.

    Returns the frame's local variable `name`; None when there is no such frame, or when that object's `patience` is
    above `held`."""
    frame = sys._current_frames().get(thread)
    while frame is not None:
        if frame.f_code is code:
            break
        frame = frame.f_back
    found = frame.f_locals.get(name) if frame is not None else None
    if found is None or found.patience > held:
        return None
    PyThreadState_SetAsyncExc(thread, <PyObject*>exception)
    return found
