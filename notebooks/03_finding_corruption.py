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
# # Finding corruption, and mending it
#
# Three logs, and each is damaged in a way that happens in real systems: two users who order the same five items, a
# script that repaired too much, and a parcel that was in transit after it had been delivered. For each: find it, see
# how it came about, write the repair by hand, try it without making anything, and only then make a repaired log.
# A log is never edited; a repair makes a new one beside it.

# %%
import sys
import textwrap

import pandas as pd

import esbench as es

sys.path.insert(0, "../data")
from aggregates import inventory, product, shipment  # how events become state, with rules

pd.options.display.max_colwidth = 90
bench = es.open()
stock = bench.load("../data/inventory.jsonl")
products = bench.load("../data/products.jsonl")
parcels = bench.load("../data/shipments.jsonl")
bench.logs()[["log", "events", "streams", "rejects"]]

# %% [markdown]
# ## Two users and five items
#
# One call runs every check. Some look at the log alone (versions, ids, times), some at what it means: the aggregate
# `inventory` says that stock is never negative.

# %%
report = stock.check(inventory)
report.findings[["severity", "check", "stream_id", "version", "after"]]

# %%
es.plots.gaps(stock, limit=8)

# %% [markdown]
# Each finding tells itself in a sentence, too. The one to begin with is `version-fork`, since the broken rule says that
# it came *after* that.

# %%
fork = report.findings.query("check == 'version-fork'").iloc[0]
print(textwrap.fill(fork["explanation"], 90))

# %% [markdown]
# The *findings board* is for reading on by hand: filter by check, severity or type, and press a finding, in the heat
# map or in the table. The time machine opens below it, at the event that it is about. Here the board's *spec* opens it
# at the fork; *Show code* has the calls that need no board.

# %%
report.explore(stock, inventory, severity="error", open=fork.name)

# %% [markdown]
# Who wrote there?

# %%
stock.sql("""
    select version, position, recorded_at, metadata->>'/user' as "user",
        metadata->>'/expected_version' as expected, data->>'/quantity' as quantity
    from events where stream_id = 'item-123' and event_type = 'ItemsOrdered' order by position
""")

# %% [markdown]
# Both read version 2, with five in stock; the store should have refused the second. What the second program would have
# done then can be played through:

# %%
replay = stock.replay_concurrent(inventory, "item-123")
replay.steps[["attempt", "event_type", "outcome", "reason", "quantity"]]

# %% [markdown]
# So the second order (position 347) should not be there. The other error with a wrong number, on `item-127`, is plain:
# a delivery is in the log twice.
#
# ### The repair, as a migration
#
# A migration is a list of steps. Each names what it touches, and all else stays as it is, to the letter.
# `same_state` is a *gate*, a condition for the new log: here, that the state of every item is what it was, at every
# version.

# %%
repair = es.Migration(
    "stock repaired",
    [
        es.drop_events(streams="item-123", where="position = 347"),
        es.drop_duplicates(streams="item-127"),
    ],
    gates=[es.same_state(inventory, inventory)],
)
run = stock.dry_run(repair)
run

# %% [markdown]
# Nothing was made yet. The gate fails, as it should: a repair *is* a change of state, and nobody has said which one
# is wanted. It shows what would change, so this can be read, thought about, and written down:


# %%
def wanted(old, new):
    """The second order did not go through; the delivery counts once."""
    return (old, new) in [(-2, 2), (22, 11)]


repair = es.Migration(
    repair.name,
    repair.steps,
    gates=[es.same_state(inventory, inventory, expect={"/quantity": wanted})],
)
run = stock.dry_run(repair)
run

# %% [markdown]
# Every gate has passed. Which findings are gone, and is there any new one?

# %%
gone, new = run.findings.gone, run.findings.new
print(f"{len(gone)} gone, {len(new)} new")
gone[["check", "stream_id", "version"]]

# %% [markdown]
# Now the repaired log, and the same checks again:

# %%
repaired = bench.apply(run, "inventory repaired")
repaired.check(inventory).findings[["severity", "check", "stream_id", "version"]]

# %%
repaired.state(inventory, "item-123")

# %% [markdown]
# Two missing versions are left, on purpose. Nothing has to be invented here, because both events exist: they stand in
# lines of the file that could not be read, and every such line is kept. Mend these two in the file, and load it again.

