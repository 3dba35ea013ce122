"""What every widget is: a place that says what is on screen, calls that never freeze the kernel, and code to show."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, fields, replace
from typing import Any, ClassVar, Final, TypeVar

import ipywidgets

from esbench.errors import EsbenchError, described, nearest
from esbench.widgets import marks
from esbench.widgets.calls import Call, Line
from esbench.widgets.code import Names

__all__ = ["Part", "View", "button", "placed"]

_T = TypeVar("_T")

#: A call that takes longer is told of, with a button that stops it.
_TELL: Final = 0.3
#: An answer that is not the newest is shown only so often.
_STALE: Final = 0.15
_STOPPED: Final = marks.note("Stopped.")
_BUSY: Final = "This was still being computed when the page was made: run the cell again, or call .wait() before."


class View(ipywidgets.VBox):  # type: ignore[misc]
    """A widget over one thing (a log, a report, a dry run), at a place: a frozen dataclass, whose fields are the spec.

    To make one, derive: ``__init__`` makes the controls, sets ``self.body.children`` and ends with ``self.go(place)``;
    :meth:`compute` (in a thread: no widgets here) turns a place into a picture, a value with the ``place`` that it is
    of, in which what was left open is filled in; :meth:`paint` puts a picture on the screen; :meth:`code` gives the
    lines that "show code" shows, and :meth:`still` the HTML of what is on screen. Controls call :meth:`move`, and
    listen through :meth:`hear` and :meth:`click`, by which an error in them shows in the widget, and a control that
    needs a picture does nothing before there is one. :meth:`start` runs anything else that is long.
    """

    #: To be displayed, a widget waits so many seconds for its first picture: till then the kernel does nothing else.
    patience: ClassVar[float] = 1.0

    def __init__(self, thing: Any, *, names: Mapping[str, Any] | None = None) -> None:
        self.thing = thing
        self.place: Any = None
        self.picture: Any = None
        self._namespace = names
        self._asked = 0
        self._painted = 0.0
        self._painting = threading.local()
        self._lock = threading.RLock()
        self._views, self._tasks, self._asides = (Line(self._busy) for _ in range(3))
        self._lines: tuple[Line, ...] = (self._tasks, self._views, self._asides)
        self._watching = threading.Lock()
        self._cut_short: dict[Line, Call] = {}
        self._own: set[str] = set()
        self.body = ipywidgets.VBox()
        self.faults = ipywidgets.HTML()
        self._working = ipywidgets.HTML()
        self._bar = ipywidgets.FloatProgress(min=0, max=1, layout=ipywidgets.Layout(width="160px"))
        self._stop = button("Stop", "stop what is running", icon="stop")
        self._status = ipywidgets.HBox([self._bar, self._working, self._stop], layout=_hidden())
        self.onward = button("Go on", "do what was stopped once more", icon="play")
        self._halted = ipywidgets.HBox([ipywidgets.HTML(_STOPPED), self.onward], layout=_hidden())
        self._toggle = ipywidgets.ToggleButton(
            description="Show code",
            tooltip="show the calls that give what is on screen",
            layout={"width": "auto", "align_self": "flex-start"},
        )
        self._code = ipywidgets.HTML(layout=_hidden())
        self.code_words = "code"
        super().__init__(
            [
                ipywidgets.HTML(marks.STYLE, layout={"display": "none"}),
                self.body,
                self.faults,
                self._status,
                self._halted,
                self._toggle,
                self._code,
            ]
        )
        self.add_class("esbench")
        self.hear(self._toggle, self._code_toggled)
        self.click(self._stop, self.stop, always=True)
        self.click(self.onward, self.go_on, always=True)

    # What a widget derives.

    def compute(self, call: Call, place: Any) -> Any:
        """The picture of a place. In a thread: use ``call.follow(log)``, so that it can be stopped; touch no widget."""
        raise NotImplementedError

    def paint(self, picture: Any) -> None:
        """Put a picture on the screen: set the traits that differ."""
        raise NotImplementedError

    def code(self, names: Names) -> list[str]:
        """The calls that give what is on screen, one a line; the last one is what is most looked at."""
        raise NotImplementedError

    def still(self) -> str:
        """What is on screen as HTML without controls; everything of events escaped."""
        raise NotImplementedError

    # What a widget uses.

    def go(self, place: Any) -> None:
        """Be at a place, soon: its picture is computed in a thread, and dropped if another was asked for meanwhile."""
        with self._lock:
            self.place = place
            self._asked += 1
            number = self._asked

        def then(picture: Any) -> None:
            with self._lock:
                stale = number != self._asked
                if stale and time.monotonic() - self._painted < _STALE:
                    return
                self._paint(picture, stale=stale)

        def failed(error: BaseException) -> None:
            if number == self._asked:
                self.fault(error)

        self._ask(self._views, Call(lambda call: self.compute(call, place), then, failed, "reading"))

    def move(self, **changes: Any) -> None:
        """Go to this place with some of its fields changed."""
        place = replace(self.place, **changes)
        if place != self.place:
            self.go(place)

    def start(
        self,
        label: str,
        job: Callable[[Call], Any],
        then: Callable[[Any], None],
        *,
        failed: Callable[[BaseException], None] | None = None,
        again: bool = True,
    ) -> None:
        """Run something long beside the view, with progress and a stop button; one such thing at a time.

        Who stops it is offered to go on, unless it is not to be done ``again`` like that. An error is shown, unless
        ``failed`` takes it.
        """
        call = Call(job, lambda result: self._paint_with(lambda: then(result)), failed or self.fault, label, again)
        self._ask(self._tasks, call)

    def aside(self, label: str, job: Callable[[Call], Any], then: Callable[[Any], None]) -> None:
        """Run something beside the view; the newest replaces any other, as a search does while somebody types."""
        self._ask(self._asides, Call(job, lambda result: self._paint_with(lambda: then(result)), self.fault, label))

    def hear(self, control: Any, handler: Callable[[Any], None], trait: str = "value", *, always: bool = False) -> None:
        """Call ``handler(new value)`` when somebody changes a control; not when the widget itself does.

        Before there is a picture it is called only if it can do without one: ``always``.
        """

        def heard(change: Any) -> None:
            if not getattr(self._painting, "now", False):
                self._guarded(lambda: handler(change["new"]), always)

        control.observe(heard, names=trait)

    def click(self, control: Any, handler: Callable[[], None], *, always: bool = False) -> None:
        """Call ``handler()`` when a button is pressed; before there is a picture only if it is ``always`` of use."""
        control.on_click(lambda _: self._guarded(handler, always))

    def fault(self, error: BaseException | str) -> None:
        """Show an error in the widget: in words, never as a traceback."""
        self._paint_with(lambda: _set(self.faults, value=marks.fault(*_words(error))))

    def name_code(self, words: str) -> None:
        """Say whose code the button shows, where one view stands within another."""
        self.code_words = words
        self._code_toggled(self._toggle.value)

    # What a user of a widget uses.

    @property
    def spec(self) -> dict[str, Any]:
        """A small dict that makes the same view again: ``explore(thing, **view.spec)``."""
        return {
            each.name: value
            for each in fields(self.place)
            if (value := getattr(self.place, each.name)) is not _default(each) and not _equal(value, _default(each))
        }

    @property
    def shown_code(self) -> str:
        """The API calls for what is on screen, which run as they stand where the names in them are known."""
        names = Names(self._namespace, self._own)
        lines = self.code(names)
        self._own |= names.own
        return "\n".join([*names.lines, *lines])

    @property
    def settled(self) -> bool:
        """Whether nothing is being computed."""
        return all(line.idle for line in self._lines)

    def wait(self, timeout: float = 30.0) -> bool:
        """Wait until nothing is being computed; whether that came in time."""
        end = time.monotonic() + timeout
        while not self.settled:
            if time.monotonic() > end:
                return False
            for line in self._lines:
                line.wait(max(end - time.monotonic(), 0))
        return True

    def stop(self) -> None:
        """Stop what is running; what is on screen stays, and :meth:`go_on` takes it up again."""
        for line in self._lines:
            call = line.stop()
            if call is not None and call.again:
                self._cut_short[line] = call
        self._offer()

    def go_on(self) -> None:
        """Do what was stopped, once more from its beginning."""
        for line, call in list(self._cut_short.items()):
            self._ask(line, call.anew())

    def to_html(self) -> str:
        """What is on screen as HTML that needs no kernel, with the code that gives it.

        It waits a moment for what is being computed, and else says that it was.
        """
        self.wait(self.patience)
        try:
            still = self.still() if self.picture is not None else ""
            code = f'<pre class="es-code">{_escaped(self.shown_code)}</pre>' if self.picture is not None else ""
        except Exception as error:  # noqa: BLE001 (else nothing at all would be displayed)
            still, code = marks.fault(*_words(error)), ""
        told = _STOPPED if self._cut_short else "" if self.settled else marks.note(_BUSY)
        return f'<div class="esbench">{marks.STYLE}{marks.pictured(still)}{self.faults.value}{told}{code}</div>'

    def _repr_mimebundle_(self, include: Iterable[str] = (), exclude: Iterable[str] = (), **_: Any) -> Any:
        bundle = super()._repr_mimebundle_(include=include, exclude=exclude)
        data = dict(bundle[0] if isinstance(bundle, tuple) else bundle)
        # Where nobody trusts the notebook, or nothing runs, this is what a reader sees.
        return {**data, "text/plain": repr(self), "text/html": self.to_html()}

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r:.80}" for name, value in self.spec.items())
        return f"{type(self).__name__}({options})"

    # What happens inside.

    def _paint(self, picture: Any, *, stale: bool = False) -> None:
        def painted() -> None:
            self.picture = picture
            if not stale:
                self.place = picture.place
            self.faults.value = ""
            self.paint(picture)
            if not stale:
                self._code_toggled(self._toggle.value)

        self._paint_with(painted)
        self._painted = time.monotonic()

    def _paint_with(self, painting: Callable[[], None]) -> None:
        with self._lock:
            before, self._painting.now = getattr(self._painting, "now", False), True
            try:
                painting()
            finally:
                self._painting.now = before

    def _ask(self, line: Line, call: Call) -> None:
        self._cut_short.pop(line, None)
        self._offer()
        line.ask(call)

    def _offer(self) -> None:
        """Say that something was stopped, and offer to go on."""
        self._halted.layout.display = "flex" if self._cut_short else "none"

    def _guarded(self, handler: Callable[[], None], always: bool) -> None:
        try:
            if always or self.picture is not None:
                handler()
            elif self._cut_short:
                self.fault("Nothing was read yet, so there is nothing to do this with: press Go on.")
            elif self.settled and not self.faults.value:
                self.fault("Nothing could be read, so there is nothing to do this with.")
        except Exception as error:  # noqa: BLE001 (an error in a handler would vanish into the kernel's log)
            self.fault(error)

    def _code_toggled(self, on: bool) -> None:
        self._toggle.description = f"{'Hide' if on else 'Show'} {self.code_words}"
        self._code.value = f'<pre class="es-code">{_escaped(self.shown_code)}</pre>' if on else ""
        self._code.layout.display = "" if on else "none"

    def _busy(self) -> None:
        if not self.settled and self._watching.acquire(blocking=False):
            threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        """Show what is running once it has taken a while, and hide it at the end."""
        try:
            shown = False
            while True:
                line = next((line for line in self._lines if not line.idle), self._views)
                if line.wait(_TELL) and self.settled:
                    break
                call = line.running
                if call is not None and call.seconds > _TELL:
                    shown = True
                    self._told(call)
            if shown:
                self._status.layout.display = "none"
        finally:
            self._watching.release()
        self._busy()  # what began since then

    def _told(self, call: Call) -> None:
        self._bar.value = call.done or 0.0
        self._bar.layout.display = "none" if call.done is None else ""
        words = f"{call.label}{': ' if call.text else ''}{call.text} ({call.seconds:.0f} s)"
        self._working.value = f'<span role="status">{marks.text(words)}</span>'
        self._status.layout.display = "flex"


class Part:
    """A part of a widget: put before the box that it is, it keeps that from showing all that is in it as text."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def button(words: str, tooltip: str, *, icon: str = "", width: str = "auto") -> Any:
    """A button that says in words what it does: an icon alone has no name for those who do not see it."""
    return ipywidgets.Button(description=words, tooltip=tooltip, icon=icon, layout=ipywidgets.Layout(width=width))


