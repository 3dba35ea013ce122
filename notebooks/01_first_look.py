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

import matplotlib.pyplot as plt

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
# `log.streams()`, `log.events(…)`, `log.find("…")` and `log.sql("…")` return DataFrames.

# %%
stock.streams().sort_values("events", ascending=False).head()

# %%
weekly = stock.sql("""
    select date_trunc('week', recorded_at) as week, event_type, count(*) as events
    from events group by all order by all
""").pivot_table(index="week", columns="event_type", values="events", fill_value=0)

figure, axes = plt.subplots(figsize=(10, 3))
axes.set_prop_cycle(color=["#0072B2", "#F0E442", "#009E73", "#D55E00", "#56B4E9", "#E69F00"])
axes.stackplot(weekly.index, weekly.T, labels=weekly.columns, step="post")
axes.set(ylabel="events a week", title="What happened in the warehouse")
axes.legend(frameon=False, bbox_to_anchor=(1, 1), loc="upper left")
axes.spines[["top", "right"]].set_visible(False)

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
stock.history(inventory, item)

# %% [markdown]
# Two writers read the same version, and both wrote the next one: a lost optimistic lock. Each order alone would
# have been fine; together they take more than there was.

# %%
stock.events(item)[["position", "version", "event_type", "recorded_at", "data", "metadata"]]

# %%
history = stock.history(inventory, item)
labels = [f"v{version}\n{name}" for version, name in zip(history["version"], history["event_type"])]
bad = history[history["broken"] != ""]

figure, axes = plt.subplots(figsize=(10, 3))
axes.step(history.index, history["quantity"], where="post", color="#0072B2", linewidth=2)
axes.scatter(bad.index, bad["quantity"], color="#D55E00", zorder=3, label=bad["broken"].iloc[0] + ": broken")
axes.axhline(0, color="#555555", linewidth=0.8)
axes.set_xticks(history.index, labels, fontsize=8)
axes.set(ylabel="in stock", title=f"{item}: stock after each event")
axes.legend(frameon=False)
axes.spines[["top", "right"]].set_visible(False)

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
# ## Next
#
# `log.check()` runs without any aggregate too, so the shortest way to your own log is
#
# ```python
# es.open().load("my-events.jsonl").check()
# ```
