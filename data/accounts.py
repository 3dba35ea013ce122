"""A small bank: deposits lost, repeated, booked twice, and one after the end."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from recording import FIRST, LAST, Draft, Recorder, instant, moments

__all__ = ["record"]

PURPOSES = ("Miete, März", "Salary", "Groceries", 'Refund "class trip"', "Strom & Gas", "Cash desk 3",
            "Insurance", "Sparplan", "Concert tickets", "Rückzahlung")  # fmt: skip


def record() -> Recorder:
    """The log, event by event."""
    log = Recorder("accounts.csv", "BankAccount", seed=12)

    def note(when: datetime | str, account: str, name: str, data: dict[str, Any], **more: Any) -> Draft:
        when = (instant(when) if isinstance(when, str) else when).replace(microsecond=0)
        channel = log.pick(("online", "branch", "atm", "app"))
        metadata = {"channel": channel, "correlation_id": f"tx-{log.random.getrandbits(40):010x}"}
        return log.add(when, account, name, data, **{"metadata": metadata, **more})

    def opened(when: datetime | str, account: str) -> None:
        note(
            when,
            account,
            "AccountOpened",
            {"owner": f"{log.pick(FIRST)} {log.pick(LAST)}", "currency": "EUR"},
        )

    def deposit(when: datetime | str, account: str, amount: str, purpose: str = "Salary", **more: Any) -> Draft:
        return note(when, account, "MoneyDeposited", {"amount": amount, "purpose": purpose}, **more)

    def withdraw(when: datetime | str, account: str, amount: str, purpose: str) -> Draft:
        return note(when, account, "MoneyWithdrawn", {"amount": amount, "purpose": purpose})

    for number in range(1001, 1041):
        account, times = (
            f"account-{number}",
            moments(log.random, "2024-01-02", "2024-05-31", 6 + log.random.randrange(10)),
        )
        if number in (1004, 1009, 1013, 1018, 1022, 1027, 1031):
            continue  # told below
        opened(times[0], account)
        balance = 0
        for when in times[1:]:
            if balance < 5_000 or log.random.random() < 0.4:
                cents = 1_210 + 10 * log.random.randrange(24_000)
                deposit(when, account, f"{cents / 100:.2f}", log.pick(PURPOSES))
            else:
                cents = -(400 + log.random.randrange(balance - 400))
                withdraw(when, account, f"{-cents / 100:.2f}", log.pick(PURPOSES))
            balance += cents
        if number % 13 == 0:
            withdraw(times[-1] + timedelta(hours=20), account, f"{balance / 100:.2f}", "Closing balance")
            note(times[-1] + timedelta(hours=21), account, "AccountClosed", {"reason": "customer's wish"})

    account = "account-1004"
    opened("2024-01-08T09:10:00", account)
    deposit("2024-01-10T10:00:12", account, "500.00", "Start balance")
    withdraw("2024-01-22T12:45:31", account, "420.50", "Groceries")
    lost = deposit("2024-01-31T06:00:04", account, "1850.00", lost=True)
    log.plant("version-gap", "the salary of January is lost: version 4 is in no file", lost, span=(4, 4))
    rent = withdraw("2024-02-01T06:00:09", account, "750.00", "Miete, Februar")
    story = "without the lost salary the rent overdraws the account: -670.50; February's salary covers it up"
    log.plant("invariant-violated", story, rent, aggregate="account")
    deposit("2024-02-29T06:00:03", account, "1850.00")
    withdraw("2024-03-01T06:00:07", account, "750.00", "Miete, März")

    account = "account-1009"
    opened("2024-01-15T11:20:41", account)
    deposit("2024-01-17T08:30:00", account, "12.10", "Start balance")
    once = deposit("2024-02-07T09:41:17", account, "340.00", "Sold bicycle")
    same = {"event_id": once.event_id, "metadata": once.metadata, "version": once.version}
    twice = deposit("2024-02-07T09:41:47", account, "340.00", "Sold bicycle", **same)
    log.plant(
        "duplicate-event",
        "the broker delivers the deposit again after 30 seconds: same id, same version",
        once,
        twice,
    )
    withdraw("2024-02-19T16:02:55", account, "99.95", "Concert tickets")

    account = "account-1013"
    opened("2024-01-16T10:11:12", account)
    once = deposit("2024-02-13T14:20:33", account, "250.00", "Refund, invoice 2024-118")
    twice = deposit("2024-02-13T14:20:36", account, "250.00", "Refund, invoice 2024-118", metadata=once.metadata)
    log.plant(
        "repeated-content",
        "the client retried: booked twice, under a new id and version",
        once,
        twice,
        info=True,
    )
    withdraw("2024-02-27T09:00:00", account, "80.25", "Insurance")

    account = "account-1018"
    opened("2024-01-11T13:05:44", account)
    deposit("2024-01-12T08:00:01", account, "900.00", "Start balance")
    withdraw("2024-03-14T15:12:20", account, "900.00", "Closing balance")
    note("2024-03-14T15:12:51", account, "AccountClosed", {"reason": "moved abroad"})
    late = deposit("2024-03-28T06:00:02", account, "1320.00")
    log.plant(
        "event-after-end",
        "a salary is booked on an account that was closed two weeks before",
        late,
        aggregate="account",
    )

    account = "account-1022"
    opened("2024-01-18T09:55:10", account)
    opened("2024-01-19T14:44:02", "account-1031")
    source = deposit("2024-02-02T10:10:10", account, "2000.00", "Start balance")
    reused = deposit("2024-02-02T10:10:11", "account-1031", "75.00", "Start balance", event_id=source.event_id)
    log.plant("event-id-reused", "the batch import gave two deposits on two accounts one id", source, reused)
    withdraw("2024-03-05T12:00:00", account, "310.40", "Insurance")

    account = "account-1027"
    log.following[account] = 5
    head = deposit("2024-01-30T06:00:05", account, "2400.00")
    log.plant("missing-head", "versions 1 to 4 were archived with the year 2023", head, span=(1, 4))
    log.plant(
        "unexpected-first-event",
        "a deposit comes first, behind the missing head",
        head,
        info=True,
        aggregate="account",
    )
    withdraw("2024-02-01T06:00:06", account, "980.00", "Miete, Februar")
    withdraw("2024-02-15T18:33:27", account, "64.30", "Groceries")

    account = "account-1031"
    comma = deposit("2024-03-20T11:30:30", account, "80,00", "Cash desk 3")
    log.plant("handler-error", "a cash desk with German number format writes 80,00", comma, aggregate="account")
    withdraw("2024-04-02T06:00:08", account, "25.00", "Sparplan")
    log.plant("position-gap", "the lost deposit had a position", info=True)
    return log
