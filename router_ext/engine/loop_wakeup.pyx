"""The moment at which gevent's loop wakes up.

Between a socket that is ready and the callback of its watcher lies the loop's own work (libev's, gevent's, in a cold cache):
about 8 microseconds in the latency of a single message. libev calls a function as soon as it has been woken, meant for
programs that have a lock to take (`ev_set_loop_release_cb`), and gevent's extension exports what sets it.
"""

from libc.errno cimport errno

from router_ext.engine.reactor cimport Reactor
from router_ext.net.transport cimport set_errno

import sys

cdef extern from "<dlfcn.h>" nogil:
    void* dlopen(const char* path, int mode)
    void* dlsym(void* library, const char* name)
    enum: RTLD_LAZY
    enum: RTLD_NOLOAD

ctypedef void (*LoopCallback)(void* loop) noexcept
ctypedef void (*SetCallbacks)(void* loop, LoopCallback release, LoopCallback acquire) noexcept

cdef object woken_loop = None   # libev's callback brings nothing along, so there is one a process
cdef Reactor turns = None


cdef void woken(void* ptr) noexcept with gil:
    cdef int error = errno  # libev looks at it afterwards: a signal may have ended its waiting
    try:
        turns.run()
    except BaseException:  # where gevent's own callbacks end, too
        woken_loop.handle_error(turns, *sys.exc_info())
    set_errno(error)


cdef SetCallbacks setter(loop) except? NULL:
    """NULL where the loop is not libev's, or another call is set."""
    cdef void* library
    cdef str module = type(loop).__module__
    if not module.startswith("gevent.libev.") or woken_loop is not None:
        return NULL
    library = dlopen(sys.modules[module].__file__.encode(), RTLD_LAZY | RTLD_NOLOAD)
    return <SetCallbacks>dlsym(library, "ev_set_loop_release_cb") if library != NULL else NULL


def install(loop, Reactor reactor not None):
    """Has the reactor run each time the loop comes back from the system, before its watchers' callbacks. False when that
    cannot be had from this loop."""
    global woken_loop, turns
    cdef SetCallbacks set_callbacks = setter(loop)
    if set_callbacks == NULL:
        return False
    woken_loop, turns = loop, reactor
    set_callbacks(<void*><size_t>loop.ptr, NULL, woken)
    return True


def remove(loop):
    """Ends `install(loop, ...)`."""
    global woken_loop, turns
    cdef SetCallbacks set_callbacks
    if loop is woken_loop:
        woken_loop = None
        set_callbacks = setter(loop)
        set_callbacks(<void*><size_t>loop.ptr, NULL, NULL)
        turns = None
