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
# # Time travel
#
# On 16 May someone in the tea shop opens the stock list, and the blue matcha bowl stands at **-2**. A table would only
# say what is. An event log also holds what was, so it can be asked: what did this look like before, when did it go
# wrong, and what if that had not happened?

# %%
import sys

import matplotlib.pyplot as plt
from matplotlib.dates import ConciseDateFormatter

import esbench as es

sys.path.insert(0, "../data")
from aggregates import inventory, product  # how events become state, a function for each type

bench = es.open()
stock = bench.load("../data/inventory.jsonl", keys={"writer": "/user"})  # metadata names the user
stock

# %% [markdown]
# ## What did it look like?
#
# One item is one *stream* of events, numbered by *version*. Its state can be had at any version, or at any moment.

# %%
stock.state(inventory, "item-123", version=2)

# %%
stock.state(inventory, "item-123", as_of="2024-05-14 14:02:07.400")

# %%
stock.state(inventory, "item-123")

# %% [markdown]
# A state says how far it can be trusted. *Complete*: all events up to here are there. *Past version-fork 3*: two events
# claim to be version 3, so what follows stands on doubtful ground. The history shows both:

# %%
history = stock.history(inventory, "item-123")
history[["version", "recorded_at", "event_type", "quantity", "trust"]]

# %%
es.plots.state_history(history)

# %% [markdown]
# What is different between then and now, and which event made it so?

# %%
changes = stock.diff(inventory, es.at(version=2), es.at(), stream="item-123")
changes[["path", "before", "after", "version", "event_type"]]

# %% [markdown]
# `blame` answers for every field of the state, like `git blame` for the lines of a file:

# %%
stock.blame(inventory, "item-123")[["path", "value", "version", "event_type", "recorded_at"]]

# %% [markdown]
# ## The whole warehouse on one day
#
# The same for all items at once: a row for each that existed on that day.

# %%
on_that_day = stock.states(inventory, as_of="2024-05-01")
print(f"{len(on_that_day)} items, {on_that_day['quantity'].sum()} pieces")
on_that_day.nlargest(5, "quantity")[["stream_id", "name", "quantity", "version"]]

# %% [markdown]
# And what happened in the warehouse on 14 May:

# %%
day = stock.diff(inventory, es.at(as_of="2024-05-14"), es.at(as_of="2024-05-15"))
day.sort_values("recorded_at")[["stream_id", "path", "before", "after", "event_type", "recorded_at"]]

# %% [markdown]
# ## When did it go wrong?
#
# `first_bad` looks through every version of every item. It takes a rule of the aggregate by its name, or any function
# of a state that says what is bad.

# %%
bad = stock.first_bad(inventory, "stock is never negative")
bad[["stream_id", "version", "event_type", "recorded_at", "bad_at_end"]]

# %% [markdown]
# By hand that is the *time machine*. Its *spec* says where it opens: here at version 3, beside version 2. Press the
# arrow keys on the slider, then *First bad version*; let it run over time instead; *Compare with …* takes any other
# version or item. **Show code** has the calls for what is on screen, `machine.spec` brings the same view again.

# %%
machine = stock.explore(inventory, stream="item-123", version=3, other_version=2)
machine

# %% [markdown]
# `first_bad` is exact also where the trouble came and went. In the shop's second log, of reservations, two products
# once had less than nothing reserved. One of them looks well today:

# %%
products = bench.load("../data/products.jsonl")
bad = products.first_bad(product, lambda state: state["reserved"] < 0)
bad[["stream_id", "version", "event_type", "recorded_at", "recovered_version"]]

# %%
es.plots.state_history(products.history(product, "product-017"), fields=["on_hand", "reserved"])

# %% [markdown]
# Halving the history, as one does by hand, would have missed this: good at both ends, bad in between.
#
# ## Every item at every moment
#
# State can also be *declared*, as columns over events. Then the database computes it for the whole log in one go,
# which stays quick with millions of events.

# %%
quantity = es.field("/quantity")
declared = es.Projection(
    "InventoryItem",
    {"quantity": es.total({"ItemsAdded": quantity, "ItemsOrdered": -quantity})},
)
timeline = stock.timeline(declared)  # a row for every item after each of its events
bowl = es.frame(timeline.filter("stream_id = 'item-123'"))
bowl[["version", "event_type", "recorded_at", "quantity"]]

# %% [markdown]
# From here on it is a table like any other. All pieces in the warehouse, through the whole half-year:

# %%
every = es.frame(timeline).astype({"quantity": "float"})
by_item = every.pivot_table("quantity", "recorded_at", "stream_id", aggfunc="last")
pieces = by_item.ffill().sum(axis=1)

figure, axes = plt.subplots(figsize=(8, 2.6))
axes.step(pieces.index, pieces, where="post", color="#0072B2")
axes.set(ylabel="pieces", ylim=(0, None))
axes.xaxis.set_major_formatter(ConciseDateFormatter(axes.xaxis.get_major_locator()))
axes.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# ## What if it had not happened?
#
# A *branch* is the log with a difference: an event left out, put in or changed. The log itself stays as it is, and the
# branch answers the same questions. (On the time machine, *What if …* makes one.) Without the second order:

# %%
without = stock.branch("item-123").drop(position=347)
without

# %%
without.state(inventory, "item-123")

# %% [markdown]
# With it, but for one bowl only:

# %%
smaller = stock.branch("item-123").change(position=347, data={"quantity": 1})
smaller.diff(inventory)

# %% [markdown]
# With a delivery in time:

# %%
supplied = stock.branch("item-123", version=2).insert(event_type="ItemsAdded", data={"quantity": 10})
supplied.history(inventory, "item-123")[["version", "event_type", "quantity", "broken"]]

# %% [markdown]
# ## Two users, five items
#
# Amélie and Jonas ordered within a fifth of a second. Both had read version 2 (*five in stock*), both wrote version 3.
# A store that watches for that refuses the second, whose program then looks again. What would have come of it?

# %%
replay = stock.replay_concurrent(inventory, "item-123")
replay.steps[["who", "attempt", "expected_version", "actual_version", "outcome", "reason"]]

# %%
replay.branch.state(inventory, "item-123")

# %% [markdown]
# Amélie gets her three bowls, Jonas is told that two are left. Was this the only time? The writers note
# which version they had read, so every race in the log can be found:

# %%
races = stock.concurrency().races
races[["stream_id", "version", "writer", "event_type", "recorded_at"]]

# %% [markdown]
# ## Next
#
# [03 Finding corruption](03_finding_corruption.ipynb) goes the other way: it asks a log what is wrong with it, without
# knowing where to look, and mends it.
