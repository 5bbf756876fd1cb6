"""Samples of measurements, and the Markdown that is made of them."""

import os
import platform
import statistics
import subprocess


def machine():
    """One line: what the figures were measured on."""
    with open("/proc/cpuinfo", encoding="utf-8") as source:
        models = [line.split(":", 1)[1].strip() for line in source if line.startswith("model name")]
    with open("/proc/meminfo", encoding="utf-8") as source:
        memory = int(source.readline().split()[1]) / 1e6
    return (f"{models[0] if models else platform.machine()}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GB, "
            f"Linux {platform.release()}, load when it began {os.getloadavg()[0]:.1f}")


def version(*command):
    """The first line that a program says of its version, or None if it is not there."""
    try:
        done = subprocess.run(command, capture_output=True, check=False, text=True)
    except FileNotFoundError:
        return None
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0] if lines else None


class Samples(list):
    """Values of one measurement, one a round."""

    @property
    def median(self):
        return statistics.median(self)

    def text(self, scale=1.0, form=".2f"):
        """'median (min-max)'."""
        if not self:
            return "-"
        values = [value / scale for value in (self.median, min(self), max(self))]
        return "{} ({}-{})".format(*(format(value, form) for value in values))

    def over(self, others):
        """Ratios, round by round: what stays when the machine is faster in one round than in the next."""
        return Samples(a / b for a, b in zip(self, others))


def table(head, rows):
    """A Markdown table, its columns aligned in the source too."""
    widths = [max(len(str(row[n])) for row in [head, *rows]) for n in range(len(head))]

    def line(cells):
        return "| " + " | ".join(str(cell).ljust(width) for cell, width in zip(cells, widths)) + " |"

    return "\n".join([line(head), "|" + "|".join("-" * (width + 2) for width in widths) + "|", *map(line, rows)])
