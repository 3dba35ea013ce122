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
# # Your git history as an event log
#
# You have an event log at hand already: the history of any git repository. Each file is a stream, each commit that
# touches it an event. So all that works on orders and stock works here: what did it look like, since when is it too
# long, and does the read model (the files on your disk) agree with the log?
#
# What is shown below comes from a small repository that the next cell makes, so that it is the same for everybody.
# **To look at your own, set `repository` to its path in the cell after, and run all.**

# %%
import os
import subprocess
import tempfile
from pathlib import Path

folder = tempfile.TemporaryDirectory()  # goes when the notebook ends
shop = Path(folder.name, "shop")


def git(*arguments, **more):
    """Run git without the settings of this machine, so that the commits are the same everywhere."""
    settings = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    settings |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"} | more
    subprocess.run(["git", *arguments], cwd=shop, env=settings, check=True, capture_output=True)


def commit(day, who, message, **files):
    """Write files of so many lines (None deletes one) and commit them."""
    for name, lines in files.items():
        path = shop / name.replace("_", ".")
        if lines is None:
            path.unlink()
        else:
            path.write_text("".join(f"line {number} of {path.name}\n" for number in range(lines)))
    git("add", "--all")
    told = {"NAME": who, "EMAIL": f"{who.lower()}@example.org", "DATE": f"2024-{day}T10:00:00+00:00"}
    roles = [f"GIT_{role}" for role in ("AUTHOR", "COMMITTER")]
    git("commit", "-m", message, **{f"{role}_{key}": told[key] for role in roles for key in told})


shop.mkdir()
git("init", "--quiet")
commit("01-08", "Amelie", "Begin", README_md=12, stock_py=90)
commit("01-15", "Jonas", "Orders", orders_py=140, stock_py=110)
commit("01-29", "Amelie", "Count the stock", stock_py=230)
commit("02-05", "Mira", "Labels for parcels", labels_py=60, README_md=20)
commit("02-20", "Jonas", "Repair reserved stock by script", fix_py=35)
commit("02-21", "Amelie", "Remove the script, it did harm", fix_py=None)
commit("03-04", "Jonas", "Several warehouses", stock_py=415, orders_py=180)
commit("03-11", "Mira", "Retire items", stock_py=460)
commit("04-02", "Amelie", "Warehouses have a file of their own", stock_py=250, warehouses_py=220)
commit("04-22", "Mira", "Refunds", orders_py=320, refunds_py=80)
commit("05-13", "Jonas", "Orders know their channel", orders_py=430)
commit("06-03", "Mira", "Say how to install it", README_md=48)

# %%
import pandas as pd

import esbench as es

repository = shop  # or of your own: "..", which is this one, or "/home/you/project"

bench = es.open()
log = bench.load(f"git:{repository}", "history")
log

# %% [markdown]
# ## One event
#
# The payload says what became of the file, the metadata who did it, when, and why. Nothing but the history is read: no
# hook and no setting of the repository is run.

# %%
event = next(iter(log))
print(event.stream_id, event.version, event.event_type, event.recorded_at, sep=" · ")
event.data

# %%
event.metadata

# %% [markdown]
# ## A file's life
#
# How do such events become a file? An *aggregate* says it: a start, and a function for each type of event. The rule at
# its end is one that some teams have.

# %%
LIMIT = 400
file = es.Aggregate("File", initial={"there": False, "blob": None, "lines": 0, "by": None})


@file.on("FileAdded", "FileModified", "FileTypeChanged")
def write(state, event):
    added, removed = event.data["lines_added"] or 0, event.data["lines_removed"] or 0  # a picture has none
    lines = state["lines"] + added - removed
    return {"there": True, "blob": event.data["blob"], "lines": lines, "by": event.metadata["author"]}


@file.on("FileDeleted")
def delete(state, event):
    return {**state, "there": False, "blob": None, "lines": 0, "by": event.metadata["author"]}


@file.invariant("no file is too long")
def short_enough(state):
    return state["lines"] <= LIMIT


# %%
files = log.states(file)
longest = files[files["there"]].nlargest(5, "lines")
longest[["stream_id", "lines", "events", "by"]]

# %%
busiest = files.sort_values(["events", "stream_id"], ascending=[False, True])["stream_id"].iloc[0]
history = log.history(file, busiest)
print(busiest)
history[["version", "recorded_at", "event_type", "lines", "by", "broken"]].tail(8)

# %%
es.plots.state_history(history, fields=["lines"], over="time")

# %% [markdown]
# The same file in the *time machine*, a commit a step: press the arrow keys on the slider, and see beside the state who
# did it, and why. Every other file is in the list; *Show code* has the calls for what is on screen.

# %%
log.explore(file, stream=busiest)

# %% [markdown]
# What was in the repository on a day in the past, like a checkout that touches nothing:

# %%
halfway = log.sql("select quantile_disc(recorded_at, 0.5) as half from events")["half"].iloc[0]
then = log.states(file, as_of=halfway)
print(f"on {halfway:%d %B %Y}")
then[then["there"]].nlargest(5, "lines")[["stream_id", "lines", "by"]]

# %% [markdown]
# ## Since when is it too long?
#
# `first_bad` goes through every version of every file. It also finds those that were too long once and are not today.

# %%
bad = log.first_bad(file, "no file is too long")
bad[["stream_id", "version", "recorded_at", "recovered_version", "bad_at_end"]].head(10)

# %% [markdown]
# In the shop, one file was divided after a month, and another is too long to this day.
#
# ## Who, and when?
#
# Declared as columns, the same history is a table of the database, and can be counted by anything: by author, for one.

# %%
changing = ["FileAdded", "FileModified", "FileDeleted"]
by_author = es.Projection(
    "Work by author",
    {
        "changes": es.count(*changing),
        "lines_added": es.total(dict.fromkeys(changing, es.field("/lines_added"))),
        "lines_removed": es.total(dict.fromkeys(changing, es.field("/lines_removed"))),
    },
    key="metadata->>'/author' as author",
)
authors = log.states(by_author).nlargest(5, "changes")
authors[["author", "changes", "lines_added", "lines_removed"]]

# %%
es.plots.timeline(log)

# %% [markdown]
# What usually follows what in a file's life?

# %%
es.plots.transitions(log)

# %% [markdown]
# ## Does the disk agree with the log?
#
# The files on the disk are a read model of the history, and read models drift. Here somebody has edited one and lost
# another. Git names a content by its hash, which is quickly computed:

# %%
import hashlib


def blob(path):
    """The name that git gives to what is in a file; None where there is none."""
    if path.is_symlink():
        content = os.fsencode(path.readlink())
    elif path.is_file():
        content = path.read_bytes()
    else:
        return None
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


(shop / "labels.py").write_text("not committed yet\n")
(shop / "refunds.py").unlink()

disk = pd.DataFrame({"stream_id": files["stream_id"]})
disk["blob"] = [blob(Path(repository, name)) for name in disk["stream_id"]]
drift = log.reconcile(file, disk, columns={"blob": "blob"})
print(f"{drift.attrs['equal']} of {drift.attrs['streams']} files are as the log says")
drift.assign(log=drift["expected"].str[:12], disk=drift["stored"].str[:12])[["key", "log", "disk"]].head(10)

# %% [markdown]
# Behind these two lies what is always asked of a read model: which rows are wrong, and since when. `git status`
# answers it for files; `log.reconcile` answers it for any table that is made of events.
#
# ## On your own
#
# From the command line, without a notebook:
#
# ```sh
# esbench check git:.
# esbench sql git:. "select stream_id, count(*) as n from events group by all order by n desc limit 10"
# ```
