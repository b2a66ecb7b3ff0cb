"""Text that is made by rule: tables, records, logs, sums and small problems in words.

Signs of arithmetic are the typographic ones, as people write them.
"""
# ruff: noqa: RUF001

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

_FIRST = (
    "Ada",
    "Jonas",
    "Mei",
    "Tariq",
    "Sofia",
    "Piotr",
    "Noor",
    "Elena",
    "Kwame",
    "Yuki",
    "Lars",
)
_LAST = ("Okafor", "Lindqvist", "Moreau", "Tanaka", "Novak", "Haddad", "Silva", "Keller", "O'Brien")
_CITIES = (
    "Lisbon",
    "Osaka",
    "Nairobi",
    "Graz",
    "Oslo",
    "Quito",
    "Turin",
    "Hanoi",
    "Leeds",
    "Split",
)
_PARTS = (
    "pump",
    "valve",
    "bearing",
    "relay",
    "gasket",
    "fuse",
    "hinge",
    "sensor",
    "filter",
    "belt",
)
_COLOURS = ("red", "blue", "green", "amber", "grey", "white", "black", "violet")
_MONTHS = ("January", "March", "April", "June", "July", "September", "October", "December")
_TITLES = (
    "Stock by warehouse",
    "Readings of the week",
    "Orders",
    "Runners",
    "Monthly costs",
    "Fleet",
)
_SERVICES = ("scheduler", "gateway", "indexer", "mailer", "cache", "billing", "worker-3")
_EVENTS = (
    ("INFO", "request {n} finished in {ms} ms, {b} bytes sent"),
    ("INFO", "connected to {ip}:{port}"),
    ("WARNING", "queue holds {n} jobs, more than the limit of {m}"),
    ("ERROR", "could not open /var/data/{p}/{n}.bin: No such file or directory"),
    ("DEBUG", "cache hit rate {r:.1f}% over the last {m} look-ups"),
    ("INFO", "rotated log, {b} bytes compressed to {n}"),
    ("ERROR", "Traceback: ValueError: invalid literal for int() with base 10: '{p}'"),
)


def tables(seed: int) -> Iterator[str]:
    """Tables in Markdown, CSV and aligned columns, without end."""
    rng = Random(seed)
    while True:
        columns, rows = _table(rng)
        title = f"{rng.choice(_TITLES)}, {rng.choice(_MONTHS)} {rng.randint(1998, 2026)}"
        form = rng.choice((_markdown, _comma_separated, _aligned))
        yield f"{title}\n\n{form(columns, rows)}\n"


def structured(seed: int) -> Iterator[str]:
    """Records in JSON, YAML, TOML, XML and SQL, without end."""
    rng = Random(seed)
    forms = (_json, _json_lines, _yaml, _toml, _xml, _sql)
    while True:
        yield rng.choice(forms)([_order(rng) for _ in range(rng.randint(2, 6))])


def logs(seed: int) -> Iterator[str]:
    """Excerpts of log files, without end."""
    rng = Random(seed)
    while True:
        seconds, lines = rng.randrange(86_400), []
        for _ in range(rng.randint(8, 25)):
            seconds = (seconds + rng.randint(0, 90)) % 86_400
            level, event = rng.choice(_EVENTS)
            said = event.format(
                n=rng.randint(1, 99_999),
                m=rng.randint(10, 5000),
                ms=rng.randint(1, 4000),
                b=rng.randint(200, 9_000_000),
                r=rng.uniform(20, 99.9),
                p=rng.choice(_PARTS),
                ip=".".join(str(rng.randint(1, 254)) for _ in range(4)),
                port=rng.choice((22, 80, 443, 5432, 8000, 6379)),
            )
            hours, rest = divmod(seconds, 3600)
            clock = f"{hours:02}:{rest // 60:02}:{rest % 60:02}.{rng.randrange(1000):03}"
            lines.append(
                f"2026-0{rng.randint(1, 9)}-{rng.randint(10, 28)}T{clock}Z {level:<7} [{rng.choice(_SERVICES)}] {said}"
            )
        yield "\n".join(lines) + "\n"


def sums(seed: int) -> Iterator[str]:
    """Calculations written out step by step, without end."""
    rng = Random(seed)
    kinds = (_product, _division, _linear_equation, _percentage, _fraction)
    while True:
        yield "\n\n".join(rng.choice(kinds)(rng) for _ in range(rng.randint(3, 6))) + "\n"


