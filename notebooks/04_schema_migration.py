# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A schema migration, proved before it runs
#
# A tea shop keeps its stock as events. It is about to change how an order is written, and wants to know beforehand what
# that changes, for whom, and whether every item still means the same. This notebook takes the change from a first try,
# which fails, to a new log. Nothing here touches the shop's database: the log is a copy.

# %%
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Markdown
from matplotlib.dates import DateFormatter, MonthLocator

import esbench as es

sys.path.insert(0, "../data")
from aggregates import inventory  # how the events become state today
from migrations import inventory_v2, item_v2  # the finished migration, and the state after it; further down

pd.set_option("display.max_colwidth", 200)

bench = es.open()
stock = bench.load("../data/inventory.jsonl")
stock

# %% [markdown]
# ## What is to change
#
# An order has the customer's name as a plain text, and a price that does not say in which currency. Orders older than
# April have no channel either: two schema versions stand side by side.

# %%
stock.sql("""
    select schema_version, count(*) as orders, min(recorded_at)::date as first, max(recorded_at)::date as last
    from events where event_type = 'ItemsOrdered' group by all order by all
""")

# %%
for version in (4, 6):
    print(stock.events("item-133", version=version)["data"].iloc[-1])

# %% [markdown]
# ## Upcasters: the new form, on read
#
# An *upcaster* is a function that lifts a payload to the next schema version. A log can be read through a chain of
# them, and every call works on what comes out. Nothing is stored; what a function does not touch keeps its text, so a
# price of `14.50` stays `14.50`.


# %%
def with_channel(data):
    return {**data, "channel": None}


def with_currency(data):
    rest = {name: value for name, value in data.items() if name != "customer_name"}
    return {**rest, "currency": "EUR", "customer": {"name": data["customer_name"]}}


upcasters = [
    es.upcast("ItemsOrdered", 1, 2, with_channel),
    es.upcast("ItemsOrdered", 2, 3, with_currency),
]
read = stock.upcasted(upcasters)
for version in (4, 6):
    print(read.events("item-133", version=version)["data"].iloc[-1])

# %% [markdown]
# ## The first try
#
# The shop wants more than upcasters can do: orders are to be called reservations, a delivery that was recorded twice is
# to count once, two orders that claim the same version are to follow each other, and `item-133`, which lies in two
# warehouses, is to become two streams. Each is a *step*, and the steps are a *migration*.
#
# A *gate* says what must hold. `same_state` folds every item with today's aggregate on the old log and with the new one
# on the new log, and compares them at every version. The new state has a currency: that much is expected.

# %%
first_try = es.Migration(
    "first-try",
    [
        *upcasters,
        es.rename_type("ItemsOrdered", "ItemsReserved"),
        es.drop_duplicates(),
        es.renumber(streams="item-123"),
        es.split_stream("item-133", by="nullif(data->>'/warehouse', 'hamburg')"),
    ],
    gates=[es.same_state(inventory, item_v2, expect={"/currency": es.added("EUR")})],
)
first_try

# %% [markdown]
# A *dry run* computes everything that the migration would do, and writes nothing.

# %%
run = stock.dry_run(first_try)
run

# %% [markdown]
# Two gates fail, and say why:
#
# - **A finding is new.** Leipzig's stream begins with a delivery. Nobody created the item there.
# - **A state differs.** `item-127` had 22 in stock and now has 11: that is the delivery that counts once. It is what we
#   want, but nobody said so. And what `item-133` means, now that it is two streams, the gate cannot know.
#
# The *migration desk* is for looking closer: each gate is a light, and below them are the events, types and states
# before and after. Here it stands at the state of `item-127`. Try another item, or take a step out and run again.
# **Show code** has the calls for what is on screen.

# %%
run.explore(show="states", stream="item-127")

# %% [markdown]
# This migration cannot be applied:

# %%
try:
    bench.apply(run, "inventory_v2")
except es.EsbenchError as refused:
    print(refused)

# %% [markdown]
# A gate could be accepted by name. It is better to mend the migration.
#
# ## Mended
#
# The migration that the shop means stands in [data/migrations.py](../data/migrations.py), where it is reviewed like any
# other code. It creates the item in Leipzig, declares the one change from 22 to 11, and says that the stock of an item
# is the sum over its streams.

# %%
inventory_v2

# %%
run = stock.dry_run(inventory_v2)
run

# %% [markdown]
# Every gate passes. The counts add up, and each kind of change is listed with an example. Three findings are gone: the
# repeated delivery, the fork, and holes among the positions, which are issued anew because an event was added.

# %%
run.findings.gone[["check", "severity", "stream_id", "version"]]

