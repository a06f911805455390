"""Computes the example anew from the CSV alone, without SQL and without our code, and compares.

    python3 check.py data/simple_shop.csv out/csv/current [rows counted by `throughline query`]
"""

import csv
import sys
from collections import defaultdict
from datetime import datetime, timedelta

PAGES = {"main", "catalog", "product1", "product2"}
MODELS = ["first_touch", "last_touch", "linear", "position_based", "time_decay"]
LOOKBACK = timedelta(days=30)
HALF_LIFE = timedelta(days=7)

passed = failed = 0


def check(what, found, expected):
    global passed, failed
    if found == expected:
        passed += 1
        print(f"ok    {what}: {found}")
    else:
        failed += 1
        print(f"FAIL  {what}: {found}, expected {expected}")


def shares(model, ages):
    """Shares of touches, oldest first, of the ages before the conversion."""
    n = len(ages)
    if model == "first_touch":
        return [1.0] + [0.0] * (n - 1)
    if model == "last_touch":
        return [0.0] * (n - 1) + [1.0]
    if model == "linear":
        return [1.0 / n] * n
    if model == "position_based":
        if n < 3:
            return [1.0 / n] * n
        return [0.4] + [0.2 / (n - 2)] * (n - 2) + [0.4]
    weights = [2.0 ** -((age - min(ages)) / HALF_LIFE) for age in ages]
    return [w / sum(weights) for w in weights]


def from_the_clickstream(path):
    touches, payments = defaultdict(list), defaultdict(list)
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            at = datetime.fromisoformat(row["timestamp"])
            user = row["user_id"]
            if row["event"] in PAGES:
                touch_id = f"{user} {row['timestamp']} {row['event']}"
                touches[user].append((at, touch_id, row["event"]))
            elif row["event"] == "payment_done":
                payments[user].append((at, f"{user} {row['timestamp']}"))
    credits = {}
    for user, made in payments.items():
        before = None
        for at, conversion in sorted(made):
            path = [
                t
                for t in sorted(touches[user])
                if at - LOOKBACK <= t[0] <= at and (before is None or t[0] > before)
            ]
            before = at
            for model in MODELS:
                if not path:
                    credits[conversion, model, ""] = ("(none)", 1.0)
                    continue
                for (_, touch_id, page), share in zip(path, shares(model, [at - t[0] for t in path])):
                    if share > 0:
                        credits[conversion, model, touch_id] = (page, share)
    return touches, payments, credits


def table(folder, name):
    with open(f"{folder}/{name}.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def main(clickstream, folder, *queried):
    touches, payments, credits = from_the_clickstream(clickstream)
    n_touches = sum(map(len, touches.values()))
    n_payments = sum(map(len, payments.values()))

    ours = table(folder, "touches")
    check("touches", len(ours), n_touches)
    check("people with a touch", len({t["person_id"] for t in ours}), len(touches))
    conversions = table(folder, "conversions")
    check("conversions", len(conversions), n_payments)
    check("people who paid", len({c["person_id"] for c in conversions}), len(payments))
    first = sum(c["is_new_customer"] == "true" for c in conversions)
    check("first payments", first, len(payments))

    rows = table(folder, "attribution")
    per_conversion = defaultdict(float)
    by_page, expected_by_page = defaultdict(float), defaultdict(float)
    given = {}
    for row in rows:
        share = float(row["credit"])
        per_conversion[row["conversion_id"], row["model"]] += share
        by_page[row["model"], row["channel_id"]] += share
        if share > 0:
            key = (row["conversion_id"], row["model"], row["touch_id"] or "")
            assert key not in given, f"{key} is there twice"
            given[key] = (row["channel_id"], share)
    for (_, model, _), (page, share) in credits.items():
        expected_by_page[model, page] += share

    check("payments with credit, all models", len(per_conversion), n_payments * len(MODELS))
    uneven = sum(abs(total - 1) > 1e-9 for total in per_conversion.values())
    check("payments whose shares do not sum to 1", uneven, 0)
    for model in MODELS:
        total = sum(share for (m, _), share in by_page.items() if m == model)
        check(f"credit given by {model}", round(total, 6), float(n_payments))
    check("touches with credit", given.keys() == credits.keys(), True)
    wrong = [k for k in credits if k in given and not same(given[k], credits[k])]
    check("touches with a wrong page or share", len(wrong), 0)

    report = {(r["model"], r["page"]): float(r["payments_credited"]) for r in table(folder, "page_report")}
    for key in sorted(expected_by_page):
        found, expected = report.get(key, 0.0), expected_by_page[key]
        check(f"payments credited to {key[1]} by {key[0]}", round(found, 6), round(expected, 6))
    sales = defaultdict(float)
    for row in table(folder, "channel_daily"):
        sales[row["model"]] += float(row["sales"])
    for model in MODELS:
        check(f"sales of all days and pages by {model}", round(sales[model], 4), float(n_payments))
    if queried:
        check("rows of attribution that `query` counts", int(queried[0]), len(rows))


def same(a, b):
    return a[0] == b[0] and abs(a[1] - b[1]) < 1e-9


if __name__ == "__main__":
    main(*sys.argv[1:])
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)