def word_problems(seed: int) -> Iterator[list[dict[str, str]]]:
    """Problems of everyday arithmetic with answers that show the way, without end."""
    rng = Random(seed)
    kinds = (_shopping, _journey, _tank, _ages, _savings)
    while True:
        question, answer = rng.choice(kinds)(rng)
        yield [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


@dataclass(frozen=True)
class Order:
    """What somebody ordered."""

    number: int
    name: str
    city: str
    items: tuple[tuple[str, str, int, int], ...]
    paid: bool

    @property
    def cents(self) -> int:
        """What it costs in all."""
        return sum(count * price for _, _, count, price in self.items)


def _order(rng: Random) -> Order:
    items = tuple(
        (rng.choice(_PARTS), rng.choice(_COLOURS), rng.randint(1, 40), rng.randint(99, 25_000))
        for _ in range(rng.randint(1, 3))
    )
    name = f"{rng.choice(_FIRST)} {rng.choice(_LAST)}"
    return Order(rng.randint(1000, 99_999), name, rng.choice(_CITIES), items, rng.random() < 0.7)


def _object(order: Order) -> dict[str, object]:
    items = [
        {"part": part, "colour": colour, "count": count, "price": price / 100}
        for part, colour, count, price in order.items
    ]
    return {
        "id": order.number,
        "customer": {"name": order.name, "city": order.city},
        "items": items,
        "total": order.cents / 100,
        "paid": order.paid,
        "note": None,
    }


def _json(orders: list[Order]) -> str:
    return "```json\n" + json.dumps([_object(order) for order in orders], indent=2) + "\n```\n"


def _json_lines(orders: list[Order]) -> str:
    return "\n".join(json.dumps(_object(order), separators=(",", ":")) for order in orders) + "\n"


def _yaml(orders: list[Order]) -> str:
    text = "orders:\n"
    for order in orders:
        text += f"  - id: {order.number}\n    customer: {order.name}\n    city: {order.city}\n    items:\n"
        for part, colour, count, price in order.items:
            text += f"      - {{part: {part}, colour: {colour}, count: {count}, price: {price / 100:.2f}}}\n"
    return text


def _toml(orders: list[Order]) -> str:
    text = ""
    for order in orders:
        paid = str(order.paid).lower()
        text += f'[[order]]\nid = {order.number}\nname = "{order.name}"\npaid = {paid}\n\n'
    return text


def _xml(orders: list[Order]) -> str:
    text = '<?xml version="1.0" encoding="UTF-8"?>\n<orders>\n'
    for order in orders:
        text += f'  <order id="{order.number}" city="{order.city}">\n'
        for part, colour, count, _ in order.items:
            text += f'    <item colour="{colour}" count="{count}">{part}</item>\n'
        text += "  </order>\n"
    return text + "</orders>\n"


def _sql(orders: list[Order]) -> str:
    text = "INSERT INTO orders (id, customer, city, cents, paid) VALUES\n"
    rows = []
    for order in orders:
        name = order.name.replace("'", "''")
        rows.append(f"  ({order.number}, '{name}', '{order.city}', {order.cents}, {order.paid})")
    query = (
        "SELECT city, SUM(cents) AS cents FROM orders WHERE paid GROUP BY city ORDER BY cents DESC;"
    )
    return text + ",\n".join(rows) + f";\n\n{query}\n"


def _table(rng: Random) -> tuple[list[str], list[list[str]]]:
    makers = {
        "name": lambda: f"{rng.choice(_FIRST)} {rng.choice(_LAST)}",
        "city": lambda: rng.choice(_CITIES),
        "part": lambda: rng.choice(_PARTS),
        "colour": lambda: rng.choice(_COLOURS),
        "count": lambda: str(rng.randint(0, 4000)),
        "price (€)": lambda: f"{rng.randint(99, 99_999) / 100:.2f}",
        "share": lambda: f"{rng.uniform(0, 100):.1f}%",
        "°C": lambda: f"{rng.uniform(-20, 40):.1f}",
        "time": lambda: f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}",
        "error": lambda: f"{rng.uniform(1, 9.99):.2f}e-{rng.randint(2, 9)}",
    }
    columns = rng.sample(list(makers), rng.randint(3, 6))
    rows = [[makers[name]() for name in columns] for _ in range(rng.randint(4, 12))]
    return columns, rows


