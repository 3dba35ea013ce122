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
# # Checks and migrations in CI
#
# What was found by hand should be found by a machine the next time. All that the other notebooks do is there on the
# command line, with an exit status and with formats that CI servers read. This notebook goes through it, and ends with
# two files to copy.

# %%
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from IPython.display import Markdown

data = Path("../data").resolve()
workplace = tempfile.TemporaryDirectory()  # a fresh folder with the data in it, as on a CI server
os.chdir(workplace.name)
Path("data").symlink_to(data)
os.environ |= {
    "PATH": os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]]),  # where esbench is
    "PYTHONPATH": str(data),  # where aggregates are imported from
    "COLUMNS": "100",
}


def shell(command, *, show=100):
    """Run a command, and show what it writes and its exit status."""
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    lines = (done.stdout + done.stderr).splitlines()[: show + 1]
    for line in lines[:show]:
        print(re.sub(r" in [0-9.]+s$", "", line))  # how long it took differs each time
    if len(lines) > show:
        print("…")
    print(f"[exit status {done.returncode}]")


# %% [markdown]
# ## A check that fails the build
#
# The exit status is 0 when no error was found, 1 when there is one, and 2 when the call was wrong or the file cannot be
# read. Warnings and remarks do not fail a build.

# %%
shell("esbench check data/products.jsonl", show=8)

# %% [markdown]
# The events of this log are all there and in order. Another log, and what its events mean, by the aggregate `account`:

# %%
shell("esbench check data/accounts.csv --aggregate data/aggregates.py:account", show=24)

# %%
shell("esbench check data/acounts.csv")

# %% [markdown]
# ## For the server to read
#
# Most servers show test results from JUnit files: a test for each check, failed by its errors. What a log cannot
# answer is a skipped test, with the reason. Here for two checks only, so that it is short:

# %%
shell("esbench check data/accounts.csv --only version-gap --only missing-head --format junit")

# %% [markdown]
# `--format json` and `--format csv` hold every finding with its evidence, for programs of your own.
#
# ## Old damage, new damage
#
# A log that has run for years has some damage that nobody will mend. The build should fail for what is *new*. So
# keep the findings that are known in a file,

# %%
sys.path.insert(0, str(data))
import esbench as es
from aggregates import account, inventory

report = es.open().load("data/accounts.csv").check(account)
Path("known.csv").write_text(report.to_csv())
print(f"{len(report.findings)} findings are known")

# %% [markdown]
# and compare with it, in a test like any other:

# %%
# %%writefile test_log.py
import csv
from pathlib import Path

import esbench as es
from aggregates import account


def test_the_log_has_no_new_error():
    found = es.open().load("data/accounts.csv").check(account).findings
    with Path("known.csv").open(newline="") as file:
        known = {(row["check"], row["stream_id"], row["version"]) for row in csv.DictReader(file)}
    errors = found[found["severity"] == "error"].astype({"version": "str"})
    places = zip(errors["check"], errors["stream_id"], errors["version"])
    assert set(places) - known == set()


# %% [markdown]
# ## A real history becomes a test
#
# Whoever changes how events become state wants to know that old events still mean the same. `as_test` takes one
# stream and writes a pytest file: its events as they were recorded, and the state that is made of them today. The test
# needs neither the log nor a database, and what is nobody's business is masked.

# %%
stock = es.open().load("data/inventory.jsonl")
test = stock.as_test(
    inventory,
    "item-155",
    path="test_item.py",
    mask=["/customer_name", "/user"],
    aggregate_from="aggregates:inventory",
)
print(test)

# %%
shell("python -m pytest --quiet --color=no -p no:cacheprovider test_log.py test_item.py")

# %% [markdown]
# ## A migration in a pull request
#
# A migration is code, so it is reviewed like code. A dry run makes nothing; it tells what would become of every event
# of the log, as text or as markdown for a comment. Its exit status is 1 when one of its conditions does not hold.

# %%
shell("""
    esbench migrate data/migrations.py:inventory_v2 data/inventory.jsonl --format markdown > comment.md
""")

# %% [markdown]
# On the pull request that reads like this:

# %%
Markdown(Path("comment.md").read_text())

# %% [markdown]
# And one that must not be merged. It drops the renaming of items, in the belief that nobody needs it:

# %%
# %%writefile careless.py
import esbench as es
from aggregates import inventory

no_names = es.Migration(
    "no-names",
    [es.drop_events("ItemRenamed")],
    gates=[es.same_state(inventory, inventory)],
)

# %%
shell("esbench migrate careless.py:no_names data/inventory.jsonl", show=16)

# %% [markdown]
# ## Two files to copy
#
# Put the path of your log and of your aggregates in. A log of production does not belong into a repository: let the job
# fetch an export, or a masked one, first.
#
# `.github/workflows/event-log.yml`, for GitHub Actions:
#
# ```yaml
# name: event log
# on:
#   pull_request:
#   schedule: [{cron: "0 5 * * *"}]     # and every morning
#
# jobs:
#   check:
#     runs-on: ubuntu-latest
#     permissions:
#       contents: read
#       pull-requests: write
#     steps:
#       - uses: actions/checkout@v4
#       - uses: actions/setup-python@v5
#         with: {python-version: "3.12"}
#       - run: pip install "esbench @ git+https://<where esbench is>"
#       - run: ./fetch-export.sh exports/shop.jsonl.gz
#       - run: esbench check exports/shop.jsonl.gz --aggregate shop/aggregates.py:order --format junit > log.xml
#       - run: esbench migrate shop/migrations.py:next exports/shop.jsonl.gz --format markdown > comment.md
#         if: ${{ !cancelled() }}
#       - run: gh pr comment ${{ github.event.number }} --body-file comment.md
#         if: ${{ !cancelled() && github.event_name == 'pull_request' }}
#         env: {GH_TOKEN: "${{ github.token }}"}
#       - uses: actions/upload-artifact@v4
#         if: ${{ !cancelled() }}
#         with: {name: log, path: log.xml}
# ```
#
# `.gitlab-ci.yml`, for GitLab, which shows JUnit results beside the merge request by itself:
#
# ```yaml
# event-log:
#   image: python:3.12
#   script:
#     - pip install "esbench @ git+https://<where esbench is>"
#     - ./fetch-export.sh exports/shop.jsonl.gz
#     - esbench check exports/shop.jsonl.gz --aggregate shop/aggregates.py:order --format junit > log.xml
#     - esbench migrate shop/migrations.py:next exports/shop.jsonl.gz --dry-run
#   artifacts:
#     when: always
#     reports:
#       junit: log.xml
# ```
