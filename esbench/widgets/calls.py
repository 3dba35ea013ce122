"""Long calls in threads of their own: the newest wins, any can be stopped, and what comes too late is dropped.

A widget must never freeze the kernel, so whatever reads a log runs here. A :class:`Line` runs one call at a time; what
is asked of it meanwhile waits, and only the newest of these is run, so that fifty quick moves of a slider cost two or
three calls. Answers come in the order in which they were asked for. Stopping a call interrupts the engine on every
cursor that the call opened, and raises :class:`Stopped` in its thread, which ends a fold, or a handler of the user's,
at its next step.
"""

from __future__ import annotations

import atexit
import copy
import ctypes
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

import duckdb

__all__ = ["Call", "Line", "Stopped"]

_T = TypeVar("_T")

#: A call that has run for so many seconds is stopped when a newer one comes; a shorter one is left to finish.
PATIENCE: Final = 0.25


#: So long the end of the process waits for a call to notice that it was stopped.
_FAREWELL: Final = 2.0

_lines: weakref.WeakSet[Line] = weakref.WeakSet()


class Stopped(KeyboardInterrupt):
    """A call was stopped: what lets Ctrl-C through lets this through, so that no handler's failure is made of it."""


class _Followed:
    """A connection that notes the cursors that are opened from it, so that they can be interrupted.

    What a call made, such as a dry run, may outlive it: from the call's end on this is the connection ``beneath``.
    """

    def __init__(self, con: duckdb.DuckDBPyConnection, call: Call) -> None:
        self.beneath = con
        self._call = call

    def cursor(self) -> duckdb.DuckDBPyConnection:
        if self._call.ended:
            return self.beneath.cursor()
        if self._call.stopped:
            raise Stopped
        cursor = self.beneath.cursor()
        self._call.cursors.append(cursor)
        return cursor

    def __getattr__(self, name: str) -> Any:
        return getattr(self.beneath, name)


@dataclass(eq=False, slots=True)
class Call:
    """One run of a function: ``job(call)`` in a thread, then ``then(result)``, or ``failed(error)``.

    Within the job, :meth:`follow` gives a log whose queries can be interrupted, and :meth:`tell` shows progress.
    """

    job: Callable[[Call], Any]
    then: Callable[[Any], None]
    failed: Callable[[BaseException], None]
    label: str = ""
    #: Whether somebody who stopped it is offered to go on, which runs it anew.
    again: bool = True
    cursors: list[duckdb.DuckDBPyConnection] = field(default_factory=list)
    started: float = 0.0
    stopped: bool = False
    ended: bool = False
    done: float | None = None
    text: str = ""
    _thread: int | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def seconds(self) -> float:
        """How long it has been running."""
        return time.monotonic() - self.started if self.started else 0.0

    def follow(self, log: _T) -> _T:
        """The same log, every query of which this call can interrupt."""
        followed: Any = copy.copy(log)
        followed.source = replace(followed.source, con=_Followed(followed.source.con, self))
        return followed  # type: ignore[no-any-return]

    def tell(self, done: float | None = None, text: str = "") -> None:
        """Say how far it is, as a share of one (None: unknown) and in words. Raises Stopped in a call that was."""
        if self.stopped:
            raise Stopped
        self.done, self.text = done, text

    def stop(self) -> None:
        """End it: queries at once, Python at its next step."""
        with self._lock:
            if self.stopped or self.ended:
                return
            self.stopped = True
            for cursor in list(self.cursors):
                with suppress(duckdb.Error):  # one that is closed
                    cursor.interrupt()
            if self._thread is not None:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), ctypes.py_object(Stopped))

    def anew(self) -> Call:
        """The same, to be run once more."""
        return Call(self.job, self.then, self.failed, self.label, self.again)

    def run(self) -> tuple[Any, BaseException | None]:
        """What the job returns, or what it raised. Raises Stopped where this call was stopped, and only there."""
        self.started = time.monotonic()
        with self._lock:
            self._thread = threading.get_ident()
        try:
            try:
                if self.stopped:
                    raise Stopped
                return self.job(self), None
            finally:
                # From here on nothing is raised from outside; what was is raised before this ends.
                with self._lock:
                    self.ended = True
                self.cursors.clear()
        # Also what ends a program elsewhere: raised by a function of the user's, it is a fault like any other.
        except BaseException as error:  # noqa: BLE001 (whatever it is, it is shown in the widget)
            if self.stopped:  # then it may also be what the bench makes of an interrupted engine
                raise Stopped from None
            return None, error


class Line:
    """Runs one call at a time, next the newest asked of it; ``busy()`` is told when one begins, and at the end."""

    def __init__(self, busy: Callable[[], None] = lambda: None) -> None:
        self._lock = threading.RLock()
        self._busy = busy
        self._next: Call | None = None
        self._idle = threading.Event()
        self._idle.set()
        self.running: Call | None = None
        self.thread: threading.Thread | None = None
        _lines.add(self)

    def ask(self, call: Call) -> None:
        """Run this call, soon, in place of any that waits; one that has been running for long is stopped."""
        with self._lock:
            self._next = call
            self._idle.clear()
            if self.running is None:
                self._start()
            elif self.running.seconds > PATIENCE:
                self.running.stop()

    def stop(self) -> Call | None:
        """Stop what runs, and drop what waits; the newest of what so comes to no end."""
        with self._lock:
            waiting, self._next = self._next, None
            if self.running is not None:
                self.running.stop()
            return waiting or (self.running if self.running is not None and self.running.stopped else None)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing runs and nothing waits; whether that came in time."""
        return self._idle.wait(timeout)

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nothing waits."""
        return self._idle.is_set()

    def _start(self) -> None:
        self.running, self._next = self._next, None
        if self.running is None:
            self._idle.set()
        else:
            self.thread = threading.Thread(target=self._perform, args=(self.running,), daemon=True)
            self.thread.start()
        self._busy()

    def _perform(self, call: Call) -> None:
        try:
            result, error = call.run()
            if error is None:
                call.then(result)
            else:
                call.failed(error)
        except Stopped:
            pass
        except BaseException as error:  # noqa: BLE001 (what cannot be shown is told, too)
            call.failed(error)
        finally:
            with self._lock:
                self._start()


@atexit.register
def _end() -> None:
    """Stop what runs when the process ends: a thread that ends inside the engine would abort it."""
    running = list(_lines)
    for line in running:
        line.stop()
    for line in running:
        if line.thread is not None:
            line.thread.join(_FAREWELL)