def placed(kind: type[_T], spec: Mapping[str, Any], what: str) -> _T:
    """A place of a widget from a spec, in which lists stand for tuples. Raises EsbenchError for what is no field of it.

    >>> from esbench.widgets.summaries import Place
    >>> placed(Place, {"sinse": "2024"}, "the overview")
    Traceback (most recent call last):
    ...
    esbench.errors.EsbenchError: the overview takes no "sinse". Did you mean "since"? It takes: since, until, types
    """
    known = {each.name: each for each in fields(kind)}  # type: ignore[arg-type]
    for name in spec:
        if name not in known:
            raise EsbenchError(f'{what} takes no "{name}".{nearest(name, known)} It takes: {", ".join(known)}')
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in spec.items()})


def _hidden() -> Any:
    return ipywidgets.Layout(display="none", align_items="center")


def _set(control: Any, **traits: Any) -> None:
    for name, value in traits.items():
        setattr(control, name, value)


def _words(error: BaseException | str) -> tuple[str, str]:
    if isinstance(error, str):
        return error, ""
    if isinstance(error, EsbenchError):
        return str(error), ""
    try:
        told = described(error)
    except BaseException:  # noqa: BLE001 (an error's own text may raise anything)
        told = type(error).__name__
    return told, "This is no error that esbench knows; the code below raises it, too."


def _escaped(code: str) -> str:
    return "\n".join(marks.text(line, width=20_000) for line in code.split("\n"))


def _default(each: Field[Any]) -> Any:
    return None if each.default is MISSING else each.default


def _equal(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)