def _markdown(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _comma_separated(columns: list[str], rows: list[list[str]]) -> str:
    return "\n".join(",".join(line) for line in [columns, *rows])


def _aligned(columns: list[str], rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [columns, *rows]
    )


def _product(rng: Random) -> str:
    a, b = rng.randint(12, 999), rng.randint(12, 99)
    tens, ones = b // 10 * 10, b % 10
    return (
        f"{a} × {b}: split {b} into {tens} and {ones}. {a} × {tens} = {a * tens}, "
        f"{a} × {ones} = {a * ones}, and {a * tens} + {a * ones} = {a * b}."
    )


def _division(rng: Random) -> str:
    divisor, quotient, rest = rng.randint(3, 40), rng.randint(10, 400), rng.randint(0, 2)
    whole = divisor * quotient + rest
    tail = f", remainder {rest}" if rest else " exactly"
    return f"{whole} ÷ {divisor} = {quotient}{tail}, since {divisor} × {quotient} = {divisor * quotient}."


def _linear_equation(rng: Random) -> str:
    a, x, b = rng.randint(2, 12), rng.randint(-15, 15), rng.randint(1, 60)
    return (
        f"Solve {a}x + {b} = {a * x + b}. Subtract {b} from both sides: {a}x = {a * x}. "
        f"Divide by {a}: x = {x}. Check: {a}·({x}) + {b} = {a * x + b}."
    )


def _percentage(rng: Random) -> str:
    share, whole = rng.choice((5, 10, 12, 15, 20, 25, 40, 75)), rng.randint(2, 90) * 20
    return f"{share}% of {whole} is {whole} · {share}/100 = {whole * share / 100:g}."


def _fraction(rng: Random) -> str:
    a, b, c, d = (rng.randint(1, 9) for _ in range(4))
    return (
        f"$\\frac{{{a}}}{{{b}}} + \\frac{{{c}}}{{{d}}} = \\frac{{{a * d} + {c * b}}}{{{b * d}}} = "
        f"\\frac{{{a * d + c * b}}}{{{b * d}}} \\approx {(a * d + c * b) / (b * d):.3f}$"
    )


def _shopping(rng: Random) -> tuple[str, str]:
    name, thing, count, price = (
        rng.choice(_FIRST),
        rng.choice(_PARTS),
        rng.randint(3, 25),
        rng.randint(2, 60),
    )
    note = -(-count * price // 50) * 50
    return (
        f"{name} buys {count} {thing}s at {price} euros each and pays with {note} euros. How much "
        "change is that?",
        f"The {thing}s cost {count} × {price} = {count * price} euros. From {note} euros, "
        f"{note} − {count * price} = {note - count * price} euros come back.",
    )


def _journey(rng: Random) -> tuple[str, str]:
    start, end = rng.sample(_CITIES, 2)
    speed, hours, pause = (
        rng.choice((40, 60, 80, 90, 120)),
        rng.randint(2, 9),
        rng.choice((15, 30, 45)),
    )
    return (
        f"A train goes from {start} to {end} at {speed} km/h and needs {hours} hours, with a stop of "
        f"{pause} minutes on top. How far is it, and how long does the journey take?",
        f"Distance is speed times time: {speed} × {hours} = {speed * hours} km. With the stop, the "
        f"journey takes {hours} h {pause} min, that is {hours * 60 + pause} minutes.",
    )


def _tank(rng: Random) -> tuple[str, str]:
    rate, leak, minutes = rng.randint(8, 30), rng.randint(1, 6), rng.randint(10, 90)
    return (
        f"A tank is filled with {rate} litres a minute and loses {leak} litres a minute through a "
        f"leak. How much is in it after {minutes} minutes, if it was empty?",
        f"Each minute {rate} − {leak} = {rate - leak} litres stay. After {minutes} minutes that is "
        f"{rate - leak} × {minutes} = **{(rate - leak) * minutes} litres**.",
    )


def _ages(rng: Random) -> tuple[str, str]:
    one, two = rng.sample(_FIRST, 2)
    young, gap = rng.randint(4, 30), rng.randint(2, 20)
    return (
        f"{one} is {gap} years older than {two}. Together they are {2 * young + gap}. How old are they?",
        f"Call {two}'s age x. Then {one} is x + {gap}, and x + (x + {gap}) = {2 * young + gap}. So "
        f"2x = {2 * young}, x = {young}: {two} is {young} and {one} is {young + gap}.",
    )


def _savings(rng: Random) -> tuple[str, str]:
    capital, rate, years = rng.randint(2, 50) * 100, rng.choice((2, 3, 4, 5)), rng.randint(2, 5)
    steps, amount = [], float(capital)
    for year in range(1, years + 1):
        amount *= 1 + rate / 100
        steps.append(f"- after year {year}: {amount:.2f}")
    return (
        f"What do {capital} euros become in {years} years at {rate}% a year?",
        f"Each year the amount is multiplied by {1 + rate / 100:g}:\n\n"
        + "\n".join(steps)
        + f"\n\nSo it is about {amount:.2f} euros.",
    )
