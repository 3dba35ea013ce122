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
# # A first look at a log
#
# A tea shop keeps its stock in an event log. This notebook loads that log, asks what is wrong with it, and follows one
# item to the moment at which its stock became wrong. To look at a log of your own, change the path in the second cell.

# %%
import sys

import esbench as es

sys.path.insert(0, "../data")
from aggregates import inventory  # how the shop's events become state: see data/aggregates.py

# %% [markdown]
# ## Load
#
# A bench is one DuckDB database that holds logs: in memory, or in a file (`es.open("shop.duckdb")`). Every input record
# becomes an event or a *reject*; nothing is repaired on the way in.

# %%
bench = es.open()
stock = bench.load("../data/inventory.jsonl")
stock

# %%
stock.rejects

# %% [markdown]
# ## Look around
#
# `log.streams()`, `log.events(…)`, `log.find("…")` and `log.sql("…")` return DataFrames; `es.plots` draws.

# %%
stock.streams().sort_values("events", ascending=False).head()

# %%
es.plots.timeline(stock)

# %% [markdown]
# ## What is wrong?
#
# One call runs every check of the log's structure, and, given an aggregate, those of its meaning: handlers that fail,
# invariants that break, events after the end.

# %%
report = stock.check(inventory)
report

# %% [markdown]
# `report.findings` is the same as a DataFrame, with more columns; `report.not_claimed` says what this
# log cannot answer.

# %% [markdown]
# ## Travel through one item's history
#
# An invariant broke. Which event did it, and what did the item look like before?

# %%
broken = report.findings.query("check == 'invariant-violated'").iloc[0]
item, version = broken["stream_id"], int(broken["version"])
print(broken["explanation"])

# %%
history = stock.history(inventory, item)
history

# %%
es.plots.state_history(history)

# %% [markdown]
# Two writers read the same version, and both wrote the next one: a lost optimistic lock. Each order alone would
# have been fine; together they take more than there was.

# %%
stock.events(item)[["position", "version", "event_type", "recorded_at", "data", "metadata"]]

# %% [markdown]
# The state carries how far it can be trusted, and since which event a rule is broken:

# %%
stock.state(inventory, item, version=version - 1)

# %%
stock.state(inventory, item)

# %%
stock.diff(inventory, es.at(version=version - 1), es.at(), stream=item)

# %% [markdown]
# And for each field, the event that last set it:

# %%
stock.blame(inventory, item)

# %% [markdown]
# ## Explore by hand
#
# All of this can also be clicked through. A cell that ends in `.explore()` shows a widget; without a kernel, as on a
# code host, you see what was on it when the notebook was last run. With one, run the cells and try it.
#
# The item first, at the version that broke the rule. Press the arrow keys on the slider: the state says what each event
# changed in it, and red on the strip below is damage. *First bad version* brings you back. **Show code** prints the
# calls for what is on screen, to be pasted into the next cell.

# %%
machine = stock.explore(inventory, stream=item, version=version)
machine

# %% [markdown]
# And the log as a whole. Narrow the range of time with its two handles (by mouse, or with the arrow keys), or choose
# types: all else follows. `overview.selection` is then what you chose, `stock.explore(**overview.spec)` shows it again.

# %%
overview = stock.explore()
overview

# %% [markdown]
# ## Next
#
# `log.check()` runs without any aggregate too, so the shortest way to your own log is
#
# ```python
# es.open().load("my-events.jsonl").check()
# ```