# %% [markdown]
# ## Meanwhile, the shop goes on
#
# Between the dry run and the cut-over two more events come in. The run is now of an older log, and `apply` refuses it.

# %%
later = pd.DataFrame(
    {
        "stream_id": ["item-123", "item-133"],
        "stream_type": "InventoryItem",
        "version": [5, 12],
        "position": [461, 462],
        "event_id": ["3f0c1a52-7e84-4c39-9d0b-6a1f5be2c701", "b81d94e6-02c5-4a7f-8e63-90cdd1f4a802"],
        "event_type": ["ItemsAdded", "ItemsOrdered"],
        "schema_version": 2,
        "recorded_at": ["2024-07-01T08:30:00Z", "2024-07-01T09:12:44Z"],
        "data": [
            '{"quantity":12,"unit_cost":35.70,"sscc":null,"warehouse":"hamburg"}',
            '{"quantity":2,"channel":"web","unit_price":14.50,"customer_name":"Ruth Vogel","warehouse":"leipzig"}',
        ],
    }
)
stock = bench.load(later, "inventory", append=True)

try:
    bench.apply(run, "inventory_v2")
except es.EsbenchError as refused:
    print(refused)

# %%
run = run.extend()
print(repr(run))

# %% [markdown]
# ## Apply
#
# A new log, all or nothing, beside the old one.

# %%
new = bench.apply(run, "inventory_v2")
new

# %% [markdown]
# The item whose two orders claimed one version, before and after. Both orders did happen, so the stock below zero stays
# in its history: who gets no bowl is not for a change of schema to decide.

# %%
columns = ["version", "event_type", "quantity", "trust", "broken"]
stock.history(inventory, "item-123")[columns]

# %%
new.history(item_v2, "item-123")[columns]

# %% [markdown]
# And the one that became two:

# %%
figure, axes = plt.subplots(figsize=(10, 3))
logs = [(stock, inventory, "item-133"), (new, item_v2, "item-133"), (new, item_v2, "item-133-leipzig")]
labels = ["before, item-133", "after, item-133 (Hamburg)", "after, item-133-leipzig"]
for (log, aggregate, item), label, colour in zip(logs, labels, ["#555555", "#0072B2", "#D55E00"]):
    history = log.history(aggregate, item)
    axes.step(history["recorded_at"], history["quantity"], where="post", label=label, color=colour, linewidth=2)
axes.set(ylabel="in stock", title="One item in two warehouses")
axes.xaxis.set_major_locator(MonthLocator())
axes.xaxis.set_major_formatter(DateFormatter("%B"))
axes.legend(frameon=False, bbox_to_anchor=(1, 1), loc="upper left")
axes.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# ## Where does an event come from?
#
# Every event of the new log knows. Leipzig's first two events come from one delivery: it is the second of them, and the
# first was put before it.

# %%
stock.lineage("item-133", 3)[["generation", "log", "stream_id", "version", "position", "event_type", "by"]]

# %% [markdown]
# And of what was dropped, it is known by which step:

# %%
stock.lineage("item-127", 10)[["generation", "log", "stream_id", "version", "position", "by", "fate"]]

# %% [markdown]
# ## Moving those who read the log
#
# Positions were issued anew, because an event was added. A consumer that has handled the old log up to 347 goes on in
# the new one behind the position beside it:

# %%
run.position_map.filter("old_position in (76, 77, 347, 418)").df()

# %% [markdown]
# ## Two logs side by side
#
# `compare` pairs the events through their lineage.

# %%
different = stock.compare(new)
print(different.attrs["counts"])
different.groupby(["what", "column", "path"]).size().rename("events").reset_index()

# %% [markdown]
# ## Out again
#
# As a file, or as a *change set*: a script for the database that the log came from, to be reviewed and run by its
# owner. It is one transaction, which first asserts that every stream still ends where it did here. It begins so:

# %%
folder = Path(tempfile.mkdtemp())
exported = new.export(folder / "inventory_v2.jsonl.gz")
print(f"{exported.events} events in {exported.streams} streams")

script = folder / "inventory_v2.sql"
changes = stock.change_set(new, es.Table("events", dialect="postgresql"), script)
text = script.read_text()
print(text.partition("set client_encoding")[0])

# %% [markdown]
# ## On every pull request
#
# ```sh
# esbench migrate data/migrations.py:inventory_v2 data/inventory.jsonl --format markdown
# ```
#
# runs the same migration in CI. Its exit status is 1 when a gate fails, and what it prints is fit for a comment on the
# pull request. In Python it is `run.to_markdown()`; the first try would have got this one:

# %%
Markdown(stock.dry_run(first_try).to_markdown().split("**Steps**")[0])