# %%
unread = stock.rejects.dropna(subset="stream_id")
unread[["line", "stream_id", "reason"]]

# %% [markdown]
# ## The product that was repaired too much
#
# In the second log, of reservations, a script took away what seemed to be reserved for nobody.

# %%
report = products.check(product)
report.findings[["severity", "check", "stream_id", "version", "event_type", "expected"]]

# %%
es.plots.state_history(products.history(product, "product-017"), fields=["on_hand", "reserved"])

# %% [markdown]
# `product-017` looks healthy today, and is still wrong. How much is really reserved is told by the orders:

# %%
products.sql("""
    select data->>'/order' as "order", list(event_type order by version) as events,
        sum(if(event_type = 'StockReserved', 1, -1) * (data->>'/quantity')::int) as reserved
    from events where stream_id = 'product-017' and data->>'/order' is not null
    group by all order by min(version)
""")

# %%
products.events("product-017", version=5)[["recorded_at", "event_type", "data"]].tail(3)

# %% [markdown]
# The script took 6. Of these, 4 had been released by the shop two hours before. The other 2, of `order-48790`, were
# stuck: nothing was ever heard of that order again. So 2 was right. On `product-023` the script ran twice, and the
# second run has to go. The event that is corrected gets a note which says why.


# %%
def wanted(old, new):
    """What the script took too much comes back: 4 of one product, 3 of the other."""
    return new - old in (4, 3)


repair = es.Migration(
    "reservations repaired",
    [
        es.correct("product-017", version=5, set={"/quantity": 2}),
        es.drop_events(streams="product-023", where="version = 4"),
        es.edit_metadata(set={"/corrected": "OPS-2304"}, streams="product-017", where="version = 5"),
    ],
    gates=[es.same_state(product, product, expect={"/reserved": wanted})],
)
run = products.dry_run(repair)
run

# %%
reservations = bench.apply(run, "products repaired")
reservations.check(product)

# %%
es.plots.state_history(reservations.history(product, "product-017"), fields=["on_hand", "reserved"])

# %% [markdown]
# The new log knows where each of its events comes from:

# %%
lineage = reservations.lineage("product-017", 5)
lineage[["log", "version", "event_type", "by"]]

# %% [markdown]
# ## Delivered before in transit
#
# The third log is a parcel service's. Its aggregate says which event may follow which.

# %%
report = parcels.check(shipment)
report.findings[["severity", "check", "stream_id", "version"]]

# %%
es.plots.findings_heatmap(report)

# %% [markdown]
# What follows what, how often, and how long it takes. One arrow goes back up, from *Delivered*, and it stands for one
# parcel:

# %%
es.plots.transitions(parcels, least=0)

# %%
parcels.events("shipment-70012")[["version", "event_type", "occurred_at", "recorded_at"]]

# %% [markdown]
# The log has two clocks. By the time of the scan (`occurred_at`) the parcel was in transit a day *before* it was
# delivered; the scanner was offline, and its scan was recorded late. So today's state of the parcel is wrong:

# %%
parcels.state(shipment, "shipment-70012").value["status"]

# %% [markdown]
# The repair gives this parcel's versions anew, in the order of the scans.

# %%
repair = es.Migration(
    "scans in order",
    [es.reorder("occurred_at", streams="shipment-70012")],
    gates=[
        es.same_state(shipment, shipment, expect={"/status": es.changed("in transit", "delivered")}),
    ],
)
run = parcels.dry_run(repair)
run

# %% [markdown]
# One gate fails, and it is right: the scan has the lower version now, and was recorded later. Here that is meant. Such
# a gate is accepted by its name, and no other is:

# %%
scans = bench.apply(run, "parcels repaired", accept=["no new finding"])
scans.history(shipment, "shipment-70012")[["version", "event_type", "status", "hub", "signed_by"]]

# %%
scans.check(shipment).findings[["severity", "check", "stream_id", "version"]]

# %% [markdown]
# ## All logs
#
# The damaged logs are as they were, and the repaired ones stand beside them. `log.export("repaired.jsonl")` writes one
# to a file. [04 A schema migration](04_schema_migration.ipynb) changes a whole log with the same means.

# %%
bench.logs()[["log", "events", "streams"]]
